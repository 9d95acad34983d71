"""Images and labels at another size, for networks that work on a scale of their own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.files.region import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.data.example import Example


def scaled_shape(shape: Sequence[int], scale: float) -> tuple[int, ...]:
    """Spatial shape after resizing by a factor; no side is less than one pixel."""
    return tuple(max(1, round(side * scale)) for side in shape)


def resize_image(image: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """Resample an image, shape (C, (Z,) Y, X), to a spatial shape, smoothing before it shrinks."""
    from skimage.transform import resize

    return np.stack([resize(channel, shape, order=1, anti_aliasing=True, mode="edge") for channel in image])


def resize_labels(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Take the nearest pixel of labels, or of planes (K, (Z,) Y, X), at every pixel of a spatial shape."""
    lead = labels.ndim - len(shape)
    for axis, (new, old) in enumerate(zip(shape, labels.shape[lead:], strict=True), lead):
        labels = np.take(labels, nearest_pixels(old, new), axis)
    return labels


def nearest_pixels(old: int, new: int) -> NDArray[np.int64]:
    """Which of `old` pixels in a line is nearest to each of `new`."""
    return np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.int64), old - 1)


def with_labels_resized(example: Example, image: np.ndarray) -> Example:
    """The example with a resized image, shape (C, (Z,) Y, X), and with its labels at that size.

    Objects may vanish that are smaller than a new pixel.
    """
    shape = image.shape[1:]
    ignore = None if example.ignore is None else resize_labels(example.ignore, shape)
    instances = resize_labels(example.instances, shape)
    return dataclasses.replace(example, image=image, instances=instances, ignore=ignore)


def resized_part(
    read: Callable[[Part], NDArray[np.float32]], old: Sequence[int], new: Sequence[int], part: Part
) -> NDArray[np.float32]:
    """A part of what :func:`resize_image` gives, from what it needs of the image.

    Parameters
    ----------
    read : callable
        Gives a part of the image, shape (C, (Z,) Y, X).
    old, new : sequence of int
        Spatial shapes of the image as it is, and as it shall be.
    part : Part
        Of the resized image.
    """
    from scipy import ndimage

    factors = [a / b for a, b in zip(old, new, strict=True)]
    sigmas = [max(0.0, (factor - 1) / 2) for factor in factors]
    places, starts, stops = [], [], []
    for low, high, factor, sigma, n in zip(part.start, part.stop, factors, sigmas, old, strict=True):
        at = np.clip((np.arange(low, high) + 0.5) * factor - 0.5, 0, n - 1)
        # As far as the filter looks, and the pixel after the last.
        reach = int(4 * sigma + 0.5)
        starts.append(max(0, int(at[0]) - reach))
        stops.append(min(n, int(at[-1]) + 2 + reach))
        places.append(at - starts[-1])
    image = read(Part(tuple(starts), tuple(stops)))
    for axis, sigma in enumerate(sigmas, 1):
        if sigma > 0:
            image = ndimage.gaussian_filter1d(image, sigma, axis, mode="nearest")
    for axis, at in enumerate(places, 1):
        first = at.astype(np.int64)
        weight = (at - first).reshape(-1, *[1] * (image.ndim - 1 - axis))
        here = np.take(image, first, axis).astype(np.float64)
        there = np.take(image, np.minimum(first + 1, image.shape[axis] - 1), axis)
        image = here + (there - here) * weight
    return np.asarray(image, np.float32)
