"""The loss on a CPU, value and gradient in one go, compiled.

`spatial_embedding` explains the method; this is the same computation, one instance after another, without the many
intermediate arrays that PyTorch would go through: several times quicker. Axes z, y, x are rows of ``(ndim, pixels)``
arrays; the pixels of all crops of a batch stand in one line.

Importing this module compiles it, or loads it from numba's cache, which does not notice when constants of other modules
change: those are handed over.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from embedseg_napari.core.compiled.numba_signatures import F4, F8, I4, I8, U1, U8, array, compiled, given


@compiled(types.void(given(I4), given(U1), I8, I8, array(I8, 2), array(U1)))
def count(labels, valid, per_crop, n_ids, counts, background):  # type: ignore[no-untyped-def]
    """Pixels of every id of every crop, all and valid ones, and which valid pixels are background."""
    counts[:] = 0
    for p in range(labels.shape[0]):
        label = labels[p]
        background[p] = label == 0 and valid[p] != 0
        if label > 0:
            row = (p // per_crop) * n_ids + label
            counts[0, row] += 1
            counts[1, row] += valid[p] != 0


@compiled(types.void(given(I4), given(U1), I8, I8, given(I4), array(I8), array(I4)))
def gather(labels, valid, per_crop, n_ids, index, place, pixel):  # type: ignore[no-untyped-def]
    """Write the valid pixels of every instance one after the other; `place` is where each begins, and then ends."""
    for p in range(labels.shape[0]):
        if labels[p] > 0 and valid[p] != 0:
            k = index[(p // per_crop) * n_ids + labels[p]]
            pixel[place[k]] = p
            place[k] += 1


@compiled(types.void(given(U8), given(U1), given(U1), I8, I8, array(I8, 2), array(U1)))
def count_planes(words, planes, valid, per_crop, n_planes, counts, background):  # type: ignore[no-untyped-def]
    """The same for binary planes, one after the other; `words` are the same bytes, eight at a time."""
    counts[:] = 0
    background[:] = valid
    per_plane = per_crop // 8
    for row in range(counts.shape[1]):
        first = row // n_planes * per_crop
        for word in range(per_plane):
            if words[row * per_plane + word] == 0:
                continue
            for at in range(8 * word, 8 * word + 8):
                if planes[row * per_crop + at] != 0:
                    counts[0, row] += 1
                    counts[1, row] += valid[first + at] != 0
                    background[first + at] = 0


@compiled(types.void(given(U8), given(U1), given(U1), I8, I8, given(I4), array(I8), array(I4)))
def gather_planes(words, planes, valid, per_crop, n_planes, index, place, pixel):  # type: ignore[no-untyped-def]
    """The same for binary planes."""
    per_plane = per_crop // 8
    for row in range(index.shape[0]):
        first = row // n_planes * per_crop
        for word in range(per_plane):
            if words[row * per_plane + word] == 0:
                continue
            for at in range(8 * word, 8 * word + 8):
                if planes[row * per_crop + at] != 0 and valid[first + at] != 0:
                    pixel[place[index[row]]] = first + at
                    place[index[row]] += 1


@compiled(
    types.void(
        I8, I8, given(F4, 2), given(F4, 2), given(I8), given(I4), given(F8, 2), F8, F8,
        array(F8, 2), array(F8, 2), array(F8), array(F8),
    )
)  # fmt: skip
def measure(  # type: ignore[no-untyped-def]
    lowest, highest, embedding, sigma, first, pixel, center, negligible, most, mean, precision, variance, reach
):  # fmt: skip
    """Of each instance from `lowest` to below `highest` mean sigma, precision exp(10 s), squared deviations and reach.

    Beyond the reach, a squared distance in units of the bandwidth, pixels outside have a smaller error than every
    member, and so weight zero; a phi below `negligible` is left out, too. `most` bounds 10 s.
    """
    ndim = embedding.shape[0]
    for k in range(lowest, highest):
        n = first[k + 1] - first[k]
        variance[k] = 0.0
        for axis in range(ndim):
            total = 0.0
            for at in range(first[k], first[k + 1]):
                total += sigma[axis, pixel[at]]
            mean[axis, k] = total / n
            precision[axis, k] = math.exp(min(max(10.0 * total / n, -most), most))
            for at in range(first[k], first[k + 1]):
                variance[k] += (sigma[axis, pixel[at]] - mean[axis, k]) ** 2
        nearest = np.inf
        for at in range(first[k], first[k + 1]):
            distance = 0.0
            for axis in range(ndim):
                distance += (embedding[axis, pixel[at]] - center[axis, k]) ** 2 * precision[axis, k]
            nearest = min(nearest, distance)
        reach[k] = -math.log(max(-math.expm1(-nearest), negligible))


@compiled(
    types.void(
        I8, given(F4, 2), given(U1), I8, given(F8), given(F8), given(I8),
        array(I8), array(I4), array(I4), array(I4), array(F4, 2),
    )
)  # fmt: skip
def place(  # type: ignore[no-untyped-def]
    begin, embedding, counts_at, per_crop, low, cell, cells, start, cell_of, pixel_of, slot_of, placed
):  # fmt: skip
    """Give the pixels that count, from `begin` on, slots in the order of the cells of embedding space they are in.

    Cells of different crops are different. Cell c holds the slots from ``start[c + 1]`` to ``start[c + 2]``; behind
    the last one come pixels that no instance reaches. `pixel_of` and `slot_of` count from `begin`; `placed` holds the
    embeddings in the order of the slots.
    """
    ndim, n = embedding.shape[0], slot_of.shape[0]
    per_crop_cells = 1
    for axis in range(ndim):
        per_crop_cells *= cells[axis]
    nowhere = start.shape[0] - 3
    start[:] = 0
    for p in range(n):
        cell_of[p] = -1
        if counts_at[begin + p] == 0:
            continue
        key, fits = 0, True
        for axis in range(ndim):
            at = math.floor((embedding[axis, begin + p] - low[axis]) / cell[axis])
            if not (0 <= at < cells[axis]):
                fits = False
                break
            key = key * cells[axis] + int(at)
        key = key + (p // per_crop) * per_crop_cells if fits else nowhere
        cell_of[p] = key
        start[key + 2] += 1
    for key in range(start.shape[0] - 1):
        start[key + 1] += start[key]
    for p in range(n):
        key = cell_of[p]
        slot_of[p] = -1
        if key >= 0:
            # Every start moves to the end of its cell, which is where the next one begins.
            slot = start[key + 1]
            start[key + 1] += 1
            pixel_of[slot], slot_of[p] = p, slot
            for axis in range(ndim):
                placed[axis, slot] = embedding[axis, begin + p]
    for key in range(start.shape[0] - 1, 0, -1):
        start[key] = start[key - 1]
    start[0] = 0


@compiled(
    I8(
        I8, I8, I8, I8, given(F4, 2), given(I4), given(I8), given(I4), given(I4), given(F8, 2), given(F8, 2),
        given(F8), given(F8), given(F8), given(I8), given(I8), array(U1), array(I8), array(I4), array(F4),
    )
)  # fmt: skip
def collect(  # type: ignore[no-untyped-def]
    lowest, highest, begin, first_crop, placed, slot_of, first, pixel, crop, center, precision, reach,
    low, cell, cells, start, is_member, pair_first, slots, exponents,
):  # fmt: skip
    """Of each instance from `lowest` to below `highest` its members, then the pixels outside within its reach.

    Writes slot and squared distance, in units of the bandwidth and with a minus, of all pairs; those of instance k
    begin at ``pair_first[k - lowest]``. Returns the room needed if that is more than there is; else 0. `is_member` is
    working memory: a zero for each slot.
    """
    ndim = placed.shape[0]
    per_crop_cells = 1
    for axis in range(ndim):
        per_crop_cells *= cells[axis]
    rows, width = cells[ndim - 2], cells[ndim - 1]
    lower, upper = np.zeros(3, np.int64), np.zeros(3, np.int64)
    distance = np.empty(1024, np.float64)
    n = 0
    for k in range(lowest, highest):
        pair_first[k - lowest] = n
        # In 2D the outermost of the three loops over cells runs once.
        lower[:], upper[:] = 0, 0
        for axis in range(ndim):
            half = math.sqrt(reach[k] / precision[axis, k])
            at = 3 - ndim + axis
            lower[at] = int(min(max(math.floor((center[axis, k] - half - low[axis]) / cell[axis]), 0.0), cells[axis]))
            upper[at] = int(
                min(max(math.floor((center[axis, k] + half - low[axis]) / cell[axis]), -1.0), cells[axis] - 1.0)
            )
        most, longest = n + first[k + 1] - first[k], first[k + 1] - first[k]
        for i in range(lower[0], upper[0] + 1):
            for j in range(lower[1], upper[1] + 1):
                if lower[2] <= upper[2]:
                    row = (crop[k] - first_crop) * per_crop_cells + (i * rows + j) * width
                    here = start[row + upper[2] + 2] - start[row + lower[2] + 1]
                    most += here
                    longest = max(longest, here)
        # One more, for what is written before it is known whether it stays.
        if most + 1 > slots.shape[0]:
            return most + 1
        if longest > distance.shape[0]:
            distance = np.empty(2 * longest, np.float64)
        # In 2D what is named z reads y once more, with a weight of 0.
        z, y, x = center[0, k], center[ndim - 2, k], center[ndim - 1, k]
        by_z, by_y, by_x = precision[0, k], precision[ndim - 2, k], precision[ndim - 1, k]
        if ndim == 2:
            by_z = 0.0
        for at in range(first[k], first[k + 1]):
            slot = slot_of[pixel[at] - begin]
            is_member[slot] = 1
            to_z, to_y, to_x = placed[0, slot] - z, placed[ndim - 2, slot] - y, placed[ndim - 1, slot] - x
            slots[n], exponents[n] = slot, -(to_z * to_z * by_z + to_y * to_y * by_y + to_x * to_x * by_x)
            n += 1
        for i in range(lower[0], upper[0] + 1):
            for j in range(lower[1], upper[1] + 1):
                if lower[2] > upper[2]:
                    continue
                row = (crop[k] - first_crop) * per_crop_cells + (i * rows + j) * width
                here, end = start[row + lower[2] + 1], start[row + upper[2] + 2]
                # Two loops without a branch, the first of which the processor does several pixels at a time.
                for slot in range(here, end):
                    to_z, to_y, to_x = placed[0, slot] - z, placed[ndim - 2, slot] - y, placed[ndim - 1, slot] - x
                    distance[slot - here] = to_z * to_z * by_z + to_y * to_y * by_y + to_x * to_x * by_x
                for slot in range(here, end):
                    away = distance[slot - here]
                    slots[n], exponents[n] = slot, -away
                    n += (away < reach[k]) & (is_member[slot] == 0)
        for at in range(first[k], first[k + 1]):
            is_member[slot_of[pixel[at] - begin]] = 0
    pair_first[highest - lowest] = n
    return 0


@compiled(types.void(I8, I8, given(I8), given(I8), given(F4), array(F4), array(I4), array(U8), array(I4)))
def rank(lowest, highest, first, pair_first, phi, error, code, half_sorted, order):  # type: ignore[no-untyped-def]
    """Hinge errors of all pairs, and the places of an instance's pairs in the order of falling error.

    Errors are between 0 and 2. Counting sorts by the lower and then the upper 11 bits of their distance to 2, in steps
    as fine as float32 has there, are several times quicker than sorting by comparison. `code` and `half_sorted` are
    working memory for as many pairs.
    """
    lower, upper = np.empty(2048, np.int64), np.empty(2048, np.int64)
    for k in range(lowest, highest):
        begin, end = pair_first[k - lowest], pair_first[k - lowest + 1]
        n = first[k + 1] - first[k]
        for at in range(begin, begin + n):
            error[at] = np.float32(2.0) - np.float32(2.0) * phi[at]
        for at in range(begin + n, end):
            error[at] = np.float32(2.0) * phi[at]
        for at in range(begin, end):
            code[at] = np.int32((np.float32(2.0) - error[at]) * np.float32(2097151.5))
        lower[:], upper[:] = 0, 0
        for at in range(begin, end):
            lower[code[at] & 2047] += 1
            upper[code[at] >> 11] += 1
        before_lower, before_upper = np.int64(0), begin
        for digit in range(2048):
            before_lower, lower[digit] = before_lower + lower[digit], before_lower
            before_upper, upper[digit] = before_upper + upper[digit], before_upper
        for at in range(begin, end):
            digit = code[at] & 2047
            half_sorted[lower[digit]] = (np.uint64(code[at] >> 11) << np.uint64(32)) | np.uint64(at - begin)
            lower[digit] += 1
        for at in range(end - begin):
            top = half_sorted[at] >> np.uint64(32)
            order[upper[top]] = np.int32(half_sorted[at] & np.uint64(0xFFFFFFFF))
            upper[top] += 1


@compiled(
    types.void(
        I8, I8, given(F4, 2), given(F4, 2), given(F4), given(I8), given(I4), given(F8, 2), given(F8, 2),
        given(F8, 2), given(I8), given(I4), given(F4), given(F4), given(I4), given(F8), given(F8), F8, F8, F8, F8,
        array(F4, 2), array(F4, 2), array(F4), array(F8), array(F8),
    )
)  # fmt: skip
def backward(  # type: ignore[no-untyped-def]
    lowest, highest, placed, sigma, seed, first, pixel, center, mean,
    precision, pair_first, slots, phi, error, order, share, seed_weight, hinge_weight, variance_weight, foreground,
    most, to_placed, to_sigma, to_seed, hinge, seed_error,
):  # fmt: skip
    """Lovasz hinge and squared seed error of those instances, and the gradients of the weighted sum of all terms.

    ``order`` holds for each instance the places of its pairs in the order of falling error; ``share`` is the part that
    an instance has in the mean over instances and crops.
    """
    ndim = placed.shape[0]
    longest = 0
    for k in range(highest - lowest):
        longest = max(longest, pair_first[k + 1] - pair_first[k])
    to_exponent = np.zeros(longest, np.float64)
    to_precision = np.zeros(3, np.float64)
    for k in range(lowest, highest):
        start, n_pairs = pair_first[k - lowest], pair_first[k - lowest + 1] - pair_first[k - lowest]
        n = first[k + 1] - first[k]
        seen, others, total = 0, 0, 0.0
        for at in range(n_pairs):
            to_exponent[at] = 0.0
        for at in range(start, start + n_pairs):
            place = order[at]
            # Growth of the Jaccard loss by one pixel, in closed form: no difference of nearly equal numbers.
            if place < n:
                seen += 1
                slope = 1.0 / (n + others)
                to_phi = -2.0 * slope
            else:
                others += 1
                union = float(n + others)
                slope = (n - seen) / (union * max(union - 1.0, 1.0))
                to_phi = 2.0 * slope
            total += slope * error[start + place]
            to_exponent[place] = to_phi * hinge_weight * share[k] * phi[start + place]
            if seen == n:
                # All others have a smaller error than every member, and weight zero.
                break
        hinge[k] = total
        for axis in range(ndim):
            middle, twice, sum_of_squares = center[axis, k], 2.0 * precision[axis, k], 0.0
            for at in range(n_pairs):
                slot = slots[start + at]
                away = placed[axis, slot] - middle
                pull = to_exponent[at] * away
                to_placed[axis, slot] -= pull * twice
                sum_of_squares += pull * away
            to_precision[axis] = -sum_of_squares
        errors = 0.0
        for at in range(n):
            p = pixel[first[k] + at]
            miss = seed[p] - phi[start + at]
            errors += miss * miss
            to_seed[p] += 2.0 * foreground * seed_weight[k] * miss
        seed_error[k] = errors
        for axis in range(ndim):
            to_mean = 0.0
            if abs(10.0 * mean[axis, k]) < most:
                to_mean = 10.0 * precision[axis, k] * to_precision[axis] / n
            for at in range(first[k], first[k + 1]):
                p = pixel[at]
                away = sigma[axis, p] - mean[axis, k]
                to_sigma[axis, p] += to_mean + 2.0 * variance_weight * share[k] * away / (n * ndim)


@compiled(
    types.void(
        I8, I8, given(I4), given(F4, 2), given(F4, 2), given(F4), given(U1), given(F8), I8, array(F4, 2), array(F8)
    )
)  # fmt: skip
def finish(  # type: ignore[no-untyped-def]
    begin, end, pixel_of, to_placed, offset, seed, background, weight, per_crop, gradient, seed_error
):  # fmt: skip
    """Bring gradients into the order of the pixels, add the background's, and go back through the activations.

    Of the pixels from `begin` to below `end`; `pixel_of` counts from `begin`. `seed_error` receives the squared seed
    error of each crop's background, whose gradient is twice the seed times the crop's `weight`.
    """
    ndim = offset.shape[0]
    for axis in range(ndim):
        for slot in range(pixel_of.shape[0]):
            gradient[axis, begin + pixel_of[slot]] = to_placed[axis, slot]
        for p in range(begin, end):
            gradient[axis, p] *= np.float32(1.0) - offset[axis, p] * offset[axis, p]
    for crop in range(begin // per_crop, end // per_crop):
        total = 0.0
        for p in range(crop * per_crop, (crop + 1) * per_crop):
            if background[p]:
                total += seed[p] * seed[p]
                gradient[2 * ndim, p] += 2.0 * weight[crop] * seed[p]
            gradient[2 * ndim, p] *= seed[p] * (np.float32(1.0) - seed[p])
        seed_error[crop] = total
