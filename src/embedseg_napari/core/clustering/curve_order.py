"""Where pixels point, and their order along a space-filling curve through those places; compiled inner loops."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
from numba import types

from embedseg_napari.core.compiled.numba_signatures import F4, F8, I8, U4, U8, array, compiled, given

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGIT = 11
"""Bits sorted in one pass."""
STEP_BITS = {2: 4, 3: 2}
"""Bits of each axis that the table of the curve takes in one step: so many that the table fits the nearest cache."""
PLACE_BITS = 8
"""Bits of a place in that table."""


@compiled(I8(given(U4), given(U4), given(F4, 2), I8, I8, array(F4, 2), array(F8, 2)))
def embed(foreground, rows, offsets, height, width, points, limits):  # type: ignore[no-untyped-def]
    """Write embeddings to points (ndim, n) and their range to limits (2, ndim); return how many are finite.

    `rows` tells where in the offsets each pixel of the foreground stands.
    """
    ndim = offsets.shape[0]
    plane, row, row_end, finite = 0, 0, width, 0
    limits[0], limits[1] = np.inf, -np.inf
    for i in range(foreground.shape[0]):
        pixel, at = np.int64(foreground[i]), rows[i]
        while pixel >= row_end:
            row_end += width
            row += 1
            if row == height:
                row = 0
                plane += 1
        x = np.float32(pixel - (row_end - width) + np.float64(offsets[ndim - 1, at]))
        y = np.float32(row + np.float64(offsets[ndim - 2, at]))
        z = y
        if ndim == 3:
            z = np.float32(plane + np.float64(offsets[0, at]))
        points[0, i], points[ndim - 2, i], points[ndim - 1, i] = z, y, x
        if np.isfinite(z) and np.isfinite(y) and np.isfinite(x):
            finite += 1
            for axis in range(ndim):
                limits[0, axis] = min(limits[0, axis], points[axis, i])
                limits[1, axis] = max(limits[1, axis], points[axis, i])
    return finite


@functools.cache
def hilbert(ndim: int) -> NDArray[np.uint32]:
    """Hilbert's curve as a table: for each state and `STEP_BITS` of each axis, their place and the state behind it.

    Places take the lowest `PLACE_BITS`; above stands where the next state begins in the table. A piece of this curve
    always lies together, so that the boxes over it are small. Follows C. Hamilton, "Compact Hilbert indices" (2006).
    """
    full = (1 << ndim) - 1

    def turned(bits: int, by: int) -> int:
        return (bits << by | bits >> (ndim - by)) & full

    one_bit = np.empty((ndim << ndim, 1 << ndim, 2), np.int64)
    for entry, axis, cell in np.ndindex(1 << ndim, ndim, 1 << ndim):
        gray = turned(cell ^ entry, ndim - 1 - axis)
        place = gray ^ gray >> 1 ^ gray >> 2
        before = max(place - 1, 0) & ~1
        ones = place - 1 + place % 2
        to = 0 if place == 0 else ((ones ^ (ones + 1)).bit_length() - 1)
        following = (entry ^ turned(before ^ before >> 1, axis + 1)) * ndim + (axis + to + 1) % ndim
        one_bit[entry * ndim + axis, cell] = place, following
    bits = STEP_BITS[ndim]
    state, cells = np.ogrid[: ndim << ndim, : 1 << ndim * bits]
    places = np.zeros_like(state)
    for bit in reversed(range(bits)):
        cell = sum((cells >> axis * bits + bit & 1) << axis for axis in range(ndim))
        places = places << ndim | one_bit[state, cell, 0]
        state = one_bit[state, cell, 1]
    table: NDArray[np.uint32] = ((state << ndim * bits + PLACE_BITS) | places).ravel().astype(np.uint32)
    return table


@compiled(types.void(given(F4, 2), given(F8), given(F8), I8, given(U4), I8, I8, array(U8)))
def encode(points, low, scale, n_steps, table, step_bits, shift, keys):  # type: ignore[no-untyped-def]
    """Place along the curve and row of each point, in one number; `n_steps` of so many bits each, by a table.

    `low` and `scale` are those of (z, y, x); in 2D the scale of z is 0.
    """
    ndim = points.shape[0]
    last = np.float64((np.int64(1) << np.int64(n_steps * step_bits)) - 1)
    mask, place_bits = (np.int64(1) << step_bits) - 1, np.uint64(ndim * step_bits)
    place_mask = (np.uint64(1) << place_bits) - np.uint64(1)
    for i in range(points.shape[1]):
        z, y, x = points[0, i], points[ndim - 2, i], points[ndim - 1, i]
        if np.isfinite(z) and np.isfinite(y) and np.isfinite(x):
            at_z = np.int64(min(max((z - low[0]) * scale[0], 0.0), last))
            at_y = np.int64(min(max((y - low[1]) * scale[1], 0.0), last))
            at_x = np.int64(min(max((x - low[2]) * scale[2], 0.0), last))
            place, state = np.uint64(0), np.uint64(0)
            for step in range(n_steps - 1, -1, -1):
                down = step * step_bits
                cell = (at_y >> down & mask) << step_bits | (at_x >> down & mask)
                if ndim == 3:
                    cell |= (at_z >> down & mask) << (2 * step_bits)
                found = np.uint64(table[state + np.uint64(cell)])
                place = place << place_bits | (found & place_mask)
                state = found >> np.uint64(PLACE_BITS)
        else:
            # Behind all others, where no box will hold them.
            place = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(shift)
        keys[i] = (place << np.uint64(shift)) | np.uint64(i)


@compiled(types.void(array(U8), array(U8), I8))
def sort(keys, spare, first_bit):  # type: ignore[no-untyped-def]
    """Sort keys by their bits from `first_bit` on, equal ones staying in order (radix sort); result in `keys`."""
    n = keys.shape[0]
    n_digits = (64 - first_bit + DIGIT - 1) // DIGIT
    counts = np.zeros((n_digits, 1 << DIGIT), np.int64)
    mask = np.uint64((1 << DIGIT) - 1)
    for i in range(n):
        key = keys[i] >> np.uint64(first_bit)
        for digit in range(n_digits):
            counts[digit, key & mask] += 1
            key >>= np.uint64(DIGIT)
    source, target = keys, spare
    is_swapped = False
    for digit in range(n_digits):
        shift = np.uint64(first_bit + digit * DIGIT)
        if n == 0 or counts[digit, (source[0] >> shift) & mask] == n:
            continue
        place = 0
        for value in range(1 << DIGIT):
            here = counts[digit, value]
            counts[digit, value] = place
            place += here
        for i in range(n):
            key = source[i]
            value = (key >> shift) & mask
            target[counts[digit, value]] = key
            counts[digit, value] += 1
        source, target = target, source
        is_swapped = not is_swapped
    if is_swapped:
        keys[:] = spare
