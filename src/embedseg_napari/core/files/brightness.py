"""What the numbers in a file mean: brightness, whatever the file says about how to paint them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.files.lazy_image import FramesOnDisk
from embedseg_napari.core.files.picture import Pixels

if TYPE_CHECKING:
    from collections.abc import Callable

    import tifffile

    from embedseg_napari.core.files.metadata import Metadata

WHITE_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 2, 3, 5, 6, 8
"""Photometric interpretations of TIFF."""
WEIGHTS = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in how bright a colour looks."""


def as_brightness(
    array: np.ndarray,
    axes: str,
    page: tifffile.TiffPage,
    metadata: Metadata,
    labels: bool,
    is_imagej: bool,
    say: Callable[[str], None],
) -> Pixels:
    """Turn stored numbers into brightness; the numbers of objects in a mask stay as they are.

    Parameters
    ----------
    array : ndarray
        As stored.
    axes : str
        Its axes.
    page : TiffPage
        Says how its numbers are painted.
    metadata : Metadata
        Handed on.
    labels : bool
        Whether the numbers are those of objects.
    is_imagej : bool
        Whether ImageJ wrote it, where inverted and coloured tables change only what is seen.
    say : callable
        Takes what was assumed.
    """
    painted = int(page.photometric)
    is_colour = painted in (RGB, CMYK, YCBCR, LAB) and page.samplesperpixel >= 3
    if painted == RGB and "S" in axes and not labels:
        array = _without_opaque_alpha(array, axes)
    if painted == WHITE_IS_ZERO and not is_imagej:
        array = _white_is_zero(array, int(page.bitspersample), labels, say)
    elif painted == PALETTE and page.colormap is not None and not is_imagej and not labels:
        array, is_colour = painted_with(array, np.asarray(page.colormap).T >> 8, say)
        axes += "S" * is_colour
    return Pixels(array, axes, metadata, is_colour)


def is_opaque(alpha: np.ndarray) -> bool:
    """Whether an alpha channel hides nothing."""
    return bool((alpha == opaque_value(alpha.dtype)).all())


def opaque_value(dtype: np.dtype[Any]) -> int:
    """What an alpha channel of a type holds where nothing is seen through."""
    return int(np.iinfo(dtype).max) if dtype.kind in "ui" else 1


def _without_opaque_alpha(array: Any, axes: str) -> Any:
    """Red, green and blue without a fourth value through which nothing is seen; frames on the disk stay there."""
    at = axes.index("S")
    if array.shape[at] != 4:
        return array
    if isinstance(array, FramesOnDisk) and axes[0] not in "YS":
        colours, alpha = ((..., part, *[slice(None)] * (len(axes) - 1 - at)) for part in (slice(3), 3))
        is_hidden = all(is_opaque(array[frame][alpha]) for frame in range(len(array)))
        return array.each(lambda frame: frame[colours]) if is_hidden else array
    array = np.moveaxis(np.asarray(array), at, -1)
    return np.moveaxis(array[..., :3] if is_opaque(array[..., 3]) else array, -1, at)


def fault_of_colours(image: np.ndarray) -> tuple[str, int] | None:
    """Why an image in colour, (C, ...), shows one channel only, and which that is; None where it shows colours."""
    red, green, blue = image[:3]
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return "is a grey image saved as RGB (its colours are equal)", 0
    used = [index for index, colour in enumerate((red, green, blue)) if colour.any()]
    return ("is an RGB image with one colour only", used[0]) if len(used) == 1 else None


def painted_with(array: np.ndarray, palette: np.ndarray, say: Callable[[str], None]) -> tuple[np.ndarray, bool]:
    """The pixels of an image with a palette: its grey values, or colours behind the other axes.

    Parameters
    ----------
    array : ndarray of int
        Places in the palette.
    palette : ndarray, shape (n, 3)
        Red, green and blue, 0 to 255.
    say : callable
        Takes what was assumed.
    """
    palette = palette.astype(np.uint8)
    used = palette[: int(array.max(initial=0)) + 1]
    if (used[:, :1] == used).all():
        return palette[array, 0], False
    # A table that only gets brighter colours a scale of brightness, as microscopes' programs do.
    steps = np.diff(used @ np.asarray(WEIGHTS))
    if (steps >= 0).all():
        say("its colours only paint a scale of brightness, which is read")
        return array, False
    say("its colours are read as red, green and blue")
    return palette[array], True


def _white_is_zero(array: np.ndarray, bits: int, labels: bool, say: Callable[[str], None]) -> np.ndarray:
    if array.dtype == bool:
        turned = ~array
    elif array.dtype.kind == "u":
        turned = np.asarray(array.dtype.type((1 << bits) - 1) - array)
    else:
        turned = np.asarray(array.max() + array.min() - array)
    if not labels:
        say("in this file white is 0; its values are turned over, so that bright is high")
        return turned
    # Background is what most pixels are.
    if np.count_nonzero(turned) < np.count_nonzero(array):
        say("in this file white is 0; its numbers are turned over, so that the background is 0")
        return turned
    return array
