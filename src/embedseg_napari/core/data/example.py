"""An image with its objects, as training, evaluation and tuning take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True, slots=True)
class Example:
    """One annotated image."""

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

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.image.ndim - 1

    @property
    def is_planes(self) -> bool:
        """Whether objects are planes of their own."""
        return self.instances.ndim == self.image.ndim
