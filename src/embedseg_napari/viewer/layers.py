"""Layers to arrays, and results to layers: created once, then updated, in the place of the layer they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import KNOWN, guess_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.jobs.training_pairs import FRAMES, VOLUME

if TYPE_CHECKING:
    import napari.layers


from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes


from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes


from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer


from typing import TYPE_CHECKING

from embedseg_napari.core.wording import shape_words
from embedseg_napari.jobs.training_pairs import ArrayPair, Region

if TYPE_CHECKING:
    from napari.layers import Image


RESULT = "embedseg_napari"
"""Key in the metadata of layers that hold results; lists of input images leave them out."""


def array_of(layer: napari.layers.Layer) -> Any:
    """The array of an Image or Labels layer; of a pyramid, its full resolution."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def layer_axes(layer: napari.layers.Layer, ndim: int | None = None, n_channels: int = 1) -> tuple[str, bool]:
    """Axes of a layer's array, and whether the layer itself names them (else they are guessed from the shape).

    Parameters
    ----------
    layer : Layer
        An Image or Labels layer.
    ndim : {2, 3}, optional
        Spatial dimensions of the model, if known.
    n_channels : int
        Channels of the model.
    """
    shape = tuple(int(n) for n in array_of(layer).shape)
    is_rgb = bool(getattr(layer, "rgb", False))
    named = "".join(str(label) for label in layer.axis_labels).upper() + ("C" if is_rgb else "")
    if (
        len(named) == len(shape)
        and set(named) <= set(KNOWN)
        and len(set(named)) == len(named)
        and {"Y", "X"} <= set(named)
    ):
        return named, True
    if is_rgb:
        return guess_axes(shape[:-1], ndim, 1).replace("C", "T") + "C", False
    return guess_axes(shape, ndim, n_channels), False


def pair_from_layers(
    image: Image,
    labels: Labels,
    shapes: Shapes | None = None,
    *,
    stack: str | None = None,
    channel: int | None = None,
) -> ArrayPair:
    """Take an image and its labels from the viewer. Reads no pixels, so it may run on the viewer's thread.

    Parameters
    ----------
    image : napari Image layer
        Image; of a multiscale layer the full resolution.
    labels : napari Labels layer
        Its objects.
    shapes : napari Shapes layer, optional
        Train only inside its shapes.
    stack : str, optional
        `VOLUME` or `FRAMES`: how the third axis is read; default by the layer's axis labels, else as a volume.
    channel : int, optional
        The only channel to train on, counted from 0; default all.

    Raises
    ------
    DataError
        If the two do not fit together.
    """
    array = image.data[0] if image.multiscale else image.data
    truth = labels.data[0] if labels.multiscale else labels.data
    axes = training_axes(image, len(truth.shape), stack)
    space = tuple(size for size, letter in zip(array.shape, axes, strict=True) if letter != "C")
    if space != tuple(truth.shape):
        raise DataError(
            f"{image.name} has the shape {shape_words(space)}, but {labels.name} has {shape_words(truth.shape)}; "
            "choose the labels that were drawn on this image."
        )
    if "T" in axes and axes.index("T") != 0:
        raise DataError(f"{image.name}: the time axis must come first; transpose the layer.")
    spacing, unit = layer_spacing(image, axes)
    regions = regions_on(image, shapes) if shapes is not None else ()
    if shapes is not None and not regions:
        raise DataError(f"{shapes.name}: holds no shape yet; draw a rectangle around the objects you labelled.")
    return ArrayPair(image.name, array, truth, axes, spacing, unit, regions, channel)


def training_axes(image: Image, n_space: int | None = None, stack: str | None = None) -> str:
    """Axes of an image layer, from its axis labels where they say something, else from its shape.

    Parameters
    ----------
    image : napari Image layer
        Layer.
    n_space : int, optional
        Axes of its labels: what the image has beyond them is a channel axis.
    stack : str, optional
        `VOLUME` or `FRAMES`, as in :func:`pair_from_layers`.
    """
    shape = image.data[0].shape if image.multiscale else image.data.shape
    n = len(shape) - (1 if image.rgb else 0)
    named = [str(label).strip().upper()[:1] for label in getattr(image, "axis_labels", ())]
    words = [str(label).strip().lower() for label in getattr(image, "axis_labels", ())]
    known = len(named) == n and set(named) <= set("TCZYX") and len(set(named)) == n and {"Y", "X"} <= set(named)
    if known and not any(word.startswith(("axis", "dim")) for word in words):
        axes = "".join(named)
    else:
        axes = {2: "YX", 3: "ZYX", 4: "TZYX"}.get(n, "TCZYX"[-n:])
        if n_space is not None and n == n_space + 1:
            axes = "C" + {2: "YX", 3: "ZYX"}.get(n_space, "ZYX"[-n_space:])
    if stack == FRAMES and "T" not in axes and "Z" in axes:
        axes = axes.replace("Z", "T")
    elif stack == VOLUME and "Z" not in axes and "T" in axes:
        axes = axes.replace("T", "Z")
    return axes + ("C" if image.rgb else "")


def layer_spacing(image: Image, axes: str) -> tuple[tuple[float, ...] | None, str | None]:
    """Physical pixel size (z, y, x) and unit of a layer; None where the layer does not say."""
    letters = axes[:-1] if image.rgb else axes
    places = [letters.index(letter) for letter in "ZYX" if letter in letters]
    scale = tuple(float(abs(image.scale[place])) for place in places)
    unit = str(image.units[places[-1]]) if getattr(image, "units", None) else "pixel"
    unit_name = None if unit in ("pixel", "dimensionless", "") else unit
    if unit_name is None and all(step == 1 for step in scale):
        return None, None
    return scale, unit_name


def regions_on(image: Image, shapes: Shapes) -> tuple[Region, ...]:
    """Shapes of a layer in the pixels of an image layer."""
    regions = []
    places = [-2, -1]
    for outline, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in ("line", "path"):
            continue
        corners = []
        for corner in outline:
            world = np.asarray(shapes.data_to_world(corner), float)
            n = image.ndim
            world = np.concatenate([np.zeros(max(n - len(world), 0)), world])[-n:]
            corners.append(np.asarray(image.world_to_data(world))[places])
        regions.append(Region(np.asarray(corners), kind in ("rectangle", "ellipse")))
    return tuple(regions)


ANNOTATION = "embedseg-annotation"
"""Key in a layer's metadata: which image it annotates (its `unique_id`)."""


PREVIEW = "embedseg-preview"
"""Entry of a layer's metadata by which a preview is told from the user's own layers."""


def is_preview(layer: Layer) -> bool:
    """Whether a layer was made by a training."""
    return bool(layer.metadata.get(PREVIEW, False))


TIME_POINT = "embedseg-frame"
"""Key in a layer's metadata: the time-lapse (its `unique_id`) and the frame it was taken from."""
