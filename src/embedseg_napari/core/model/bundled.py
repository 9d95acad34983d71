"""An old name of `core.model.known_models`, kept for scripts."""

from embedseg_napari.core.model.known_models import bundled_path

__all__ = ["bundled_path"]
