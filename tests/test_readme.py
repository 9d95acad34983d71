"""README as PyPI and the napari hub show it, where no file lies beside it."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "https://example.org/somebody/embedseg-napari"


@pytest.fixture
def build(monkeypatch) -> ModuleType:
    """The hook of the build, also where the build tool is not installed."""
    parts = ["hatchling", "metadata", "plugin", "interface"]
    for n in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:n]), SimpleNamespace(MetadataHookInterface=object))
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def complete(build: ModuleType) -> dict:
    hook, metadata = build.CustomMetadataHook(), {}
    hook.root = str(ROOT)
    hook.update(metadata)
    return metadata


def targets(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)


def test_with_an_address_every_picture_and_link_is_absolute(build, monkeypatch):
    monkeypatch.setattr(build, "ADDRESS", ADDRESS)
    metadata = complete(build)
    found = targets(metadata["readme"]["text"])
    assert len(found) > 5
    assert all(target.startswith("https://") for target in found)
    own = [target.removeprefix(ADDRESS) for target in found if target.startswith(ADDRESS)]
    assert all((ROOT / re.sub(r"^/(raw|blob)/main/", "", target).partition("#")[0]).exists() for target in own)
    assert all(("/raw/" in target) == target.endswith(".png") for target in own)
    assert set(metadata["urls"]) == {"Source", "Documentation", "Issues", "Changelog"}
    assert all(url.startswith(ADDRESS) for url in metadata["urls"].values())


def test_without_one_nothing_is_invented(build, monkeypatch):
    monkeypatch.setattr(build, "ADDRESS", "")
    metadata = complete(build)
    assert metadata["urls"] == {}
    assert metadata["readme"]["text"] == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_source_archive_holds_what_the_build_reads():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/README.md", "/hatch_build.py", "/src"} <= set(included)
    assert all((ROOT / name.lstrip("/")).exists() for name in included)
