"""The house: which room imports from which, no circle between files, and no viewer in the core."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import embedseg_napari

PACKAGE = Path(embedseg_napari.__file__).parent
QT_AND_NAPARI = ("napari", "qtpy", "superqt", "magicgui", "PyQt5", "PyQt6", "PySide2", "PySide6")
HEADLESS = ("core", "jobs", "cli", "demo")
MOST_MODULES = 25
"""In one folder: more cannot be taken in at a glance."""
FLOORS = [
    {"core"},
    {"core.config"},
    {"core.compiled", "core.files"},
    {"core.stores"},
    {"core.data", "core.networks", "core.losses"},
    {"core.clustering"},
    {"core.inference"},
    {"core.model", "core.evaluation", "core.measure", "core.large"},
    {"core.tracking", "core.estimate"},
    {"core.exchange", "core.report"},
    {"core.annotation"},
    {"core.review", "core.session"},
    {"core.training.crops"},
    {"core.training"},
    {"jobs"},
    {"jobs.folder"},
    {"jobs.large"},
    {""},
    {"demo"},
    {"cli", "viewer"},
    {"viewer.widgets", "__main__"},
    {"viewer.files", "viewer.models", "viewer.preview"},
    {"viewer.large"},
    {"viewer.segment", "viewer.train", "viewer.evaluate", "viewer.measure", "viewer.track", "viewer.estimate"},
    {"viewer.label.drawing"},
    {"viewer.label"},
]
"""From the ground up. A module imports from its own room and from floors below, never from above or from next door."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name inside the package -> file; the package itself is the empty name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(name: str) -> str:
    """The folder that a module lies in; modules beside the folders are rooms of their own."""
    return name if modules()[name].name == "__init__.py" or "." not in name else name.rpartition(".")[0]


@cache
def imports(name: str) -> frozenset[str]:
    """All that a module imports, for type checkers and inside functions too; within the package, modules."""
    found = set()
    for node in ast.walk(ast.parse(modules()[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(_module(target) for target in found) - {f"embedseg_napari.{name}"}


def _module(target: str) -> str:
    top, _, inside = target.partition(".")
    if top != "embedseg_napari":
        return target
    while inside not in modules():
        inside = inside.rpartition(".")[0]
    return f"embedseg_napari.{inside}"


def inside(name: str) -> set[str]:
    """Modules of the package that one imports."""
    found = {target.partition(".")[2] for target in imports(name) if target.partition(".")[0] == "embedseg_napari"}
    return found - {name}


def test_every_room_has_its_floor():
    assert {room(name) for name in modules()} == set().union(*FLOORS)


@pytest.mark.parametrize("name", modules())
def test_imports_point_down(name):
    floor = {place: height for height, places in enumerate(FLOORS) for place in places}
    own = room(name)
    for other in map(room, inside(name)):
        assert other == own or floor[other] < floor[own], f"{name} imports from {other}"


def test_no_circle_between_files():
    graphlib.TopologicalSorter({name: inside(name) for name in modules()}).prepare()


def test_rooms_are_taken_in_at_a_glance():
    for folder in {path.parent for path in modules().values()}:
        assert len(list(folder.glob("[!_]*.py"))) <= MOST_MODULES, folder


def test_only_the_viewer_knows_napari_and_qt():
    for name in modules():
        if name.partition(".")[0] != "viewer":
            tops = {target.partition(".")[0] for target in imports(name)}
            assert not tops & set(QT_AND_NAPARI), name


def test_core_jobs_and_command_line_run_without_a_viewer():
    names = [
        f"embedseg_napari.{name}" for name in modules() if name.partition(".")[0] in ("core", "jobs", "cli", "demo")
    ]
    code = f"""
import importlib, sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {QT_AND_NAPARI}:
            raise ModuleNotFoundError(f"{{name}} is not for the core")
sys.meta_path.insert(0, Wall())
for name in {names}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_map_in_contributing_is_that_of_the_tree():
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location("house_map", root / "docs" / "house_map.py")
    house_map = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(house_map)
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert text == house_map.with_map(text), "run python docs/house_map.py"
