"""Bring intensities to a common scale, per image and channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedseg_napari.core.config import NormalizationConfig

SAMPLE = 1 << 24
"""Images with more pixels per channel are measured on a regular subsample of about this many."""


def normalization_parameters(
    image: np.ndarray, config: NormalizationConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure what brings each channel to the common scale: normalised = (image - shift) / scale.

    Parameters
    ----------
    image : ndarray, shape (C, (Z,) Y, X)
        Any real type. Values that are not finite are left out.
    config : NormalizationConfig
        Method and percentiles.

    Returns
    -------
    shift, scale : ndarray, shape (C,), float32
        The scale is never 0: a constant channel becomes 0 everywhere.
    """
    n_channels = len(image)
    if config.method == "dtype-range":
        top = float(np.iinfo(image.dtype).max) if np.issubdtype(image.dtype, np.integer) else 1.0
        return np.zeros(n_channels, np.float32), np.full(n_channels, top, np.float32)
    shift, scale = np.zeros(n_channels), np.ones(n_channels)
    for c, channel in enumerate(image):
        step = max(1, round((channel.size / SAMPLE) ** (1 / channel.ndim)))
        values = channel[(slice(None, None, step),) * channel.ndim].ravel()
        if values.dtype == bool:
            # No arithmetic is defined for them.
            values = values.astype(np.uint8)
        if not np.issubdtype(values.dtype, np.integer):
            values = values[np.isfinite(values)]
        if values.size == 0:
            continue
        if config.method == "percentile":
            low, high = np.percentile(values, [config.low, config.high])
            shift[c], spread = low, high - low
        else:
            shift[c], spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
        if spread > 0:
            scale[c] = spread
        elif values.max() > values.min():
            # Nearly constant: a few bright pixels on a flat ground still have a range.
            scale[c] = float(values.max()) - float(values.min())
    # Ranges beyond float32 must become neither 0 nor infinite.
    limits = np.finfo(np.float32)
    shift, scale = np.clip(shift, limits.min, limits.max), np.clip(scale, limits.tiny, limits.max)
    return shift.astype(np.float32), scale.astype(np.float32)


def normalize(image: np.ndarray, config: NormalizationConfig) -> NDArray[np.float32]:
    """Return the normalised image as float32, shape (C, (Z,) Y, X)."""
    return apply_normalization(image, *normalization_parameters(image, config))


def apply_normalization(
    image: np.ndarray, shift: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (image - shift) / scale as float32, shape (C, (Z,) Y, X); what is not finite becomes 0."""
    view = (-1, *[1] * (image.ndim - 1))
    # float32 holds integers up to 2^24: wider types subtract before they are rounded.
    kind = np.float32 if image.dtype.itemsize <= 2 or image.dtype == np.float32 else np.float64
    out: NDArray[np.float32] = image.astype(kind)
    out -= shift.reshape(view)
    out /= scale.reshape(view)
    out = out.astype(np.float32, copy=False)
    if not np.issubdtype(image.dtype, np.integer):
        np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return out
