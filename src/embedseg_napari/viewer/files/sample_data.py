"""Sample data: nuclei generated on the spot with their true labels, and real images that are fetched once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.data.dividing_cells import dividing_cells, unlinked
from embedseg_napari.core.data.synthetic import Look, nuclei
from embedseg_napari.viewer.file_metadata import axis_labels

if TYPE_CHECKING:
    from embedseg_napari.core.data.synthetic import Sample
    from embedseg_napari.viewer.files.image_files import LayerData

SHAPE_2D, SHAPE_3D = (512, 512), (24, 192, 192)


def nuclei_2d() -> list[LayerData]:
    """Return an image of nuclei, some of them touching, and its true labels; one that `nuclei-2d` solves."""
    return _layers(nuclei(SHAPE_2D, diameter=28, coverage=0.22, debris=0.03, look=Look(clump=1.8), seed=17))


def nuclei_3d() -> list[LayerData]:
    """Return a volume of crowded nuclei, three times as coarse along z, and its true labels.

    `nuclei-3d`, which looks for their scale, has an AP of 0.67 at IoU 0.5 here.
    """
    return _layers(nuclei(SHAPE_3D, seed=7))


def dividing() -> list[LayerData]:
    """Return a time-lapse of cells that move and divide, and their labels with numbers that change in each frame."""
    movie = dividing_cells(40, 16, 12)
    place = {"axis_labels": axis_labels("TYX")}
    return [
        (movie.image, {"name": "dividing cells", **place}, "image"),
        (unlinked(movie.labels), {"name": "dividing cells found", **place, "opacity": 0.5}, "labels"),
    ]


def _layers(sample: Sample) -> list[LayerData]:
    shape = sample.image.shape
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
