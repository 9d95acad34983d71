"""The inner loops of the greedy clustering, compiled; time grows with the foreground, not with objects times pixels.

Foreground pixels are sorted along a space-filling curve through their embeddings, and a binary tree of bounding boxes
stands over that order. Each box knows how many pixels it holds and how many of them are unclustered. A proposal is
collected by walking up the tree from the seed, and down wherever the ellipse reaches: a box outside it is left out, a
box inside it is taken as a whole, only boxes at the margin are opened. The tree adapts to any distribution, be it
spread out as in an untrained network, collapsed into a point for each object, or far outside the image.

For each seed the unclustered pixels are collected first, leaving out boxes that have none; each pixel is met once in
that role. All pixels are counted only where there were any, and only until they are too many, such as twice as many;
the proposal then fails.

Boxes and pixels are tested by the same sequence of rounded float64 operations, which is monotonic: a box never
contradicts a pixel in it, and the result is exactly that of testing every pixel.

Importing this module compiles it, or loads it from numba's cache. There is one code for 2D and 3D: in 2D what is
named z reads the y coordinate once more, with a weight of 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from embedseg_napari.core.clustering.curve_order import STEP_BITS, embed, encode, hilbert, sort
from embedseg_napari.core.compiled.numba_signatures import F4, I4, I8, U1, U4, U8, array, compiled, given

__all__ = ["LEAF", "STEP_BITS", "build", "claim", "embed", "encode", "hilbert", "paint", "place", "release", "sort"]

LEAF = 32
"""Pixels in the smallest boxes; their coordinates stand together: points[leaf, axis, pixel]."""


@compiled(types.void(given(U8), I8, given(F4, 2), given(U4), array(F4, 3), array(U4), array(U4)))
def place(keys, shift, points, foreground, placed, pixel_of, slot_of):  # type: ignore[no-untyped-def]
    """Bring points into the order of the keys: a slot for each; remember its pixel, and each row's slot."""
    mask = (np.uint64(1) << np.uint64(shift)) - np.uint64(1)
    ndim = points.shape[0]
    for slot in range(keys.shape[0]):
        row = keys[slot] & mask
        leaf, at = slot // LEAF, slot % LEAF
        for axis in range(ndim):
            placed[leaf, axis, at] = points[axis, row]
        pixel_of[slot] = foreground[row]
        slot_of[row] = slot


@compiled(types.void(given(F4, 3), I8, array(F4, 3), array(I4), array(I4)))
def build(points, n, boxes, sizes, alive):  # type: ignore[no-untyped-def]
    """Boxes[node, low or high, axis] and numbers of pixels; node i has children 2i and 2i + 1, 1 is the root."""
    ndim = points.shape[1]
    n_leaves = sizes.shape[0] // 2
    for leaf in range(n_leaves):
        node = n_leaves + leaf
        size = max(0, min(LEAF, n - leaf * LEAF))
        for axis in range(ndim):
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for at in range(size):
                low = min(low, points[leaf, axis, at])
                high = max(high, points[leaf, axis, at])
            boxes[node, 0, axis], boxes[node, 1, axis] = low, high
        sizes[node] = size
    for node in range(n_leaves - 1, 0, -1):
        for axis in range(ndim):
            boxes[node, 0, axis] = min(boxes[2 * node, 0, axis], boxes[2 * node + 1, 0, axis])
            boxes[node, 1, axis] = max(boxes[2 * node, 1, axis], boxes[2 * node + 1, 1, axis])
        sizes[node] = sizes[2 * node] + sizes[2 * node + 1]
    alive[:] = sizes


@njit(nogil=True, inline="always")
def _scaled_gap(low, high, center, inverse):  # type: ignore[no-untyped-def]
    """Scaled distance from a centre to an interval."""
    gap = 0.0
    if low > center:
        gap = low - center
    elif high < center:
        gap = high - center
    return gap * inverse


OUTSIDE, CUT, INSIDE = 0, 1, 2
ROOM = 48
"""Nodes an ellipse is cut into at once."""


@njit(nogil=True, inline="always")
def _position(boxes, node, ellipse):  # type: ignore[no-untyped-def]
    """Whether a box is outside the ellipse, inside, or may be cut by its margin."""
    z, y, x, inverse_z, inverse_y, inverse_x = ellipse
    ndim = boxes.shape[2]
    low_z, low_y, low_x = (
        np.float64(boxes[node, 0, 0]),
        np.float64(boxes[node, 0, ndim - 2]),
        np.float64(boxes[node, 0, ndim - 1]),
    )
    high_z, high_y, high_x = (
        np.float64(boxes[node, 1, 0]),
        np.float64(boxes[node, 1, ndim - 2]),
        np.float64(boxes[node, 1, ndim - 1]),
    )
    near_z = _scaled_gap(low_z, high_z, z, inverse_z)
    near_y = _scaled_gap(low_y, high_y, y, inverse_y)
    near_x = _scaled_gap(low_x, high_x, x, inverse_x)
    if not near_z * near_z + near_y * near_y + near_x * near_x < 1.0:
        return OUTSIDE
    far_z = max(abs(low_z - z), abs(high_z - z)) * inverse_z
    far_y = max(abs(low_y - y), abs(high_y - y)) * inverse_y
    far_x = max(abs(low_x - x), abs(high_x - x)) * inverse_x
    return INSIDE if far_z * far_z + far_y * far_y + far_x * far_x < 1.0 else CUT


@njit(nogil=True, inline="always")
def _holds(points, leaf, at, ellipse):  # type: ignore[no-untyped-def]
    """Whether a pixel is inside the ellipse."""
    z, y, x, inverse_z, inverse_y, inverse_x = ellipse
    ndim = points.shape[1]
    d_z = (np.float64(points[leaf, 0, at]) - z) * inverse_z
    d_y = (np.float64(points[leaf, ndim - 2, at]) - y) * inverse_y
    d_x = (np.float64(points[leaf, ndim - 1, at]) - x) * inverse_x
    return d_z * d_z + d_y * d_y + d_x * d_x < 1.0


@njit(nogil=True)
def _reach(boxes, leaf, ellipse, reached):  # type: ignore[no-untyped-def]
    """Write nodes that hold all pixels inside the ellipse, each pixel once, and little else; return their number.

    Going up from a leaf, what stands beside the way is nearly always outside, and where it stands in memory is known
    beforehand: this waits far less than going down from the root. What is found there is opened while there is room.
    """
    n_leaves = boxes.shape[0] // 2
    node = leaf
    while node > 1 and _position(boxes, node >> 1, ellipse) == INSIDE:
        node >>= 1
    n, reached[0] = 1, node
    while node > 1:
        if _position(boxes, node ^ 1, ellipse) != OUTSIDE:
            reached[n] = node ^ 1
            n += 1
        node >>= 1
    at = 0
    while at < n and n < ROOM:
        node = reached[at]
        if node >= n_leaves:
            at += 1
            continue
        low, high = _position(boxes, 2 * node, ellipse), _position(boxes, 2 * node + 1, ellipse)
        if low == INSIDE and high == INSIDE:
            at += 1
        elif low == OUTSIDE and high == OUTSIDE:
            n -= 1
            reached[at] = reached[n]
        else:
            reached[at] = 2 * node + (low == OUTSIDE)
            if low != OUTSIDE and high != OUTSIDE:
                reached[n] = 2 * node + 1
                n += 1
    return n


@njit(nogil=True)
def _count(points, boxes, sizes, ellipse, enough, reached, depth, stack):  # type: ignore[no-untyped-def]
    """Number of pixels inside the ellipse, or any number from `enough` on."""
    n_leaves = sizes.shape[0] // 2
    total, stack[:depth] = 0, reached[:depth]
    while depth > 0 and total < enough:
        depth -= 1
        node = stack[depth]
        where = _position(boxes, node, ellipse)
        if where == INSIDE:
            total += sizes[node]
        elif where == CUT:
            if node < n_leaves:
                stack[depth], stack[depth + 1] = 2 * node + 1, 2 * node
                depth += 2
            else:
                for at in range(sizes[node]):
                    total += int(_holds(points, node - n_leaves, at, ellipse))
    return total


@njit(nogil=True)
def _count_unclustered(  # type: ignore[no-untyped-def]
    points, boxes, sizes, alive, is_unclustered, ellipse, reached, depth, stack
):
    """Number of unclustered pixels inside the ellipse."""
    n_leaves = sizes.shape[0] // 2
    fresh, stack[:depth] = 0, reached[:depth]
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if alive[node] == 0:
            continue
        where = _position(boxes, node, ellipse)
        if where == INSIDE:
            fresh += alive[node]
        elif where == CUT:
            if node < n_leaves:
                stack[depth], stack[depth + 1] = 2 * node + 1, 2 * node
                depth += 2
            else:
                begin = (node - n_leaves) * LEAF
                for at in range(sizes[node]):
                    is_inside = _holds(points, node - n_leaves, at, ellipse)
                    fresh += int(is_inside and is_unclustered[begin + at] != 0)
    return fresh


@njit(nogil=True)
def _take(  # type: ignore[no-untyped-def]
    points, boxes, sizes, alive, is_unclustered, labels, label, is_over, ellipse, reached, depth, stack
):
    """Make the pixels inside the ellipse clustered, and give them a label unless it is 0; return how many were not.

    A label is written over others only if `is_over`.
    """
    n_leaves = sizes.shape[0] // 2
    fresh, stack[:depth] = 0, reached[:depth]
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if label == 0 and alive[node] == 0:
            continue
        where = _position(boxes, node, ellipse)
        if where == OUTSIDE:
            continue
        if where == CUT and node < n_leaves:
            stack[depth], stack[depth + 1] = 2 * node + 1, 2 * node
            depth += 2
            continue
        # All leaves below a node inside, or one leaf that is cut.
        lowest = node
        while lowest < n_leaves:
            lowest *= 2
        leaf = lowest - n_leaves
        taken = 0
        for at in range(sizes[node]):
            slot = leaf * LEAF + at
            if where == INSIDE or _holds(points, leaf, at, ellipse):
                taken += is_unclustered[slot]
                is_unclustered[slot] = 0
                if label > 0 and (is_over or labels[slot] == 0):
                    labels[slot] = label
        if taken > 0:
            fresh += taken
            first, width = node, 1
            while where == INSIDE and first < n_leaves:
                first *= 2
                width *= 2
                alive[first : first + width] = 0
            _lower(alive, node, taken)
    return fresh


@njit(nogil=True, inline="always")
def _lower(alive, node, by):  # type: ignore[no-untyped-def]
    """Take pixels from the unclustered ones of a node and of all that hold it."""
    while node > 0:
        alive[node] -= by
        node >>= 1


@compiled(
    types.UniTuple(I8, 2)(
        given(U4), I8, given(U4), given(U4), given(F4, 3), I8, given(F4, 2), F4, given(F4, 3), given(I4),
        array(I4), array(U1), array(I4), array(U4), I8, I8, types.boolean, types.float64, types.boolean, I8,
    )
)  # fmt: skip
def claim(  # type: ignore[no-untyped-def]
    seeds, first, slot_of, rows, points, n, margins, margin_scale, boxes, sizes,
    alive, is_unclustered, labels, accepted, n_accepted, min_object_size, is_greedy, least_share, is_over, budget,
):  # fmt: skip
    """Work through seeds from `first` on until `budget`, about as many pixels as were looked at, is spent.

    Ellipses are `margin_scale` times as wide as the margins, in which `rows` tells where each pixel stands. More than
    `least_share` of a proposal's pixels must be unclustered. Returns the position of the next seed and the number of
    instances accepted so far.
    """
    ndim = margins.shape[0]
    n_leaves = sizes.shape[0] // 2
    stack, reached = np.empty(128, np.int64), np.empty(64, np.int64)
    inverse = np.zeros(3)
    work = 0
    position = first
    while position < seeds.shape[0] and work < budget:
        row = seeds[position]
        seed = np.int64(slot_of[row])
        position += 1
        work += 1
        if is_unclustered[seed]:
            is_unclustered[seed] = 0
            if seed < n:
                _lower(alive, n_leaves + seed // LEAF, 1)
        elif is_greedy:
            continue
        if seed >= n:
            continue  # It points nowhere.
        for axis in range(ndim):
            margin = np.float64(margins[axis, rows[row]] * margin_scale)
            inverse[3 - ndim + axis] = 1.0 / (1e-12 if margin < 1e-12 else margin)
        leaf, at = seed // LEAF, seed % LEAF
        z, y, x = points[leaf, 0, at], points[leaf, ndim - 2, at], points[leaf, ndim - 1, at]
        ellipse = (np.float64(z), np.float64(y), np.float64(x), inverse[0], inverse[1], inverse[2])
        width = _reach(boxes, n_leaves + leaf, ellipse, reached)
        if is_greedy:
            fresh = _take(points, boxes, sizes, alive, is_unclustered, labels, 0, True, ellipse, reached, width, stack)
        else:
            fresh = _count_unclustered(points, boxes, sizes, alive, is_unclustered, ellipse, reached, width, stack)
        work += 1000 + fresh
        if fresh == 0:
            continue
        too_many = np.int64(np.ceil(fresh / least_share))
        total = _count(points, boxes, sizes, ellipse, too_many, reached, width, stack)
        work += total
        if total >= too_many or (total if is_over else fresh) <= min_object_size:
            continue
        accepted[n_accepted] = row
        n_accepted += 1
        _take(points, boxes, sizes, alive, is_unclustered, labels, n_accepted, is_over, ellipse, reached, width, stack)
    return position, n_accepted


@compiled(types.void(given(I4), I8, array(I4), array(I4), array(U1)))
def release(labels, n, sizes, alive, is_unclustered):  # type: ignore[no-untyped-def]
    """Make all pixels without a label unclustered again."""
    n_leaves = sizes.shape[0] // 2
    alive[n_leaves:] = 0
    for slot in range(labels.shape[0]):
        is_unclustered[slot] = labels[slot] == 0
        if slot < n and labels[slot] == 0:
            alive[n_leaves + slot // LEAF] += 1
    for node in range(n_leaves - 1, 0, -1):
        alive[node] = alive[2 * node] + alive[2 * node + 1]


@compiled(I8(given(I4), given(U4), array(I4), array(I4)))
def paint(labels, pixel_of, number, image):  # type: ignore[no-untyped-def]
    """Renumber the instances that own a pixel 1..n and write them to the flat image; return n.

    `number` (instances + 1, zeros) receives each instance's new number, 0 if it owns nothing.
    """
    for slot in range(labels.shape[0]):
        number[labels[slot]] = 1
    number[0] = 0
    n = 0
    for instance in range(1, number.shape[0]):
        if number[instance] != 0:
            n += 1
            number[instance] = n
    for slot in range(labels.shape[0]):
        image[pixel_of[slot]] = number[labels[slot]]
    return n
