"""The package as a whole: what it exports, what importing it costs, and which way imports point."""

from __future__ import annotations

import ast
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
PACKAGE = Path(embedseg_napari.__file__).parent
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
]
VIEWER = ("napari", "qtpy", "superqt", "magicgui", "PyQt5", "PyQt6", "PySide2", "PySide6")
RANKS = [
    {
        "core.axes",
        "core.compiled.numba_signatures",
        "core.compiled.background_import",
        "core.config",
        "core.errors",
        "core.events",
        "core.files.folder_lock",
        "core.maps",
        "core.runs",
        "core.wording",
    },
    {"core.device", "core.data", "core.losses", "core.model"},
    {"core.evaluation", "core.inference"},
    # The door to a model: network and inference in one object.
    {"core.model.model"},
    {"core.model.bioimage", "core.model.exchange"},
    {"core.annotation"},
    {"core.training"},
    {"demo"},
    {"cli", "viewer", "__main__"},
]
"""From the ground up: a module imports from its own row and from those above it here, never from below."""


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> dict[str, Path]:
    """Dotted name inside the package -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def rank(name: str) -> int | None:
    """Row of the longest matching name in RANKS; None for the bare packages, which hold no code."""
    matches = [
        (len(known), row) for row, names in enumerate(RANKS) for known in names if f"{name}.".startswith(f"{known}.")
    ]
    return max(matches)[1] if matches else None


def imports(path: Path) -> set[str]:
    """Modules a file imports when it runs: those for type checkers only are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


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


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = embedseg_napari.no_such_name


def test_version_is_a_version():
    assert re.match(r"\d+(\.\d+|\+unknown)", embedseg_napari.__version__)


def test_core_and_command_line_run_without_a_viewer():
    names = [f"embedseg_napari.{name}" for name in modules() if name.split(".")[0] in ("core", "cli", "demo")]
    assert len(names) > 20
    code = f"""
import importlib, sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {VIEWER}:
            raise ModuleNotFoundError(f"{{name}} is not for the core")
sys.meta_path.insert(0, Wall())
for name in {names}:
    importlib.import_module(name)
"""
    run_python(code)


@pytest.mark.parametrize("name", [name for name in modules() if name])
def test_imports_point_one_way(name):
    own = rank(name)
    if own is None:
        assert name == "core", f"{name} has no place in the order of modules"
        return
    for imported in imports(modules()[name]):
        top, _, inside = imported.partition(".")
        if own < len(RANKS) - 1:
            assert top not in VIEWER, f"{name} imports {imported}"
        if top == "embedseg_napari":
            other = rank(inside)
            assert other is None or other <= own, f"{name} imports {imported}"


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
