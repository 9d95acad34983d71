"""Where pixels point, and their order along a space-filling curve through those places; compiled inner loops."""

from __future__ import annotations

import numpy as np
from numba import types

from embedseg_napari.core.compiled.numba_signatures import F4, F8, I8, U4, U8, array, compiled, given

DIGIT = 11
"""Bits sorted in one pass."""


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


@compiled(types.void(given(F4, 2), given(F8), given(F8), given(U8), given(U8), given(U8), I8, array(U8)))
def encode(points, low, scale, table_z, table_y, table_x, shift, keys):  # type: ignore[no-untyped-def]
    """Place along the curve (tables interleave the bits of the axes) and row of each point, in one number."""
    ndim = points.shape[0]
    last_z, last_y, last_x = (
        np.float64(table_z.shape[0] - 1),
        np.float64(table_y.shape[0] - 1),
        np.float64(table_x.shape[0] - 1),
    )
    for i in range(points.shape[1]):
        z, y, x = points[0, i], points[ndim - 2, i], points[ndim - 1, i]
        if np.isfinite(z) and np.isfinite(y) and np.isfinite(x):
            at_z = int(min(max((z - low[0]) * scale[0], 0.0), last_z))
            at_y = int(min(max((y - low[ndim - 2]) * scale[ndim - 2], 0.0), last_y))
            at_x = int(min(max((x - low[ndim - 1]) * scale[ndim - 1], 0.0), last_x))
            place = table_z[at_z] | table_y[at_y] | table_x[at_x]
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
