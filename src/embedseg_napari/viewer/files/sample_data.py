"""Sample data: nuclei generated on the spot with their true labels, and real images that are fetched once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.viewer.tiff_metadata import axis_labels

if TYPE_CHECKING:
    from embedseg_napari.viewer.files.image_files import LayerData

SHAPE_2D = (512, 512)
SHAPE_3D = (24, 192, 192)


def nuclei_2d() -> list[LayerData]:
    """Return an image of crowded nuclei and its true labels."""
    return _sample(SHAPE_2D, seed=7)


def nuclei_3d() -> list[LayerData]:
    """Return a volume of nuclei, three times as coarse along z, and its true labels."""
    return _sample(SHAPE_3D, seed=7)


def _sample(shape: tuple[int, ...], seed: int) -> list[LayerData]:
    sample = nuclei(shape, seed=seed)
    name = f"nuclei {len(shape)}D"
    place = {
        "scale": sample.spacing,
        "units": (sample.unit,) * len(shape),
        "axis_labels": axis_labels("ZYX"[-len(shape) :]),
    }
    return [
        (sample.image, {"name": name, **place}, "image"),
        (sample.labels, {"name": f"{name} truth", **place, "opacity": 0.5}, "labels"),
    ]
