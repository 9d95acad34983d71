"""Bring intensities to a common scale, per image and channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.percentiles import percentiles
from embedseg_napari.core.data.spoiled_pixels import Mended, mend, sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedseg_napari.core.config import NormalizationConfig


@dataclass(frozen=True, slots=True)
class Scaling:
    """What brings each channel to the common scale: (value - shift) / scale, kept between limits.

    Parameters
    ----------
    shift, scale : ndarray of float32, shape (C,)
        The scale is never 0: a constant channel becomes 0 everywhere.
    least, most : ndarray of float32, shape (C,)
        Limits of normalised values, infinite where there are none.
    """

    shift: NDArray[np.float32]
    scale: NDArray[np.float32]
    least: NDArray[np.float32]
    most: NDArray[np.float32]

    @classmethod
    def none(cls, n_channels: int) -> Scaling:
        """Leaves values as they are."""
        zero, one = np.zeros(n_channels, np.float32), np.ones(n_channels, np.float32)
        return cls(zero, one, -np.inf * one, np.inf * one)

    def apply(self, image: np.ndarray) -> NDArray[np.float32]:
        """Return normalised values as float32, shape (C, (Z,) Y, X); what is not finite becomes 0."""
        view = (-1, *[1] * (image.ndim - 1))
        # float32 holds integers up to 2^24: wider types subtract before they are rounded.
        kind = np.float32 if image.dtype.itemsize <= 2 or image.dtype == np.float32 else np.float64
        out: NDArray[np.float32] = image.astype(kind)
        out -= self.shift.reshape(view)
        out /= self.scale.reshape(view)
        out = out.astype(np.float32, copy=False)
        if not np.issubdtype(image.dtype, np.integer):
            np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        if np.isfinite(self.most).any():
            np.clip(out, self.least.reshape(view), self.most.reshape(view), out=out)
        return out


def measure_scaling(
    image: np.ndarray, config: NormalizationConfig, outside: NDArray[np.bool_] | None = None
) -> Scaling:
    """Measure what brings each channel of an image to the common scale.

    Parameters
    ----------
    image : ndarray, shape (C, (Z,) Y, X)
        Any real type. Values that are not finite are left out.
    config : NormalizationConfig
        Method, percentiles and limit.
    outside : ndarray of bool, shape (C, (Z,) Y, X), optional
        Pixels that are left out.
    """
    n_channels = len(image)
    shift, scale = np.zeros(n_channels), np.ones(n_channels)
    least, most = np.full(n_channels, -np.inf), np.full(n_channels, np.inf)
    if config.method == "dtype-range":
        top = float(np.iinfo(image.dtype).max) if np.issubdtype(image.dtype, np.integer) else 1.0
        scale[:] = top if config.full_range is None else config.full_range
    else:
        for c, channel in enumerate(image):
            shift[c], scale[c], least[c], most[c] = _measure(channel, config, None if outside is None else outside[c])
    # Ranges beyond float32 must become neither 0 nor infinite.
    limits = np.finfo(np.float32)
    shift, scale = np.clip(shift, limits.min, limits.max), np.clip(scale, limits.tiny, limits.max)
    return Scaling(*(values.astype(np.float32) for values in (shift, scale, least, most)))


def _measure(
    channel: np.ndarray, config: NormalizationConfig, outside: NDArray[np.bool_] | None
) -> tuple[float, float, float, float]:
    """Shift, scale and limits of one channel."""
    values = sample(channel) if outside is None else sample(channel)[~sample(outside)]
    values = values.ravel()
    if values.dtype == bool:
        # No arithmetic is defined for them.
        values = values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.integer):
        values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0, -np.inf, np.inf
    low, high = (float(value) for value in percentiles(values, [config.low, config.high]))
    clip = np.inf if config.clip is None or high == low else config.clip
    if config.method == "percentile":
        shift, spread, least, most = low, high - low, -clip, clip
    else:
        reach = clip * (high - low) if clip < np.inf else np.inf
        known = values if reach == np.inf else np.clip(values, low - reach, low + reach)
        shift, spread = known.mean(dtype=np.float64), known.std(dtype=np.float64)
        least, most = ((low + side * reach - shift) / (spread or 1.0) for side in (-1, 1))
    if spread > 0:
        return shift, spread, least, most
    # Nearly constant: a few bright pixels on a flat ground still have a range.
    extent = float(values.max()) - float(values.min())
    return shift, extent or 1.0, -np.inf, np.inf


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image whose spoiled pixels are filled in, and what brings it to the common scale."""

    mended: Mended
    scaling: Scaling

    @classmethod
    def as_given(cls, image: np.ndarray) -> Prepared:
        """An image, shape (C, (Z,) Y, X), whose numbers the network takes as they are."""
        return cls(Mended(image), Scaling.none(len(image)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image, ((Z,) Y, X)."""
        return self.mended.image.shape[1:]

    def values(self, within: tuple[slice, ...] = ()) -> NDArray[np.float32]:
        """Normalised values of a part of the image, shape (C, (Z,) Y, X); what shows nothing becomes 0."""
        out = self.scaling.apply(self.mended.image[(slice(None), *within)])
        if self.mended.outside is not None:
            out[self.mended.outside[(slice(None), *within)]] = 0
        return out


def prepare(image: np.ndarray, config: NormalizationConfig) -> Prepared:
    """Look for spoiled pixels and measure the image, shape (C, (Z,) Y, X), any real type."""
    mended = mend(image, config.low, config.high, numbers_only=config.clip is None)
    return Prepared(mended, measure_scaling(mended.image, config, mended.outside))


def normalize(image: np.ndarray, config: NormalizationConfig) -> NDArray[np.float32]:
    """Return the normalised image as float32, shape (C, (Z,) Y, X)."""
    return prepare(image, config).values()
