"""The package as a whole: what it exports, what importing it costs, and the versions it is tested with."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import embedseg_napari

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = [
    "load_model",
    "LegacyGeometry",
    "EmbeddingMaps",
    "cluster",
    "Predictor",
    "spatial_embedding_loss",
    "Trainer",
    "train",
    "match",
    "medoid",
    "predict_large",
    "Example",
    "MatchRow",
    "Message",
    "StepFinished",
    "import_model",
    "export_model",
]
VIEWER = ("napari", "qtpy", "superqt", "magicgui", "PyQt5", "PyQt6", "PySide2", "PySide6")


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy():
    heavy = ("torch", "numpy", "pydantic", "skimage", "scipy", "numba", "typer", *VIEWER)
    code = f"import sys, embedseg_napari; print(sorted(set(sys.modules) & set({heavy})))"
    assert run_python(code).strip() == "[]"


@pytest.mark.parametrize("name", CONTRACT)
def test_public_names_resolve(name):
    assert name in embedseg_napari.__all__
    assert callable(getattr(embedseg_napari, name))


def test_every_exported_name_resolves():
    for name in embedseg_napari.__all__:
        assert getattr(embedseg_napari, name) is not None
        assert name in dir(embedseg_napari)


def test_old_names_that_scripts_use_still_work():
    from embedseg_napari.core.data.images import read_image
    from embedseg_napari.core.files import tiff
    from embedseg_napari.core.model.bundled import bundled_path

    assert read_image is tiff.read_image
    assert bundled_path("nuclei-2d").exists()


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = embedseg_napari.no_such_name


def test_version_is_a_version():
    assert re.match(r"\d+(\.\d+|\+unknown)", embedseg_napari.__version__)


def test_every_dependency_has_a_tested_version():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[canonicalize_name(name)] = version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for group in project["dependency-groups"].values():
        wanted += [entry for entry in group if isinstance(entry, str)]
    for text in wanted:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} has no tested version in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{text} excludes the tested {pins[name]}"
