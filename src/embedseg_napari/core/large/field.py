"""How far a network looks: exactly, by its layers, and in effect, by its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from embedseg_napari.core.networks.network import STRIDE, device_of, raw_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.networks.network import EmbeddingNetwork

LONGEST = 2048
"""Pixels along the axis that is measured; no network here looks half as far."""
SEEDINESS, OFFSET, NEARLY_ALL = 0.5, 0.75, 99.0
"""Log-odds, and pixels, by which outputs may differ, and the percentile of pixels that differs by less. The paper's
network comes no closer: on bbbc050, nuclei-3d is as close 32 pixels from the end of a tile as twice as far from it."""


def receptive_field(network: EmbeddingNetwork, n_channels: int) -> tuple[int, ...]:
    """Pixels (z, y, x) at the end of a tile whose outputs could feel what lies beyond it; multiples of 8.

    What is no number makes everything so that is computed from it, whatever the weights. Tiles begin and end at
    multiples of 8 from the image's first pixel, as the layers of the network do that halve an image.
    """
    return tuple(_reach(network, n_channels, axis) for axis in range(network.ndim))


def _reach(network: EmbeddingNetwork, n_channels: int, axis: int) -> int:
    sides = [STRIDE] * network.ndim
    sides[axis] = LONGEST
    half = LONGEST // 2
    reach = 0
    for begin in (0, half):
        image = torch.zeros(1, n_channels, *sides)
        image.narrow(2 + axis, begin, half).fill_(torch.nan)
        output = raw_output(network, image).cpu()[0].movedim(1 + axis, 0).flatten(1)
        (spoiled,) = np.nonzero(torch.isnan(output).any(1).numpy())
        reach = max(reach, half - int(spoiled[0]) if begin else int(spoiled[-1]) + 1 - half)
    return -(-reach // STRIDE) * STRIDE


def effective_field(
    network: EmbeddingNetwork, values: NDArray[np.float32], spacing: Sequence[float]
) -> tuple[int, ...]:
    """Pixels (z, y, x) at the end of a tile whose outputs do feel what lies beyond it; multiples of 8.

    Parameters
    ----------
    network : EmbeddingNetwork
        On the device it is used on.
    values : ndarray, shape (C, (Z,) Y, X)
        A part of an image as the network sees it, every side a multiple of 16.
    spacing : sequence of float
        Grid units per pixel (z, y, x).
    """
    whole = _outputs(network, values)
    fields = []
    for axis in range(network.ndim):
        half = values.shape[1 + axis] // 2 // STRIDE * STRIDE
        part = _outputs(network, np.take(values, range(half), 1 + axis))
        difference = np.abs(part - np.take(whole, range(half), 1 + axis))
        field = half
        while field > 0:
            # The planes of the next 8 pixels, counted from the cut.
            near = np.take(difference, range(half - field, half - field + STRIDE), 1 + axis)
            shifts = [np.percentile(near[a], NEARLY_ALL) > OFFSET * step for a, step in enumerate(spacing)]
            if any(shifts) or np.percentile(near[-1], NEARLY_ALL) > SEEDINESS:
                break
            field -= STRIDE
        fields.append(field)
    return tuple(fields)


def _outputs(network: EmbeddingNetwork, values: NDArray[np.float32]) -> NDArray[np.float32]:
    batch = torch.from_numpy(np.ascontiguousarray(values))[None].to(device_of(network))
    outputs: NDArray[np.float32] = raw_output(network, batch).cpu().numpy()[0]
    return outputs
