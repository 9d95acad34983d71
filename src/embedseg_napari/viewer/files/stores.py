"""OME-Zarr as layers: the image in all its resolutions, and its labels on top.

Napari's own reader opens the first group that it finds in a store, which in an image with labels is not the image.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.ngff import find_group, names_of_labels
from embedseg_napari.core.files.pairing import image_name
from embedseg_napari.core.files.picture import Picture
from embedseg_napari.viewer.files.image_files import image_layer, labels_layer

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Layer
    from napari.viewer import Viewer

    from embedseg_napari.core.files.lazy_image import LazyImage
    from embedseg_napari.viewer.files.image_files import LayerData

logger = logging.getLogger(__name__)


def open_store(viewer: Viewer, path: Path) -> list[Layer]:
    """Open an image, or labels, and the labels that lie in the image; pixels are read when they are looked at.

    Raises
    ------
    DataError
        If it holds no image that can be read.
    """
    return [
        (viewer.add_labels if kind == "labels" else viewer.add_image)(data, **options)
        for data, options, kind in _layers(path)
    ]


def _layers(path: Path) -> list[LayerData]:
    image = open_image(path)
    name = image.path.name if image.is_labels else image_name(path)
    picture = _picture(image)
    layers = [_with_levels(labels_layer(picture, name) if image.is_labels else image_layer(picture, name), image)]
    group = find_group(path)
    if group is not None and group.named is None and not image.is_labels:
        for label in names_of_labels(image.path):
            try:
                labels = open_image(image.path / "labels" / label)
            except DataError as error:
                # The image is worth seeing without them.
                logger.warning("%s", error)
                continue
            layers.append(_with_levels(labels_layer(_picture(labels), label, picture), labels))
    return layers


def _picture(image: LazyImage) -> Picture:
    import dask.array

    array = dask.array.from_array(image, image.chunks, name=False, asarray=False)
    return Picture(
        array, image.axes, image.spacing, image.unit, image.channel_names, image.path, interval=image.interval
    )


def _with_levels(layer: LayerData, image: LazyImage) -> LayerData:
    """The layer with all resolutions, where the image begins."""
    data, options, kind = layer
    if image.origin is not None:
        space = dict(zip((letter for letter in "ZYX" if letter in image.axes), image.origin, strict=True))
        options = {**options, "translate": tuple(space.get(letter, 0.0) for letter in image.axes)}
    if image.level > 0 or len(image.levels) < 2:
        return data, options, kind
    rest = [_picture(open_image(image.path, level)).array for level in range(1, len(image.levels))]
    return [data, *rest], {**options, "multiscale": True}, kind
