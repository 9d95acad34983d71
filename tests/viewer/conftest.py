"""What tests of the viewer share; they skip where napari or a Qt binding is not installed."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from embedseg_napari.viewer.old_objects import OldObjects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

PLUGIN = "embedseg-napari"
# Before napari is imported: its settings stay in memory, so that those of the person who runs the tests stay theirs.
os.environ["NAPARI_CONFIG"] = ""


def _is_missing(name: str) -> bool:
    return importlib.util.find_spec(name) is None


MISSING = [name for name in ("napari", "pytestqt", "qtpy") if _is_missing(name)]
if not MISSING and all(_is_missing(binding) for binding in ("PyQt6", "PySide6", "PyQt5")):
    MISSING = ["a Qt binding"]
# Napari draws with OpenGL, which Qt's platform "offscreen" has not; without a screen pytest-xvfb brings a virtual one.
has_screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or not sys.platform.startswith(
    "linux"
)
if not has_screen and (_is_missing("pytest_xvfb") or shutil.which("Xvfb") is None):
    MISSING.append("a screen or Xvfb")
if MISSING:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str | None:
    return f"viewer tests are left out; missing: {', '.join(MISSING)}" if MISSING else None


@pytest.fixture(scope="session", autouse=True)
def plugins_found_once() -> Iterator[None]:
    """Read the manifests of the installed plugins once; every viewer would read them anew."""
    from npe2 import PluginManifest

    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda *args, **options: iter(found))
        yield


@pytest.fixture(scope="session", autouse=True)
def old_objects() -> Iterator[None]:
    """Leave out of collections what is there; the panels then need not count it each time they would do the same."""
    with OldObjects():
        yield


@pytest.fixture(autouse=True)
def what_stays():
    """Leave out of later collections what outlives a test.

    Every viewer leaves some thousand objects of napari behind, and every test collects garbage several times: after
    some hundred viewers that takes longer than the tests.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep lists and settings of the person who runs the tests out of them, and the tests out of theirs."""
    folder = tmp_path_factory.mktemp("settings")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def viewer(request: pytest.FixtureRequest, qtbot, monkeypatch: pytest.MonkeyPatch) -> Iterator[Viewer]:
    """Return a viewer as a plugin gets it: public names only.

    Its window holds the panels alone, unless the test asks for the `whole_window`.
    """
    if "whole_window" in request.fixturenames:
        yield request.getfixturevalue("make_napari_viewer_proxy")()
        return
    import napari
    from docks_only import DocksOnlyViewer
    from napari.settings import get_settings
    from napari.utils._proxies import PublicOnlyProxy

    get_settings().reset()
    viewer = DocksOnlyViewer()
    for module in (napari, napari.viewer):
        monkeypatch.setattr(module, "current_viewer", lambda: viewer)
    yield PublicOnlyProxy(viewer)
    viewer.close()


@pytest.fixture
def whole_window() -> None:
    """Let the viewer have the window of napari, with canvas, layer controls and menus; it takes long to open."""


@pytest.fixture
def canvas(viewer, whole_window):
    """Return what napari draws on, and what takes mouse and keys."""
    return viewer.__wrapped__.window._qt_viewer.canvas


@pytest.fixture
def layer_viewer() -> ViewerModel:
    """Return a viewer without a window, for what only deals with layers and files: it takes no time to open."""
    from napari.components import ViewerModel
    from npe2 import PluginManager

    PluginManager.instance().discover()
    return ViewerModel()


@pytest.fixture
def open_panel(viewer) -> Callable[[str], QWidget]:
    """Open a panel as the Plugins menu does, through the real manifest: ``open_panel("EmbedSeg: Segment")``."""

    def add(name: str) -> QWidget:
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
        return widget

    return add


@pytest.fixture
def drag(viewer, canvas, qtbot) -> Callable[..., None]:
    """Drag the mouse along pixels of a layer, (row, column) of what is displayed: ``drag(layer, (2, 3), (9, 3))``.

    It moves `n_moves` times from each to the next.
    """
    from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from embedseg_napari.viewer.camera import to_world

    left, no_key = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier

    def make(layer, *pixels, release: bool = True, modifier=no_key, n_moves: int = 4) -> None:
        native, way = canvas.native, []
        for pixel in pixels:
            axes = [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
            at = dict(zip(axes, pixel, strict=True))
            world = to_world(viewer, layer, [at.get(axis, 0) for axis in range(-layer.ndim, 0)])
            x, y = canvas.view.scene.transform.map([world[axes[1]], world[axes[0]]])[:2]
            way.append(QPoint(round(float(x)), round(float(y))))
        QTest.mousePress(native, left, modifier, way[0])
        for start, end in itertools.pairwise(way):
            for move in range(1, n_moves + 1):
                # vispy leaves out moves that follow one another within 10 ms, and napari puts them off.
                native._last_time, before = 0.0, viewer.cursor.position
                at = QPointF(start + (end - start) * (move / n_moves))
                to = QPointF(native.mapToGlobal(at.toPoint()))
                QApplication.sendEvent(
                    native, QMouseEvent(QEvent.Type.MouseMove, at, to, Qt.MouseButton.NoButton, left, modifier)
                )
                qtbot.waitUntil(lambda before=before: viewer.cursor.position != before)
        if release:
            QTest.mouseRelease(native, left, modifier, way[-1])

    return make


@pytest.fixture
def add_image(viewer, blobs):
    """Add an image to the viewer; all are of one kind and differ."""

    def add(name, ndim=2, shift=0):
        import numpy as np

        image = np.roll(blobs(ndim)[0], shift, -1)
        place = {"scale": (2.0, 0.5, 0.5)[-ndim:], "units": ("um",) * ndim, "axis_labels": "zyx"[-ndim:]}
        return viewer.add_image(image, name=name, **place)

    return add


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return `worms.pth`, as the original writes it, of a 2D model that was never trained."""
    import torch

    from embedseg_napari.core.networks.erfnet import BranchedERFNet

    torch.save({"model_state_dict": BranchedERFNet(2).state_dict()}, tmp_path / "worms.pth")
    return tmp_path / "worms.pth"


@pytest.fixture
def own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let sessions and models be kept in the folder of the test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def fake_training(monkeypatch: pytest.MonkeyPatch, own_data: Path, tiny_model_file: Path) -> type:
    """Stand in for the training of Label & Train; what a test sets on the class is forgotten after it."""
    from fake_training import FakeTraining

    values = {"model": tiny_model_file.read_bytes(), "waits": False, "shows": True, "score": None, "comparison": None}
    for name, value in values.items():
        monkeypatch.setattr(FakeTraining, name, value)
    return FakeTraining


@pytest.fixture
def label_panel(fake_training: type, monkeypatch: pytest.MonkeyPatch, open_panel: Callable[[str], QWidget]) -> QWidget:
    """Open Label & Train, with a training that says what one says."""
    pytest.importorskip("pyqtgraph")
    monkeypatch.setattr("embedseg_napari.viewer.label.widget.LabelTraining", fake_training)
    # The review has tests of its own, and its thread would outlive these.
    monkeypatch.setattr("embedseg_napari.viewer.label.widget.ReviewBox.start", lambda *args: None)
    return open_panel("EmbedSeg: Label & Train")


@pytest.fixture
def endless_panel(fake_training: type, label_panel: QWidget) -> QWidget:
    """Open Label & Train, whose rounds go on until they are stopped."""
    fake_training.waits, fake_training.shows, fake_training.score = True, False, 0.85
    return label_panel
