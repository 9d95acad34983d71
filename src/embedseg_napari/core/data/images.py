"""An old name of `core.files.tiff`, kept for scripts."""

from embedseg_napari.core.files.tiff import read_image

__all__ = ["read_image"]
