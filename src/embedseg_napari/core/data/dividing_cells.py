"""Generated time-lapses of cells that move, grow and divide, with their true lineages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FILLED = 0.35
"""Share of the image that cells take at the beginning."""
MEMORY = 0.7
"""Share of its motion that a cell keeps from frame to frame."""
GROWTH = 1.04
"""Of a daughter's radius from frame to frame, until it is as large as its mother."""


@dataclass(frozen=True, slots=True)
class Movie:
    """A time-lapse and the truth about it."""

    image: NDArray[np.float32]
    """(T, (Z,) Y, X)"""
    labels: NDArray[np.int32]
    """The same shape; a cell has one number from its first frame to its last."""
    parents: dict[int, int]
    """Number of the mother of each cell that came from a division."""


@dataclass
class _Cells:
    """All cells of a frame."""

    ids: NDArray[np.int64]
    places: NDArray[np.float64]
    """(n, ndim) in pixels."""
    motions: NDArray[np.float64]
    """(n, ndim) pixels from frame to frame."""
    radii: NDArray[np.float64]


def dividing_cells(
    n_cells: int = 200,
    n_frames: int = 20,
    n_divisions: int = 20,
    *,
    ndim: int = 2,
    radius: float = 9.0,
    speed: float = 0.3,
    seed: int = 0,
) -> Movie:
    """Generate a time-lapse.

    Parameters
    ----------
    n_cells : int
        Cells of the first frame.
    n_frames, n_divisions : int
        Frames, and divisions in all of them.
    ndim : {2, 3}
        Spatial axes.
    radius : float
        Of a cell, in pixels.
    speed : float
        How far a cell moves from frame to frame, in radii.
    seed : int
        The same one gives the same time-lapse.
    """
    parents: dict[int, int] = {}
    frames = np.stack(list(label_frames(n_cells, n_frames, n_divisions, parents, ndim, radius, speed, seed)))
    rng = np.random.default_rng(seed)
    image = np.empty(frames.shape, np.float32)
    for t, frame in enumerate(frames):
        bright = gaussian_filter((frame > 0) * rng.uniform(0.6, 1.0, int(frames.max()) + 1)[frame], radius / 6)
        image[t] = 100 + 150 * bright + rng.normal(0, 8, frame.shape)
    return Movie(image, frames, parents)


def label_frames(
    n_cells: int,
    n_frames: int,
    n_divisions: int,
    parents: dict[int, int],
    ndim: int = 2,
    radius: float = 9.0,
    speed: float = 0.3,
    seed: int = 0,
) -> Iterator[NDArray[np.int32]]:
    """Draw labels of one frame after another, for time-lapses of any length; see :func:`dividing_cells`.

    `parents` is filled as cells divide.
    """
    rng = np.random.default_rng(seed)
    ball = np.pi * radius**2 if ndim == 2 else 4 / 3 * np.pi * radius**3
    side = round((n_cells * ball / FILLED) ** (1 / ndim))
    places = rng.uniform(radius, side - radius, (n_cells, ndim))
    cells = _Cells(
        np.arange(1, n_cells + 1), places, np.zeros((n_cells, ndim)), radius * rng.uniform(0.85, 1.1, n_cells)
    )
    for _ in range(60):
        _push_apart(cells, side)
    # Not in the first frame, nor so late that no daughter is seen.
    when = (
        np.bincount(rng.integers(1, n_frames, n_divisions), minlength=n_frames)
        if n_divisions
        else np.zeros(n_frames, int)
    )
    newborn: set[int] = set()
    for t in range(n_frames):
        if t:
            noise = rng.normal(0, speed * radius * (1 - MEMORY**2) ** 0.5 / ndim**0.5, cells.motions.shape)
            cells.motions = MEMORY * cells.motions + noise
            cells.places = cells.places + cells.motions
            cells.radii = np.minimum(cells.radii * np.where(np.isin(cells.ids, list(newborn)), GROWTH, 1), 1.1 * radius)
            _divide(cells, int(when[t]), parents, newborn, rng)
            for _ in range(6):
                _push_apart(cells, side)
        yield _drawn(cells, side)


def _divide(cells: _Cells, n: int, parents: dict[int, int], newborn: set[int], rng: np.random.Generator) -> None:
    """Let some cells that have not divided yet fall into two, side by side."""
    rows = rng.permutation(np.flatnonzero(~np.isin(cells.ids, list(newborn))))[:n]
    if not len(rows):
        return
    ndim = cells.places.shape[1]
    direction = rng.normal(size=(len(rows), ndim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    small = cells.radii[rows] / 2 ** (1 / ndim)
    first = max(int(cells.ids.max()), *parents, 0) if parents else int(cells.ids.max())
    ids = first + 1 + np.arange(2 * len(rows))
    for number, mother in zip(ids.tolist(), np.tile(cells.ids[rows], 2).tolist(), strict=True):
        parents[number] = mother
    newborn.update(ids.tolist())
    shift = direction * small[:, None]
    places = np.concatenate([cells.places[rows] - shift, cells.places[rows] + shift])
    motions = np.tile(cells.motions[rows], (2, 1))
    kept = np.setdiff1d(np.arange(len(cells.ids)), rows)
    cells.ids = np.concatenate([cells.ids[kept], ids])
    cells.places = np.concatenate([cells.places[kept], places])
    cells.motions = np.concatenate([cells.motions[kept], motions])
    cells.radii = np.concatenate([cells.radii[kept], np.tile(small, 2)])


def _push_apart(cells: _Cells, side: int) -> None:
    """Move cells that overlap half of the way that they would need, and keep all in the image."""
    pairs = KDTree(cells.places).query_pairs(2 * cells.radii.max(), output_type="ndarray")
    one, other = pairs[:, 0], pairs[:, 1]
    between = cells.places[other] - cells.places[one]
    distance = np.maximum(np.linalg.norm(between, axis=1), 1e-6)
    lacking = np.maximum(cells.radii[one] + cells.radii[other] + 1 - distance, 0)
    push = between * (lacking / distance / 4)[:, None]
    np.add.at(cells.places, one, -push)
    np.add.at(cells.places, other, push)
    margin = cells.radii[:, None]
    cells.places = np.clip(cells.places, margin, side - 1 - margin)


def _drawn(cells: _Cells, side: int) -> NDArray[np.int32]:
    """Label image; where cells overlap, a pixel belongs to the one in which it lies deeper."""
    ndim = cells.places.shape[1]
    labels = np.zeros((side,) * ndim, np.int32)
    depth = np.ones(labels.shape, np.float32)
    for number, place, radius in zip(cells.ids.tolist(), cells.places, cells.radii.tolist(), strict=True):
        low = np.maximum(np.floor(place - radius).astype(int), 0)
        box = tuple(slice(a, b) for a, b in zip(low, np.ceil(place + radius).astype(int) + 1, strict=True))
        axes = np.ogrid[tuple(slice(one.start, min(one.stop, side)) for one in box)]
        away = sum(((axis - middle) / radius) ** 2 for axis, middle in zip(axes, place, strict=True))
        is_own = away < depth[box]
        labels[box][is_own] = number
        depth[box][is_own] = away[is_own]
    return labels


def unlinked(labels: NDArray[np.int32], seed: int = 0) -> NDArray[np.int32]:
    """Number the objects of each frame anew and by chance, as a segmentation does."""
    rng = np.random.default_rng(seed)
    found = np.zeros_like(labels)
    for t, frame in enumerate(labels):
        ids, inverse = np.unique(frame, return_inverse=True)
        # The background comes first.
        found[t] = np.append(0, rng.permutation(len(ids) - 1) + 1)[inverse].reshape(frame.shape)
    return found
