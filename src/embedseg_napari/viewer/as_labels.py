"""Images that hold labels become Labels layers, in the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from embedseg_napari.core.files.plane_stack import is_plane_file
from embedseg_napari.viewer.layers import ONE_EACH, path_of
from embedseg_napari.viewer.neighbours import image_below, name_as_its_image

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer


def turn_into_labels(viewer: Viewer, layer: Image) -> Labels:
    """Put a Labels layer in the place of an image; in hand is what was, or the labels if that was the image."""
    arrays = list(layer.data) if layer.multiscale else [layer.data]
    arrays = [one[..., 0] if layer.rgb else one for one in arrays]
    arrays = [_integers(one) for one in arrays]
    labels = Labels(
        arrays if layer.multiscale else arrays[0],
        multiscale=layer.multiscale,
        name=layer.name,
        affine=layer.affine,
        axis_labels=layer.axis_labels,
        metadata={"path": layer.source.path, **layer.metadata},
        rotate=layer.rotate,
        scale=layer.scale,
        shear=layer.shear,
        translate=layer.translate,
        units=layer.units,
        visible=layer.visible,
    )
    name_planes(labels)
    layers = viewer.layers
    name_as_its_image(labels, layers)
    at, active = layers.index(layer), layers.selection.active
    layers.remove(layer)
    labels.name = layer.name
    layers.insert(at, labels)
    image = image_below(labels, list(layers))
    if image is not None and layers.index(image) > at:
        # Files come in any order.
        layers.move(at, layers.index(image) + 1)
    layers.selection.active = labels if active == layer or active is None else active
    return labels


def name_planes(labels: Labels) -> None:
    """Call the channels of labels what they are where their file says that it holds planes of one object each."""
    path, names = path_of(labels), [str(name) for name in labels.axis_labels]
    if "c" in names and is_plane_file(path):
        labels.axis_labels = [ONE_EACH.lower() if name == "c" else name for name in names]


def _integers(array: Any) -> Any:
    """The same numbers as integers that can be painted on."""
    if array.dtype.kind in "ui":
        is_locked = isinstance(array, np.ndarray) and not array.flags.writeable
        return array.copy() if is_locked else array
    if not hasattr(array, "astype"):
        array = np.asarray(array)
    return array.astype(np.int64 if float(array.max()) > np.iinfo(np.int32).max else np.int32)
