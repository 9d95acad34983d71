"""Arrays that name their axes, as those of xarray do, told by their `dims`; no such package is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.picture import Picture
from embedseg_napari.core.files.units import converted, in_unit, normalize_unit, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.config import ModelConfig

NAMES = {
    "T": ("t", "time", "frame", "frames", "timepoint", "timepoints"),
    "C": ("c", "channel", "channels", "s", "sample", "samples", "band", "bands", "rgb"),
    "Z": ("z", "depth", "plane", "planes", "slice", "slices"),
    "Y": ("y", "height", "row", "rows"),
    "X": ("x", "width", "col", "cols", "column", "columns"),
}
"""What axes are called."""
LETTERS = {name: letter for letter, names in NAMES.items() for name in names}
EVEN = 1e-3
"""Steps between coordinates may differ by this part of a step."""


def as_picture(array: Any, *, mask: bool = False, labels_axes: str | None = None) -> Picture | None:
    """Take an array that names its axes: its pixels, axes, pixel size and unit; None for any other array.

    Pixel sizes are the steps between the coordinates, units their attribute `units`.

    Parameters
    ----------
    array : array
        Anything; with `dims`, names of its axes such as ``("t", "y", "x")``.
    mask : bool
        Whether it is one; its axes may then begin with one of objects, whatever that is called.
    labels_axes : str, optional
        Axes of its labels, of an image that is looked at beside them: the one axis that they lack counts its channels,
        whatever that is called.

    Raises
    ------
    DataError
        If an axis has a name that says nothing, or one that another axis has.
    """
    dims = _names(array)
    if not dims:
        return None
    pixels = pixels_of(array)
    if all(str(name) == f"dim_{number}" for number, name in enumerate(dims)):
        # What xarray calls axes that nobody has named.
        return Picture(pixels, "", axes_guessed=True)
    letters = {name: LETTERS.get(str(name).lower(), "") for name in dims}
    if mask:
        alone = next((name for name in dims if letters[name] == "C" and pixels.shape[dims.index(name)] == 1), None)
        if alone is not None:
            pixels = pixels[(slice(None),) * dims.index(alone) + (0,)]
            letters.pop(alone)
        elif not letters[dims[0]]:
            letters.pop(dims[0])
    beyond = [name for name, letter in letters.items() if not letter]
    if labels_axes is not None and len(beyond) == 1 and sorted("".join(letters.values())) == sorted(labels_axes):
        letters[beyond[0]] = "C"
    axes = "".join(letters.values())
    unknown = [str(name) for name, letter in letters.items() if not letter]
    if unknown or len(set(axes)) < len(axes):
        fault = f"{unknown[0]!r} is not known" if unknown else "two stand for the same axis"
        what, argument = ("array", "axes") if labels_axes is None else ("image", "image_axes")
        raise DataError(
            f"The axes of the {what} are called {', '.join(map(str, dims))}: {fault}; rename them to letters of T, C, "
            f'Z, Y, X, with T for any set of images of their own, or say what they are, for example {argument}="TYX".'
        )
    steps = {letter: _step(array, name) for name, letter in letters.items()}
    return Picture(pixels, axes, *_pixel_size([steps[letter] for letter in spatial_axes(axes)]))


def pixels_of(array: Any) -> Any:
    """The pixels of an array that names its axes, perhaps lazy; any other array itself."""
    if not _names(array):
        return array
    return array.data if hasattr(array.data, "transpose") else np.asarray(array)


def described(
    array: Any,
    axes: str | None,
    spacing: Sequence[float] | None = None,
    unit: str | None = None,
    *,
    mask: bool = False,
    labels_axes: str | None = None,
) -> tuple[Any, str | None, Sequence[float] | None, str | None]:
    """Pixels, axes, pixel size and its unit of an array that may name its axes; what is given goes before."""
    picture = as_picture(array, mask=mask, labels_axes=labels_axes) if axes is None else None
    if picture is None:
        return array, axes, spacing, unit
    size = (picture.spacing, picture.unit) if spacing is None else (spacing, unit)
    return picture.array, picture.axes or None, *size


def in_unit_of(image: Any, axes: str | None, config: ModelConfig) -> tuple[Any, str | None, tuple[float, ...] | None]:
    """Pixels, axes, and pixel size in the model's unit, of an array that names its axes; of others what is given."""
    picture = as_picture(image) if axes is None else None
    if picture is None:
        return image, axes, None
    size = in_unit(picture.spacing, picture.unit, config.spacing_unit)
    return picture.array, picture.axes or None, size if size is not None and len(size) == config.ndim else None


def _names(array: Any) -> tuple[Any, ...]:
    """What an array calls its axes; empty where it does not say."""
    dims: Any = getattr(array, "dims", None)
    is_named = isinstance(dims, tuple) and len(dims) == len(getattr(array, "shape", ()))
    return tuple(dims) if is_named else ()


def _step(array: Any, name: Any) -> tuple[float, str | None] | None:
    """Size of a pixel along an axis, and its unit; None where the coordinates do not say."""
    coordinates = array.coords[name] if name in getattr(array, "coords", ()) else None
    if coordinates is None:
        return None
    values = np.asarray(coordinates)
    attributes = getattr(coordinates, "attrs", {})
    unit = normalize_unit(attributes.get("units", attributes.get("unit")))
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iuf":
        return None
    steps = np.diff(values.astype(np.float64))
    step = size(np.median(steps))
    # Numbers without a unit that count pixels say nothing about their size.
    if step is None or not np.allclose(steps, np.median(steps), rtol=EVEN) or (unit is None and step == 1):
        return None
    return step, unit


def _pixel_size(steps: list[tuple[float, str | None] | None]) -> tuple[tuple[float, ...] | None, str | None]:
    """Pixel size of all axes in the unit of the last one, if all axes have one that can be told in it."""
    if not steps or any(step is None for step in steps):
        return None, None
    known = [step for step in steps if step is not None]
    unit = known[-1][1]
    values = [converted(step, own, unit) for step, own in known]
    told = tuple(value for value in values if value is not None)
    return (told, unit) if len(told) == len(known) else (None, None)
