"""The inner loop of the greedy clustering, compiled; time grows with the foreground, not with objects times pixels.

Foreground pixels are sorted into a grid of cells by where they point. Within a cell the unclustered pixels stand
first, so that a seed meets clustered ones only while it must count them:

- Unclustered pixels inside a proposal become clustered whatever comes of it, so all visits to them add up to one pass.
- A proposal needs more unclustered pixels than clustered ones, so counting the clustered ones may stop as soon as
  they are as many; what an accepted proposal counts is again paid for by the pixels it takes.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def build_cells(points, low, inverse_cell, counts, cell_of, start, slot_of, at_slot):  # type: ignore[no-untyped-def]
    """Sort points (n, 3) into cells; the grid has counts[axis] cells of size 1 / inverse_cell[axis] from `low` on."""
    n = points.shape[0]
    for i in range(n):
        cell = 0
        for axis in range(3):
            # In float64, so that the same point and the same bounds always meet in the same cell.
            place = int((float(points[i, axis]) - low[axis]) * inverse_cell[axis])
            cell = cell * counts[axis] + min(max(place, 0), counts[axis] - 1)
        cell_of[i] = cell
        start[cell + 1] += 1
    for cell in range(start.shape[0] - 1):
        start[cell + 1] += start[cell]
    filled = start[:-1].copy()
    for i in range(n):
        slot = filled[cell_of[i]]
        filled[cell_of[i]] += 1
        slot_of[i] = slot
        at_slot[slot] = i


@njit(cache=True, nogil=True)
def claim_seeds(  # type: ignore[no-untyped-def]
    seeds, first, inverse_margins, points, low, inverse_cell, counts, cell_of, start, alive, slot_of, at_slot,
    at_point, labels, accepted, n_accepted, min_object_size, is_greedy, budget,
):
    """Work through seeds from `first` on until about `budget` pixels were looked at.

    Returns the next seed's position and the number of accepted instances so far.
    """
    work = 0
    position = first
    box_low = np.empty(3, np.int64)
    box_high = np.empty(3, np.int64)
    while position < seeds.shape[0] and work < budget:
        seed = seeds[position]
        inverse = inverse_margins[position]
        position += 1
        own = cell_of[seed]
        if slot_of[seed] - start[own] < alive[own]:
            _move_behind_alive(slot_of[seed], own, start, alive, slot_of, at_slot, at_point)
        elif is_greedy:
            continue
        center = points[seed]
        for axis in range(3):
            reach = 1.0 / inverse[axis]
            # One cell of slack on both sides costs little and makes rounding harmless.
            below = (float(center[axis]) - reach - low[axis]) * inverse_cell[axis]
            above = (float(center[axis]) + reach - low[axis]) * inverse_cell[axis]
            box_low[axis] = int(min(max(below - 1e-6, 0.0), counts[axis] - 1.0))
            box_high[axis] = int(min(max(above + 1e-6, 0.0), counts[axis] - 1.0))
        fresh = 0
        for z in range(box_low[0], box_high[0] + 1):
            for y in range(box_low[1], box_high[1] + 1):
                for x in range(box_low[2], box_high[2] + 1):
                    cell = (z * counts[1] + y) * counts[2] + x
                    work += 1
                    slot = start[cell] + alive[cell] - 1
                    while slot >= start[cell]:
                        work += 1
                        if _inside(at_point, slot, center, inverse):
                            fresh += 1
                            if is_greedy:
                                _move_behind_alive(slot, cell, start, alive, slot_of, at_slot, at_point)
                        slot -= 1
        # Greedy: what was just claimed now stands among the clustered; take it out of their count again.
        stale = -fresh - 1 if is_greedy else -1
        if fresh <= 1:
            continue
        for z in range(box_low[0], box_high[0] + 1):
            for y in range(box_low[1], box_high[1] + 1):
                for x in range(box_low[2], box_high[2] + 1):
                    cell = (z * counts[1] + y) * counts[2] + x
                    for slot in range(start[cell] + alive[cell], start[cell + 1]):
                        work += 1
                        if _inside(at_point, slot, center, inverse):
                            stale += 1
                if stale + 1 >= fresh:
                    break
            if stale + 1 >= fresh:
                break
        if stale + 1 >= fresh or fresh + stale + 1 <= min_object_size:
            continue
        n_accepted += 1
        accepted[n_accepted - 1] = seed
        for z in range(box_low[0], box_high[0] + 1):
            for y in range(box_low[1], box_high[1] + 1):
                for x in range(box_low[2], box_high[2] + 1):
                    cell = (z * counts[1] + y) * counts[2] + x
                    slot = start[cell + 1] - 1
                    while slot >= start[cell]:
                        if _inside(at_point, slot, center, inverse):
                            labels[at_slot[slot]] = n_accepted
                            if slot - start[cell] < alive[cell]:
                                _move_behind_alive(slot, cell, start, alive, slot_of, at_slot, at_point)
                        slot -= 1
    return position, n_accepted


@njit(cache=True, nogil=True, inline="always")
def _inside(at_point, slot, center, inverse):  # type: ignore[no-untyped-def]
    total = 0.0
    for axis in range(3):
        scaled = (float(at_point[slot, axis]) - float(center[axis])) * inverse[axis]
        total += scaled * scaled
    return total < 1.0


@njit(cache=True, nogil=True)
def _move_behind_alive(slot, cell, start, alive, slot_of, at_slot, at_point):  # type: ignore[no-untyped-def]
    """Swap a pixel with the last unclustered one of its cell, and let the unclustered end before it."""
    last = start[cell] + alive[cell] - 1
    alive[cell] -= 1
    if slot == last:
        return
    one, other = at_slot[slot], at_slot[last]
    at_slot[slot], at_slot[last] = other, one
    slot_of[one], slot_of[other] = last, slot
    for axis in range(3):
        value = at_point[slot, axis]
        at_point[slot, axis] = at_point[last, axis]
        at_point[last, axis] = value
