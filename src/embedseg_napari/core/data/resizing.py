"""Images and labels at another size, for networks that work on a scale of their own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    at = [
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(np.int64), old - 1)
        for new, old in zip(shape, labels.shape[lead:], strict=True)
    ]
    for axis, places in enumerate(at, lead):
        labels = np.take(labels, places, axis)
    return labels


def with_labels_resized(example: Example, image: np.ndarray) -> Example:
    """The example with a resized image, shape (C, (Z,) Y, X), and with its labels at that size.

    Objects may vanish that are smaller than a new pixel.
    """
    shape = image.shape[1:]
    ignore = None if example.ignore is None else resize_labels(example.ignore, shape)
    instances = resize_labels(example.instances, shape)
    return dataclasses.replace(example, image=image, instances=instances, ignore=ignore)
