"""Whether an image can be segmented, by a model, at a scale."""

from __future__ import annotations

import math
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.data.resizing import scaled_shape
from embedseg_napari.core.errors import DataError, ModelError, SettingsError
from embedseg_napari.core.files.lazy_image import FramesOnDisk
from embedseg_napari.core.wording import alpha_words, count, shape_words

if TYPE_CHECKING:
    from embedseg_napari.core.config import ModelConfig

ONE_CHANNEL = "choose one channel (--channel 0 is the first) or their mean (--channel mean)"
"""What helps where a model takes one channel."""
LARGE_SCALE, MOST_PIXELS = 2.0, 1 << 26
"""Images are enlarged by more than this factor up to that many pixels (2 GB of maps and working memory)."""


def as_array(image: Any) -> Any:
    """NumPy arrays, and lazy ones that behave alike, stay as they are; anything else becomes NumPy."""
    if isinstance(image, str | PathLike):
        raise DataError(f"{image}: this is the name of a file; read the image first, for example with tifffile.imread.")
    is_array = isinstance(image, FramesOnDisk) or hasattr(image, "__array_function__")
    try:
        array = image if is_array and hasattr(image, "transpose") else np.asarray(image)
    except (TypeError, ValueError) as error:
        raise DataError(f"The image is no array ({error}).") from error
    if isinstance(array, np.ma.MaskedArray):
        # What is masked is missing.
        array = np.where(np.ma.getmaskarray(array), np.nan, array.data)
    if array.dtype.kind not in "buif":
        raise DataError(f"An image of type {array.dtype} cannot be segmented; convert it to real numbers.")
    if array.size == 0:
        raise DataError(f"The image is empty (shape {array.shape}).")
    return array


def check_fit(config: ModelConfig, shape: tuple[int, ...], axes: str) -> None:
    """Whether frames of shape TC(Z)YX are what the model works on."""
    space = spatial_axes(axes)
    if len(space) != config.ndim:
        hint = "if its planes are images of their own, name that axis T" if config.ndim == 2 else "take a 2D model"
        raise ModelError(f"The image has the spatial axes {space} but the model works in {config.ndim}D; {hint}.")
    if shape[1] != config.n_channels:
        choice = ONE_CHANNEL if config.n_channels == 1 else "choose its channels"
        raise ModelError(
            f"The image has {count(shape[1], 'channel')} (axes {axes}) but the model works on {config.n_channels}; "
            f"{choice}, or another model.{alpha_words(shape[1], config.n_channels)}"
        )


def seen_shape(shape: tuple[int, ...], scale: float) -> tuple[int, ...]:
    """The shape that the network sees; no image is enlarged beyond what memory could hold."""
    seen = scaled_shape(shape, scale)
    if scale > LARGE_SCALE and math.prod(seen) > MOST_PIXELS:
        raise SettingsError(
            f"The scale would enlarge the image of {shape_words(shape)} pixels to {shape_words(seen)} for the network, "
            "more than memory holds; choose a smaller scale."
        )
    return seen
