"""Models into a library and out of it: the functions behind `es.import_model` and `es.export_model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.model.known_models import LibraryModel
    from embedseg_napari.core.model.library import ModelLibrary


def import_model(library: ModelLibrary, source: str | Path, name: str | None = None) -> LibraryModel:
    """An old name of :meth:`ModelLibrary.import_model`, kept for scripts."""
    return library.import_model(source, name)


def export_model(library: ModelLibrary, name: str, target: str | Path, **options: Any) -> Path:
    """An old name of :meth:`ModelLibrary.export_model`, kept for scripts."""
    return library.export_model(name, target, **options)
