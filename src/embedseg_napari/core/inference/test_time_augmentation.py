"""Averaging the network over flipped and turned views of an image.

The views are the signed permutations of the axes that map the pixel grid onto itself and keep z apart: the 8 symmetries
of the square in 2D, and those times the z flip, 16, in 3D.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class View:
    """One signed permutation: axis a of the view is axis ``source[a]`` of the image, backwards where ``flipped[a]``."""

    source: tuple[int, ...]
    flipped: tuple[bool, ...]

    def apply(self, image: Tensor) -> Tensor:
        """Show an image, shape (..., (Z,) Y, X), in this view; the leading axes stay."""
        lead = image.ndim - len(self.source)
        turned = image.permute(*range(lead), *(lead + axis for axis in self.source))
        backwards = [lead + a for a, flip in enumerate(self.flipped) if flip]
        return turned.flip(backwards) if backwards else turned

    def part(self, wanted: Sequence[slice], shape: Sequence[int]) -> list[slice]:
        """Where a part of an image of this shape lies in the view; slices have both ends given."""
        return [
            slice(shape[axis] - wanted[axis].stop, shape[axis] - wanted[axis].start) if flip else wanted[axis]
            for axis, flip in zip(self.source, self.flipped, strict=True)
        ]

    def undo(self, raw: Tensor) -> Tensor:
        """Map raw network output for the view back to the image.

        Parameters
        ----------
        raw : Tensor, shape (B, 2 * ndim + 1, (Z,) Y, X)
            Network output, before activation.

        Returns
        -------
        Tensor
            The same in the image's axes: an offset along a view axis belongs to the image axis it shows, with the other
            sign where it is shown backwards; bandwidths move with their axis; seediness only moves.
        """
        ndim = len(self.source)
        if self.source == tuple(range(ndim)) and not any(self.flipped):
            return raw
        home = [self.source.index(axis) for axis in range(ndim)]
        out = raw.flip([2 + a for a, flip in enumerate(self.flipped) if flip])
        out = out.permute(0, 1, *(2 + a for a in home))
        out = out[:, [*home, *(ndim + a for a in home), 2 * ndim]]
        for axis, a in enumerate(home):
            if self.flipped[a]:
                out[:, axis].neg_()
        return out


def views(spacing: Sequence[float]) -> list[View]:
    """Return the views to average over, the image itself first.

    Parameters
    ----------
    spacing : sequence of float
        Grid units per pixel (z, y, x). Where y and x differ, a quarter turn would change what an offset means; then
        only flips remain.

    Returns
    -------
    list of View
        8 in 2D and 16 in 3D; half of them without quarter turns.
    """
    ndim = len(spacing)
    straight = tuple(range(ndim))
    sources = [straight]
    if spacing[-2] == spacing[-1]:
        sources.append((*straight[:-2], ndim - 1, ndim - 2))
    return [View(source, flips) for source in sources for flips in itertools.product((False, True), repeat=ndim)]
