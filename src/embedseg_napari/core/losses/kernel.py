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

from embedseg_napari.core.compilation import F4, F8, I4, I8, U1, array, compiled, given


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


@compiled(types.void(given(I8), given(I8), array(I8), array(I4)))
def group(instance, pixel, first, grouped):  # type: ignore[no-untyped-def]
    """Bring members, pairs of instance and pixel, into the order of their instances; where each one begins."""
    first[:] = 0
    for k in instance:
        first[k + 1] += 1
    for k in range(first.shape[0] - 1):
        first[k + 1] += first[k]
    for at in range(instance.shape[0] - 1, -1, -1):
        k = instance[at]
        first[k + 1] -= 1
        grouped[first[k + 1]] = pixel[at]
    # Every end has moved to its beginning.
    for k in range(first.shape[0] - 1):
        first[k] = first[k + 1]
    first[first.shape[0] - 1] = instance.shape[0]


@compiled(
    types.void(
        given(F4, 2), given(F4, 2), given(I8), given(I4), given(F8, 2), F8, F8,
        array(F8, 2), array(F8, 2), array(F8), array(F8),
    )
)  # fmt: skip
def measure(  # type: ignore[no-untyped-def]
    embedding, sigma, first, pixel, center, negligible, most, mean, precision, variance, reach
):  # fmt: skip
    """Of each instance its mean sigma, its precision exp(10 s), its sum of squared deviations, and its reach.

    Beyond the reach, a squared distance in units of the bandwidth, pixels outside have a smaller error than every
    member, and so weight zero; a phi below `negligible` is left out, too. `most` bounds 10 s.
    """
    ndim = embedding.shape[0]
    for k in range(first.shape[0] - 1):
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


@compiled(types.void(given(F4, 2), given(U1), I8, given(F8), given(F8), given(I8), array(I8), array(I4), array(I4)))
def sort_into_cells(embedding, counts_at, per_crop, low, cell, cells, start, cell_of, order):  # type: ignore[no-untyped-def]
    """Sort the pixels that count into cells of embedding space, those of each crop by themselves."""
    ndim, n = embedding.shape
    per_crop_cells = 1
    for axis in range(ndim):
        per_crop_cells *= cells[axis]
    start[:] = 0
    for p in range(n):
        cell_of[p] = -1
        if counts_at[p] == 0:
            continue
        key, fits = 0, True
        for axis in range(ndim):
            place = math.floor((embedding[axis, p] - low[axis]) / cell[axis])
            # Also what is no number does not fit.
            if not (0 <= place < cells[axis]):
                fits = False
                break
            key = key * cells[axis] + int(place)
        if fits:
            key += (p // per_crop) * per_crop_cells
            cell_of[p] = key
            start[key + 1] += 1
    for key in range(start.shape[0] - 1):
        start[key + 1] += start[key]
    # Filled from the end of each cell, after which every start is where it began.
    for p in range(n - 1, -1, -1):
        key = cell_of[p]
        if key >= 0:
            start[key + 1] -= 1
            order[start[key + 1]] = p
    # One place further on, start[key + 1] is now where the cell begins.


@compiled(
    types.Tuple((array(I4), array(F4), array(F4)))(
        I8, I8, given(F4, 2), given(I8), given(I4), given(I4), given(F8, 2), given(F8, 2), given(F8),
        given(F8), given(F8), given(I8), given(I8), given(I4), array(I4), array(I8),
    )
)  # fmt: skip
def collect(  # type: ignore[no-untyped-def]
    lowest, highest, embedding, first, pixel, crop, center, precision, reach, low, cell, cells, start, order, stamp,
    pair_first,
):  # fmt: skip
    """Of each instance from `lowest` to below `highest` its members, then the pixels outside within its reach.

    Returns pixel, phi and hinge error of all pairs; those of instance k begin at ``pair_first[k - lowest]``.
    """
    ndim = embedding.shape[0]
    room = 4 * (first[highest] - first[lowest]) + 1024
    pixels, phis, errors = np.empty(room, np.int32), np.empty(room, np.float32), np.empty(room, np.float32)
    per_crop_cells = 1
    for axis in range(ndim):
        per_crop_cells *= cells[axis]
    rows, width = cells[ndim - 2], cells[ndim - 1]
    lower, upper = np.zeros(3, np.int64), np.zeros(3, np.int64)
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
        most = n + first[k + 1] - first[k]
        for i in range(lower[0], upper[0] + 1):
            for j in range(lower[1], upper[1] + 1):
                if lower[2] <= upper[2]:
                    row = crop[k] * per_crop_cells + (i * rows + j) * width
                    most += start[row + upper[2] + 2] - start[row + lower[2] + 1]
        if most > room:
            room = 2 * most
            old = pixels, phis, errors
            pixels, phis, errors = np.empty(room, np.int32), np.empty(room, np.float32), np.empty(room, np.float32)
            pixels[:n], phis[:n], errors[:n] = old[0][:n], old[1][:n], old[2][:n]
        for at in range(first[k], first[k + 1]):
            p = pixel[at]
            stamp[p] = k + 1
            distance = 0.0
            for axis in range(ndim):
                distance += (embedding[axis, p] - center[axis, k]) ** 2 * precision[axis, k]
            phi = math.exp(-distance)
            pixels[n], phis[n], errors[n] = p, phi, 2.0 - 2.0 * phi
            n += 1
        for i in range(lower[0], upper[0] + 1):
            for j in range(lower[1], upper[1] + 1):
                if lower[2] > upper[2]:
                    continue
                row = crop[k] * per_crop_cells + (i * rows + j) * width
                for slot in range(start[row + lower[2] + 1], start[row + upper[2] + 2]):
                    p = order[slot]
                    if stamp[p] == k + 1:
                        continue
                    distance = 0.0
                    for axis in range(ndim):
                        distance += (embedding[axis, p] - center[axis, k]) ** 2 * precision[axis, k]
                    if distance < reach[k]:
                        phi = math.exp(-distance)
                        pixels[n], phis[n], errors[n] = p, phi, 2.0 * phi
                        n += 1
    pair_first[highest - lowest] = n
    return pixels[:n], phis[:n], errors[:n]


@compiled(
    types.void(
        I8, I8, given(F4, 2), given(F4, 2), given(F4), given(I8), given(F8, 2), given(F8, 2), given(F8, 2),
        given(I8), given(I4), given(F4), given(F4), given(I8), given(F8), given(F8), F8, F8, F8, F8,
        array(F4, 2), array(F4, 2), array(F4), array(F8), array(F8),
    )
)  # fmt: skip
def go_back(  # type: ignore[no-untyped-def]
    lowest, highest, embedding, sigma, seed, first, center, mean, precision,
    pair_first, pair_pixel, pair_phi, pair_error, ranks, share, seed_weight,
    hinge_weight, variance_weight, foreground, most,
    to_embedding, to_sigma, to_seed, hinge, seed_error,
):  # fmt: skip
    """Lovasz hinge and squared seed error of those instances, and the gradients of the weighted sum of all terms.

    ``ranks`` holds for each instance the places of its pairs in the order of falling error; ``share`` is the part that
    an instance has in the mean over instances and crops.
    """
    ndim = embedding.shape[0]
    to_precision = np.zeros(3, np.float64)
    for k in range(lowest, highest):
        begin, end = pair_first[k - lowest], pair_first[k - lowest + 1]
        n = first[k + 1] - first[k]
        seen, others, total = 0, 0, 0.0
        to_precision[:] = 0.0
        for at in range(begin, end):
            place = begin + ranks[at]
            is_member = ranks[at] < n
            # Growth of the Jaccard loss by one pixel, in closed form: no difference of nearly equal numbers.
            if is_member:
                seen += 1
                slope = 1.0 / (n + others)
                to_phi = -2.0 * slope
            else:
                others += 1
                union = float(n + others)
                slope = (n - seen) / (union * max(union - 1.0, 1.0))
                to_phi = 2.0 * slope
            total += slope * pair_error[place]
            if slope == 0.0:
                continue
            p = pair_pixel[place]
            to_distance = -to_phi * hinge_weight * share[k] * pair_phi[place]
            for axis in range(ndim):
                difference = embedding[axis, p] - center[axis, k]
                to_embedding[axis, p] += to_distance * 2.0 * difference * precision[axis, k]
                to_precision[axis] += to_distance * difference * difference
        hinge[k] = total
        errors = 0.0
        for place in range(begin, begin + n):
            p = pair_pixel[place]
            miss = seed[p] - pair_phi[place]
            errors += miss * miss
            to_seed[p] += 2.0 * foreground * seed_weight[k] * miss
        seed_error[k] = errors
        for axis in range(ndim):
            to_mean = 0.0
            if abs(10.0 * mean[axis, k]) < most:
                to_mean = 10.0 * precision[axis, k] * to_precision[axis] / n
            for place in range(begin, begin + n):
                p = pair_pixel[place]
                away = sigma[axis, p] - mean[axis, k]
                to_sigma[axis, p] += to_mean + 2.0 * variance_weight * share[k] * away / (n * ndim)
