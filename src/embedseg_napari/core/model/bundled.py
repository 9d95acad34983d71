"""Models that come with the package."""

from __future__ import annotations

from pathlib import Path

from embedseg_napari.core.errors import ModelError

FOLDER = Path(__file__).resolve().parents[2] / "models"
SUFFIX = ".embedseg"


def bundled_names() -> list[str]:
    """Names of the bundled models."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}")) if FOLDER.is_dir() else []


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
