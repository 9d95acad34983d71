"""The manifest: valid, what it names exists, and what it costs to open a panel."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from npe2 import PluginManager, PluginManifest

ROOT = Path(__file__).resolve().parents[2]
PANELS = [
    f"EmbedSeg: {name}" for name in ("Segment", "Label & Train", "Train", "Evaluate", "Estimate", "Measure", "Track")
]


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    found = PluginManifest.from_distribution("embedseg-napari")
    found.validate_imports()
    return found


def test_manifest_is_found_by_its_entry_point():
    (point,) = (point for point in entry_points(group="napari.manifest") if point.name == "embedseg-napari")
    assert point.value == "embedseg_napari:napari.yaml"


def test_link_at_the_root_is_the_manifest():
    link, own = ROOT / "napari.yaml", ROOT / "src" / "embedseg_napari" / "napari.yaml"
    assert link.resolve() == own or link.read_text(encoding="utf-8").strip() == "src/embedseg_napari/napari.yaml"


def test_every_command_is_there(manifest):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id
        assert module.startswith("embedseg_napari.viewer."), command.id


def test_panels_are_in_the_menu_for_segmentation(manifest):
    panels = {widget.command: widget.display_name for widget in manifest.contributions.widgets}
    assert list(panels.values()) == PANELS
    assert [item.command for item in manifest.contributions.menus["napari/layers/segment"]] == list(panels)


def test_readers_claim_models_and_annotations_only(manifest):
    patterns = [pattern for reader in manifest.contributions.readers for pattern in reader.filename_patterns]
    assert patterns == ["*.embedseg", "*.pth", "*.roi", "*.zip", "*.geojson", "*.json"]
    assert not any(reader.accepts_directories for reader in manifest.contributions.readers)


def test_a_dropped_tiff_raises_no_question(tmp_path):
    manager = PluginManager.instance()
    manager.discover()
    claims = [reader.plugin_name for reader in manager.iter_compatible_readers([str(tmp_path / "image.tif")])]
    assert "embedseg-napari" not in claims


@pytest.mark.usefixtures("whole_window")
@pytest.mark.parametrize("name", PANELS)
def test_panel_opens_and_closes(viewer, open_panel, name):
    panel = open_panel(name)
    assert panel.isVisibleTo(panel.parentWidget())
    viewer.window.remove_dock_widget(panel)


def test_opening_panels_and_samples_imports_no_torch(tmp_path):
    script = tmp_path / "open.py"
    script.write_text(
        f"""
import sys
import napari

viewer = napari.Viewer(show=False)
assert "torch" not in sys.modules, "napari itself imported torch"
for name in {PANELS}:
    viewer.window.add_plugin_dock_widget("embedseg-napari", name)
    assert "torch" not in sys.modules, name
viewer.open_sample("embedseg-napari", "nuclei_2d")
assert "torch" not in sys.modules, "sample"
print("opened")
viewer.close()
""",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "opened" in done.stdout
