"""An image with its objects, as training, evaluation and tuning take it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Example:
    """One annotated image.

    Raises
    ------
    DataError
        If image, instances and ignore do not fit together.
    """

    name: str
    image: np.ndarray
    """C(Z)YX, as stored."""
    instances: np.ndarray
    """Label image int32 (Z)YX, 0 is background; or planes bool (K, (Z)YX) of one object each, which may overlap."""
    ignore: np.ndarray | None = None
    """(Z)YX bool, pixels of unknown class."""
    spacing: tuple[float, ...] | None = None
    """Physical pixel size (z, y, x)."""
    unit: str | None = None
    path: Path | None = None
    mask_path: Path | None = None
    is_normalized: bool = False
    """Whether the image is brought to the network's scale of intensities already."""
    source: str | None = None
    """Name of the array or layer that it is a frame or a region of, where it comes from no file."""

    def __post_init__(self) -> None:
        for array, what in ((self.image, "image"), (self.instances, "instances")):
            if not (hasattr(array, "ndim") and hasattr(array, "shape")):
                raise DataError(f"Example {self.name!r}: {what} is a {type(array).__name__}, not an array.")
        if self.image.ndim not in (3, 4):
            hint = "; a grey image gets its channel with image[None]" if self.image.ndim == 2 else ""
            raise DataError(
                f"Example {self.name!r}: the image has shape {self.image.shape}, but is (C, Y, X) or (C, Z, Y, X), "
                f"channels first{hint}."
            )
        space = self.image.shape[1:]
        if self.instances.shape[-len(space) :] != space or self.instances.ndim > self.image.ndim:
            raise DataError(
                f"Example {self.name!r}: the image has {shape_words(space)} pixels, but instances have shape "
                f"{self.instances.shape}; give one number per pixel, or planes (K, ...) of one object each."
            )
        if self.ignore is not None and np.shape(self.ignore) != space:
            raise DataError(
                f"Example {self.name!r}: ignore has shape {np.shape(self.ignore)}, but the image has "
                f"{shape_words(space)} pixels."
            )

    def __repr__(self) -> str:
        kind = "planes" if self.is_planes else "labels"
        channels = count(len(self.image), "channel")
        return f"Example({self.name!r}, {shape_words(self.image.shape[1:])} pixels, {channels}, {kind})"

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.image.ndim - 1

    @property
    def origin(self) -> str | None:
        """The file, array or layer that it is all or a part of; None where it is an image of its own."""
        return self.source if self.path is None else str(self.path)

    def label_digest(self) -> str:
        """What tells these labels, and what is unknown of them, from others: how it was made, and a number."""
        digest = hashlib.blake2b(np.ascontiguousarray(self.instances).data, digest_size=8)
        if self.ignore is not None:
            digest.update(np.ascontiguousarray(self.ignore).data)
        return f"pixels {digest.hexdigest()}"

    @property
    def is_planes(self) -> bool:
        """Whether objects are planes of their own."""
        return self.instances.ndim == self.image.ndim
