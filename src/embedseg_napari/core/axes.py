"""Axis strings and the one order arrays take inside: channels first, then (Z)YX.

Letters: ``T`` time, ``C`` channel, ``Z Y X`` space. In a mask, ``D`` counts planes of one object each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SPATIAL = "ZYX"
KNOWN = "TCZYX"
OneChannel = int | Literal["mean"]
"""A channel, counted from 0, or the mean of all."""
Channel = OneChannel | Literal["all"]


def parse_axes(axes: str) -> str:
    """Return an axis string in upper case, or say what is wrong with it.

    Parameters
    ----------
    axes : str
        One letter per array axis, such as ``"ZYX"`` or ``"CYX"``; ``S`` (samples) is read as a channel axis.

    Raises
    ------
    DataError
        If it is no text, a letter is unknown or repeated, or Y or X is missing.
    """
    if not isinstance(axes, str):
        raise DataError(f"Axes {axes!r}: write one word with a letter per axis, such as 'TCYX'.")
    text = axes.strip().upper().replace("S", "C")
    unknown = sorted(set(text) - set(KNOWN))
    if unknown:
        raise DataError(
            f"Axes {axes!r}: unknown letter {unknown[0]!r}; use letters of {', '.join(KNOWN)}, with T for any set of "
            "images of their own, such as positions."
        )
    if len(set(text)) != len(text):
        raise DataError(f"Axes {axes!r}: a letter stands twice; each axis needs its own letter.")
    if "Y" not in text or "X" not in text:
        raise DataError(f"Axes {axes!r}: both Y and X are needed.")
    return text


def spatial_axes(axes: str) -> str:
    """Return the spatial letters of an axis string in the order (Z)YX."""
    return "".join(letter for letter in SPATIAL if letter in axes)


def guess_axes(shape: tuple[int, ...], ndim: int | None = None, n_channels: int = 1) -> str:
    """Guess the axis string of an array from its shape and what the model expects.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    ndim : {2, 3}, optional
        Spatial dimensions the model works in, if known.
    n_channels : int
        Channels the model works on.

    Returns
    -------
    str
        Such as ``"YX"``, ``"ZYX"``, ``"TYX"``, ``"CYX"``, ``"YXC"``.

    Raises
    ------
    DataError
        If no reading of the shape makes sense.
    """
    n = len(shape)
    if n < 2:
        raise DataError(f"An array of shape {shape} is no image; at least Y and X are needed.")
    space = "YX" if ndim == 2 or (ndim is None and n == 2) else "ZYX"
    if n < len(space):
        raise DataError(f"An array of shape {shape} is no volume; the model needs Z, Y and X.")
    extra = n - len(space)
    if extra == 0:
        return space
    if extra == 1:
        if shape[-1] in (3, 4) and shape[0] not in (3, 4) and shape[-1] < min(shape[:-1]):
            return f"{space}C"
        if space == "YX" and ndim is None:
            return "ZYX"
        # Few planes in front of an image are channels; few volumes are as likely the start of a movie.
        is_channels = shape[0] == n_channels if n_channels > 1 else space == "YX" and shape[0] <= 4
        return f"C{space}" if is_channels else f"T{space}"
    if extra == 2:
        return f"TC{space}"
    raise DataError(f"Axes of an array of shape {shape} cannot be guessed; name them, for example axes='TCZYX'.")


def is_certain(shape: tuple[int, ...], ndim: int, n_channels: int = 1) -> bool:
    """Whether an array can be nothing but an image of these spatial axes, with as many channels, in the usual order."""
    if len(shape) == ndim:
        return True
    return len(shape) == ndim + 1 and shape[0] == n_channels > 1 and shape[-1] != n_channels


def result_axes(axes: str) -> str:
    """Return the axes of results for an image: its own, in its own order, without the channels."""
    return axes.replace("C", "")


def ordered(axes: str) -> str:
    """Return the letters of an axis string in the order arrays take inside, TC(Z)YX."""
    return "".join(letter for letter in KNOWN if letter in axes)


def check_spacing(spacing: Sequence[float], space: str) -> tuple[float, ...]:
    """Return a pixel size that someone gave, one positive number per spatial axis.

    Parameters
    ----------
    spacing : sequence of float
        Values in the order (z, y, x).
    space : str
        The spatial axes, such as ``"YX"``.

    Raises
    ------
    DataError
        If it is none, or one of other axes.
    """
    try:
        values = tuple(float(step) for step in spacing)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"Spacing {spacing!r} is no pixel size; give one number for each of the axes {space}."
        ) from error
    if len(values) != len(space):
        raise DataError(f"Spacing {values} needs one value for each of the axes {space}, but has {len(values)}.")
    if not all(0 < step < float("inf") for step in values):
        raise DataError(f"Spacing {values}: pixel sizes are positive numbers.")
    return values


def reorder(array: Any, axes: str, order: str) -> Any:
    """Turn an array from one order of its axes to another: the way in, and with the two swapped the way back.

    Parameters
    ----------
    array : array
        Anything with `transpose` (a view comes back), or what NumPy makes an array of.
    axes, order : str
        The same letters, one per axis, as they are and as they shall be.
    """
    if axes == order:
        return array
    turned = array if hasattr(array, "transpose") else np.asarray(array)
    return turned.transpose([axes.index(letter) for letter in order])


def read_part(array: Any, axes: str, key: Mapping[str, int | slice]) -> np.ndarray:
    """Read a part of an array that may be lazy, with its axes in the order TC(Z)YX.

    Parameters
    ----------
    array : array
        Anything that can be sliced.
    axes : str
        One letter per axis.
    key : dict of str to int or slice
        What is read along an axis; all of it where a letter is missing. An axis of one index is left out.
    """
    read = np.asarray(array[tuple(key.get(letter, slice(None)) for letter in axes)])
    kept = "".join(letter for letter in axes if not isinstance(key.get(letter), int))
    part: np.ndarray = reorder(read, kept, ordered(kept))
    return part


def mean_of_channels(image: np.ndarray, axis: int = 0, *, keepdims: bool = False) -> np.ndarray:
    """Take the mean of an image's channels, in float32: dim images would lose shades if it were rounded.

    The only channel of a grey image is taken as it is: a model may go by the range of its type.

    Parameters
    ----------
    image : ndarray
        Any real type.
    axis : int
        The axis of the channels.
    keepdims : bool
        Whether an axis of length 1 stays.
    """
    if image.shape[axis] == 1:
        return image if keepdims else image.squeeze(axis)
    mean: np.ndarray = image.mean(axis=axis, dtype=np.float32, keepdims=keepdims)
    return mean


def to_frames(array: np.ndarray, axes: str) -> np.ndarray:
    """Reorder an array to TC(Z)YX, adding T and C of length 1 where they are missing (a view).

    Raises
    ------
    DataError
        If the number of letters is not the number of axes.
    """
    axes = parse_axes(axes)
    if len(axes) != array.ndim:
        raise DataError(
            f"Axes {axes!r} name {len(axes)} axes but the array has {array.ndim} (shape {array.shape}); "
            "give one letter per axis."
        )
    out: np.ndarray = reorder(array, axes, ordered(axes))
    for position, letter in enumerate("TC"):
        if letter not in axes:
            out = out[(slice(None),) * position + (None,)]
    return out
