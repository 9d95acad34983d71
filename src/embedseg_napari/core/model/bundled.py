"""Models that come with the package."""

from __future__ import annotations

from pathlib import Path

from embedseg_napari.core.errors import ModelError

FOLDER = Path(__file__).resolve().parents[2] / "models"
SUFFIX = ".embedseg"


def bundled_names() -> list[str]:
    """Names of the bundled models, those of nuclei first: the first one is where people begin."""
    names = [path.stem for path in FOLDER.glob(f"*{SUFFIX}")] if FOLDER.is_dir() else []
    return sorted(names, key=lambda name: (not name.startswith("nuclei"), name))


def bundled_path(name: str) -> Path:
    """File of a bundled model.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    path = FOLDER / f"{name}{SUFFIX}"
    if name not in bundled_names():
        raise ModelError(f"There is no bundled model {name!r}; there are: {', '.join(bundled_names()) or 'none'}.")
    return path
