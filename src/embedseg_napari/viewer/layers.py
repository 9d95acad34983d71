"""From layers to what the core works on: the picture of a layer, its pixel size, the role it plays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pint

from embedseg_napari.core.axes import KNOWN, guess_axes, spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import Picture, read_image
from embedseg_napari.core.files.units import normalize_unit
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.jobs.training_pairs import FRAMES, VOLUME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.layers import Image, Labels, Layer


RESULT = "embedseg_napari"
"""Key in the metadata of layers that the plugin made; its value says what they are, such as `FOUND` or `PREVIEW`."""
FOUND = "result"
"""What a segmentation found: its objects, their seed map and centres."""
PREVIEW = "preview"
"""What a training shows of the network as it is."""
LINES = "tracks"
"""Lines along which objects move."""
SEGMENTED = "embedseg-image"
"""Key in a layer's metadata: which image its objects were found in (its `unique_id`)."""
TRACKED = "embedseg-tracked"
"""Key in a layer's metadata: its objects have the numbers of tracks."""
TUNED = "embedseg-tuned"
"""Key in a layer's metadata: its objects were found in *Evaluate*, at thresholds that were tuned."""
EDITED = "embedseg-edited"
"""Key in a layer's metadata: its objects were found by a segmentation, and changed by hand."""
WHOLE_OF = "embedseg-whole-of"
"""Key in a layer's metadata: which Labels layer (its `unique_id`) shows its objects cut where others cross them."""
SURFACES_OF = "embedseg-surfaces-of"
"""Key in a layer's metadata: which Labels layer (its `unique_id`) it shows the surfaces of."""
ANNOTATION = "embedseg-annotation"
"""Key in a layer's metadata: which image it annotates (its `unique_id`)."""
ITSELF = "embedseg-itself"
"""Key in the metadata of a layer that annotates an image: its own `unique_id`, so that a copy of it is told apart."""
TIME_POINT = "embedseg-frame"
"""Key in a layer's metadata: the time-lapse (its `unique_id`) and the frame it was taken from."""
AT_FRAME = "embedseg-at-frame"
"""Key in the metadata of a result without an axis of frames: which frame of its image it was found in."""
PART_OF = "embedseg-part"
"""Key in a layer's metadata: the large image, or labels, it was cut out of, and where."""
CHANNEL_OF = "embedseg-channel"
"""Key in a layer's metadata: the image (its `unique_id`) and the channel it was taken from."""
CHANNEL_NAMES = "channel_names"
"""Key in a layer's metadata: the names of its channels, as its file gives them."""
FRAME_INTERVAL = "frame_interval"
"""Key in a layer's metadata: the seconds between its time points, as its file gives them."""
OF_IMAGE = (SEGMENTED, FRAME_INTERVAL, AT_FRAME)
"""Keys in the metadata of a result that hold for what is made of it, too."""
ONE_EACH = "N"
"""Axis of labels whose planes hold one object each; no image has it."""
WORDS = {
    **dict.fromkeys(("TIME", "FRAME", "FRAMES"), "T"),
    **dict.fromkeys(("CHANNEL", "CHANNELS"), "C"),
    **dict.fromkeys(("DEPTH", "SLICE", "SLICES", "PLANE", "PLANES"), "Z"),
}
"""Axis labels that are written out."""


def is_users(layer: Layer) -> bool:
    """Whether a layer is the user's own: not a result, a preview, a mark or an annotation that the plugin made."""
    return RESULT not in layer.metadata and ANNOTATION not in layer.metadata


def is_users_or_found(layer: Layer) -> bool:
    """Whether a layer is the user's own, or what a segmentation found, which may have been corrected by hand."""
    return is_users(layer) or layer.metadata.get(RESULT) == FOUND


def time_lapse_of(image: Layer) -> str:
    """The `unique_id` of the time-lapse that an image is a frame of; its own where it is none."""
    return str(image.metadata.get(TIME_POINT, image.unique_id)).split(" ", maxsplit=1)[0]


def found_in(image: Layer) -> dict[str, Any]:
    """What the metadata of a result say of the image that it was found in."""
    return {**of_image(image), SEGMENTED: str(image.unique_id)}


def of_image(layer: Layer) -> dict[str, Any]:
    """What the metadata of a layer say of its image: what is made of it is of that image, too."""
    return {key: layer.metadata[key] for key in OF_IMAGE if key in layer.metadata}


def cut_from(layer: Layer, start: Iterable[int], store: str | None = None) -> dict[str, Any]:
    """What the metadata of a layer say that was cut out of another one, at a pixel T(Z)YX, maybe of a store."""
    return {PART_OF: {"image": str(layer.unique_id), "start": [int(at) for at in start], "store": store}}


def taken_from(layer: Layer) -> str:
    """The `unique_id` of the layer that another one was taken from, was found in or is about; empty for others."""
    keys = SEGMENTED, ANNOTATION, SURFACES_OF, TIME_POINT, CHANNEL_OF
    marks = [*(layer.metadata.get(key) for key in keys), layer.metadata.get(PART_OF, {}).get("image")]
    return next((str(mark).split(" ", maxsplit=1)[0] for mark in marks if mark), "")


def line_of(layer: Layer, layers: Iterable[Layer]) -> list[str]:
    """The `unique_id` of a layer, of what it was taken from, of what that was taken from, and so on.

    The last is that of an image, which may be closed.
    """
    known = {str(one.unique_id): one for one in layers}
    line, at = [str(layer.unique_id)], layer
    while at is not None and (source := taken_from(at)) not in ("", *line):
        line.append(source)
        at = known.get(source)
    return line


def shows_objects(layer: Layer) -> bool:
    """Whether a layer shows objects that stay: labels, their surfaces, centres that were found, tracks; no previews."""
    from napari.layers import Labels, Points

    role = layer.metadata.get(RESULT)
    is_of_labels = role == LINES or SURFACES_OF in layer.metadata or (isinstance(layer, Points) and role == FOUND)
    return is_of_labels or (isinstance(layer, Labels) and role != PREVIEW)


def array_of(layer: Layer) -> Any:
    """The array of an Image or Labels layer; of a pyramid, its full resolution."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def lazily(array: Any) -> Any:
    """An array whose parts are not read yet when it is cut and turned."""
    if isinstance(array, np.ndarray):
        return array
    if hasattr(array, "as_dask"):
        return array.as_dask()
    if hasattr(array, "transpose"):
        return array
    import dask.array

    return dask.array.from_array(array, name=False)


def first_along(array: Any, axis: int) -> Any:
    """What an array holds at the first pixel of an axis; of one that is not in memory nothing is read yet."""
    return lazily(array)[(slice(None),) * axis + (0,)]


def path_of(layer: Layer) -> Path | None:
    """Where a layer was opened from, which may be gone; None where it was not."""
    path = layer.metadata.get("path") or getattr(layer.source, "path", None)
    return Path(path) if path else None


def file_of(layer: Layer) -> Path:
    """The file that a layer was opened from, or the folder of its OME-Zarr.

    Raises
    ------
    DataError
        If it was not, or the file is gone.
    """
    path = path_of(layer)
    if path is None or not (os.path.isfile(path) or is_store(path)):
        raise DataError(
            f"Save {layer.name} first (File > Save Selected Layers…) and open that file: a command reads files."
        )
    # Of a name that was typed in a terminal; the command may be pasted into another one.
    return path.absolute()


def axes_of_file(shape: Sequence[int], axes: str) -> str:
    """Those axes of an array that its file is read with: axes of one pixel are left out, but Y and X."""
    sizes = dict(zip(axes, shape, strict=False))
    return "".join(letter for letter in axes if letter in "YX" or sizes.get(letter) != 1)


def unchanged_file(labels: Labels) -> Path:
    """The file that holds the labels of a layer as they are now.

    Raises
    ------
    DataError
        If there is none, or they were changed since it was read or written.
    """
    path, now = file_of(labels), array_of(labels)
    # What is read in parts cannot be painted on.
    if isinstance(now, np.ndarray) and not np.array_equal(
        np.squeeze(read_image(path, labels=True, say=lambda _: None).array), np.squeeze(now)
    ):
        raise DataError(
            f"{labels.name} changed since it was saved: save it first (File > Save Selected Layers…) and open that "
            "file; a command reads files."
        )
    return path


def picture_of(layer: Layer, ndim: int | None = None, n_channels: int = 1, stack: str | None = None) -> Picture:
    """What a layer shows: its array with axes, pixel size and unit. The one rule for all panels; no pixel is read.

    Axes are those that the layer names; else they are guessed from its shape and from what is known of the use it is
    put to. The scale is the pixel size, in micrometres or another length where the layer's units are lengths; a scale
    without one still tells how far apart slices are. A scale of 1 without unit says nothing.

    Parameters
    ----------
    layer : Layer
        An Image or Labels layer.
    ndim : {2, 3}, optional
        Spatial dimensions, if they are known: those of a model, or of the labels of the image.
    n_channels : int
        Channels of the model, if there is one.
    stack : str, optional
        `FRAMES` or `VOLUME`: how the user says that the third axis is read.

    Returns
    -------
    Picture
        Array and axes in the layer's own order, spacing in the order (z, y, x).

    Raises
    ------
    DataError
        If the layer has more axes than an image can have.
    """
    array, is_rgb = array_of(layer), bool(getattr(layer, "rgb", False))
    shape = tuple(int(n) for n in array.shape)
    named = named_axes(layer.axis_labels, len(shape) - is_rgb)
    if is_rgb or not hasattr(layer, "rgb"):
        # Colours are counted by themselves, and labels have no channels.
        n_channels = 0
    what = f"{layer.name} has {len(shape) - is_rgb} axes{' beside its colours' * is_rgb}"
    axes = named or _guessed_axes(what, shape[:-1] if is_rgb else shape, ndim, n_channels)
    axes = axes if stack is None else stacked(axes, stack)
    spacing, unit = pixel_size(layer.scale, layer.units, axes)
    axes += "C" * is_rgb
    names = tuple(layer.metadata.get(CHANNEL_NAMES, ()))
    return Picture(array, axes, spacing, unit, names, None, not named, is_colour=is_rgb)


def _guessed_axes(what: str, shape: tuple[int, ...], ndim: int | None, n_channels: int) -> str:
    """Axes of a layer that does not name them; without channels where it has none but colours."""
    most = len(KNOWN) if n_channels else len(KNOWN) - 1
    if len(shape) > most:
        raise DataError(f"{what}, and at most {most} can be used; right-click the layer and split its stack.")
    if not n_channels:
        return {2: "YX", 3: "TYX" if ndim == 2 else "ZYX", 4: "TZYX"}[len(shape)]
    if ndim is None and len(shape) == 3 and shape[0] == 2:
        # Two planes are hardly a volume; see `unknown_axis`.
        ndim = 2
    try:
        return guess_axes(shape, ndim, n_channels)
    except DataError:
        # It does not suit its use; what it is can be said all the same, and the panel says what does not fit.
        return guess_axes(shape)


def named_axes(labels: Any, ndim: int) -> str:
    """The axes that the labels of a layer name, whole words or letters; empty if they leave one open."""
    words = [str(label).strip().upper() for label in labels or ()]
    letters = "".join(WORDS.get(word, word) for word in words)
    is_named = len(letters) == len(words) == ndim == len(set(letters)) and {"Y", "X"} <= set(letters) <= set(KNOWN)
    return letters if is_named else ""


def object_axis(axis_labels: Any) -> int | None:
    """Which axis of labels counts planes of one object each, by the names of all; None where there is no such axis."""
    words = [str(word).strip().upper() for word in axis_labels or ()]
    return words.index(ONE_EACH) if ONE_EACH in words else None


def one_each_axes(axis_labels: Any, name: str) -> str:
    """The axes of each plane of labels whose planes hold one object each; empty for all others.

    Parameters
    ----------
    axis_labels : sequence of str, optional
        Of a Labels layer.
    name : str
        What that is called in a sentence.

    Raises
    ------
    DataError
        If there are such planes in each frame.
    """
    at, labels = object_axis(axis_labels), tuple(axis_labels or ())
    if at is None:
        return ""
    axes = named_axes(labels[1:], len(labels) - 1) if at == 0 else ""
    if axes not in ("YX", "ZYX"):
        raise DataError(
            f"{name} has planes of one object each in every frame; open the masks of one frame by themselves."
        )
    return axes


def unknown_axis(layer: Image | Labels) -> int | None:
    """The first axis of a stack of planes, if nothing says what it counts: depth, time, channels, or single objects.

    Two planes of an image are hardly a volume or a movie: they are taken for channels, and the panels show that they
    guess.
    """
    n_axes = len(array_of(layer).shape) - bool(getattr(layer, "rgb", False))
    if n_axes != 3 or object_axis(layer.axis_labels) is not None:
        return None
    picture = picture_of(layer, 2)
    least = 3 if hasattr(layer, "rgb") else 2
    return 0 if picture.axes_guessed and picture.axes[1:3] == "YX" and picture.array.shape[0] >= least else None


def name_axes(layer: Layer, axes: str) -> None:
    """Let a layer remember its axes, one letter each; the channels of colours are none of its axes."""
    layer.axis_labels = tuple(axes[: layer.ndim].lower())


def pixel_size(scale: Any, units: Any, axes: str) -> tuple[tuple[float, ...] | None, str | None]:
    """Pixel size (z, y, x) and its unit from the scale and units of a layer; None where they do not say.

    Parameters
    ----------
    scale, units : sequence
        One value per axis of the layer.
    axes : str
        Their letters.
    """
    places = [axes.index(letter) for letter in spatial_axes(axes)]
    spacing = [abs(float(scale[place])) for place in places]
    given = [units[place] for place in places] if units else []
    unit = normalize_unit(str(given[-1])) if given and _is_length(given[-1]) else None
    if unit is None:
        return (None if set(spacing) == {1.0} else tuple(spacing)), None
    for index, other in enumerate(given):
        if other == given[-1] or normalize_unit(str(other)) is None:
            continue
        # What is no length says nothing of the distance of slices: they are taken to be as far apart as pixels.
        spacing[index] = (
            spacing[index] * float((1 * other).to(given[-1]).magnitude) if _is_length(other) else spacing[-1]
        )
    return tuple(spacing), unit


def frame_interval(scale: Any, units: Any, axes: str, metadata: Mapping[Any, Any]) -> float | None:
    """Seconds between the time points of a layer: as its scale says, else as its file did; None where neither does.

    Parameters
    ----------
    scale, units : sequence
        One value per axis of the layer.
    axes : str
        Their letters.
    metadata : dict
        The layer's metadata.
    """
    at = axes.find("T")
    if at < 0:
        return None
    if units and len(scale) > at and str(units[at]) != "pixel":
        unit = pint.get_application_registry().Unit(str(units[at]))
        if unit.is_compatible_with("second"):
            return abs(float(scale[at])) * float((1 * unit).to("second").magnitude)
    known: float | None = metadata.get(FRAME_INTERVAL)
    return known


def _is_length(unit: Any) -> bool:
    """Whether a unit of napari's, or its name, is one of length."""
    return dict(getattr(unit, "dimensionality", {"[length]": 1})) == {"[length]": 1}


def channel_names(image: Image, n: int) -> tuple[str, ...]:
    """What the channels of an image are called: as its file says, by their colours, or by their numbers."""
    names = tuple(map(str, image.metadata.get(CHANNEL_NAMES, ())))
    if len(names) == n:
        return names
    return ("red", "green", "blue", "alpha")[:n] if image.rgb else tuple(f"channel {i}" for i in range(n))


def stacked(axes: str, stack: str) -> str:
    """Axes whose third one is read as the user says, if that is open."""
    if stack == FRAMES and "T" not in axes:
        return axes.replace("Z", "T")
    if stack == VOLUME and "Z" not in axes:
        return axes.replace("T", "Z")
    return axes
