"""Images of many kinds that no microscope took: what a start model learns from beside real ones.

Each image has its own kind, drawn at random: the outline of its objects (round, bent, polygons that touch, rods, worms,
stars), their size, spread and density; what the microscope shows of them (filled, domes, rims, relief, halos, grain);
contrast both ways, uneven light, grain and specks of the background, blur and noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.draw import polygon

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTLINES = ("round", "bent", "rod", "worm", "star", "tiled")
DIAMETER = 24.0
"""Pixels across a disc of the area of a typical object."""
TRIES = 400
"""Places tried for objects of an image."""


def generate(seed: int, side: int = 256) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """An image and its labels, both of shape (side, side)."""
    rng = np.random.default_rng(seed)
    outline = str(rng.choice(OUTLINES))
    labels = _tiled(rng, side) if outline == "tiled" else _placed(rng, side, outline)
    return _photograph(rng, labels), labels


def _placed(rng: np.random.Generator, side: int, outline: str) -> NDArray[np.int32]:
    """Objects one after the other at random places, alone or against those that are there."""
    labels = np.zeros((side, side), np.int32)
    spread, elongation = rng.uniform(0.05, 0.4), rng.uniform(1, 2.2)
    cover, overlap = rng.uniform(0.08, 0.6), rng.choice([0.0, 0.1, 0.3])
    clumped, bend = rng.random() < 0.5, rng.uniform(0, 0.25)
    count = 0
    for _ in range(TRIES):
        if (labels > 0).mean() >= cover:
            break
        area = np.pi / 4 * (DIAMETER * np.exp(rng.normal(0, spread))) ** 2
        contour = _outline(rng, outline, area, elongation, bend)
        where = rng.uniform(0, side, 2)
        if clumped and count and rng.random() < 0.7:
            # Beside an object that is there.
            ys, xs = np.nonzero(labels == rng.integers(1, count + 1))
            if len(ys):
                angle = rng.uniform(0, 2 * np.pi)
                where = np.array([ys.mean(), xs.mean()]) + DIAMETER * np.array([np.sin(angle), np.cos(angle)])
        y, x = polygon(*(contour + where).T, shape=labels.shape)
        if len(y) < 30:
            continue
        taken = labels[y, x] > 0
        if taken.mean() > overlap + 0.02:
            continue
        count += 1
        labels[y[~taken], x[~taken]] = count
    return _whole(labels)


def _outline(rng: np.random.Generator, kind: str, area: float, elongation: float, bend: float) -> NDArray[np.float64]:
    """Corners (N, 2) of an object about the origin, of a given area."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    if kind in ("rod", "worm"):
        ratio = rng.uniform(2, 5) if kind == "rod" else rng.uniform(6, 14)
        width = np.sqrt(area / ratio)
        along = np.linspace(-0.5, 0.5, 24)
        heading = rng.normal(0, 0.3 if kind == "rod" else 1.5) * along
        heading = heading + (0 if kind == "rod" else rng.uniform(0, 1) * np.sin(rng.uniform(3, 9) * along))
        step = width * ratio / len(along)
        middle = np.cumsum(step * np.stack([np.sin(heading), np.cos(heading)], 1), 0)
        across = np.stack([np.cos(heading), -np.sin(heading)], 1)
        taper = np.sqrt(np.clip(1 - (2 * np.abs(along)) ** (6 if kind == "rod" else 4), 0.02, 1))[:, None]
        contour = np.concatenate([middle + across * taper * width / 2, (middle - across * taper * width / 2)[::-1]])
        contour -= contour.mean(0)
    else:
        radius = np.ones_like(t)
        for wave in range(2, 6):
            radius += bend / wave * (rng.normal() * np.cos(wave * t) + rng.normal() * np.sin(wave * t))
        if kind == "star":
            for _ in range(rng.integers(2, 6)):
                away = np.angle(np.exp(1j * (t - rng.uniform(0, 2 * np.pi))))
                radius += rng.uniform(0.3, 1.6) * np.exp(-((away / rng.uniform(0.15, 0.4)) ** 2))
        ratio = 1.0 if kind == "star" else 1 + (elongation - 1) * rng.random()
        stretch = np.stack([np.sin(t) / np.sqrt(ratio), np.cos(t) * np.sqrt(ratio)], 1)
        contour = np.maximum(radius, 0.2)[:, None] * stretch
    y, x = contour.T
    now = abs(np.dot(y, np.roll(x, 1)) - np.dot(x, np.roll(y, 1))) / 2
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return contour @ turn * np.sqrt(area / max(now, 1.0))


def _tiled(rng: np.random.Generator, side: int) -> NDArray[np.int32]:
    """Cells side by side, as in an epithelium, with or without gaps; some are missing."""
    step = DIAMETER * rng.uniform(1.0, 1.3)
    places = np.mgrid[-step : side + step : step, -step : side + step : step].reshape(2, -1).T
    places = places + rng.normal(0, step * rng.uniform(0.1, 0.35), places.shape)
    grid = np.mgrid[:side, :side].astype(float)
    warp = [ndimage.gaussian_filter(rng.normal(0, 1, (side, side)), 6) * 6 * rng.uniform(0, 8) for _ in range(2)]
    near, which = cKDTree(places).query(np.stack([g + w for g, w in zip(grid, warp, strict=True)], -1), k=2)
    labels = which[..., 0].astype(np.int32) + 1
    labels[near[..., 1] - near[..., 0] < rng.choice([0.0, 1.5, 3.0, 5.0])] = 0
    if rng.random() < 0.6:
        kept = rng.random(len(places) + 1) < rng.uniform(0.3, 0.95)
        labels[~kept[labels]] = 0
    return _whole(labels)


def _whole(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The largest piece of each object, numbered from 1; crumbs are dropped."""
    kept = np.zeros_like(labels)
    number = 0
    for index, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        pieces, n = ndimage.label(labels[box] == index)
        sizes = np.bincount(pieces.ravel())[1:]
        if n and sizes.max() >= 30:
            number += 1
            kept[box][pieces == 1 + sizes.argmax()] = number
    return kept


def _grain(rng: np.random.Generator, shape: tuple[int, int], size: float) -> NDArray[np.float64]:
    noise = ndimage.gaussian_filter(rng.normal(0, 1, shape), size, mode="wrap")
    return noise / noise.std()


def _photograph(rng: np.random.Generator, labels: NDArray[np.int32]) -> NDArray[np.float32]:
    shape, n = labels.shape, int(labels.max())
    inside = labels > 0
    edge = (ndimage.minimum_filter(labels, 3) != labels) | (ndimage.maximum_filter(labels, 3) != labels)
    depth = ndimage.distance_transform_edt(~(edge & inside) & inside)
    away = ndimage.distance_transform_edt(~inside)
    own = np.exp(rng.normal(0, rng.uniform(0, 0.5), n + 1))[labels] * inside
    # What shows an object: one or two of these, the first one strongest.
    looks = {
        "filled": own,
        "dome": own * np.minimum(depth / (0.3 * DIAMETER), 1) ** rng.uniform(0.4, 1.2),
        "rim": own * np.exp(-((depth / rng.uniform(1.2, 3)) ** 2)),
        "halo": np.exp(-away / rng.uniform(1.5, 5)) * ~inside,
        "grain": own * _grain(rng, shape, rng.uniform(0.8, 3)),
        "kernel": own * (depth > rng.uniform(0.15, 0.3) * DIAMETER),
    }
    dome = ndimage.gaussian_filter(np.minimum(depth, 0.3 * DIAMETER), 1.5)
    angle = rng.uniform(0, 2 * np.pi)
    looks["relief"] = 2.0 * (np.sin(angle) * np.gradient(dome, axis=0) + np.cos(angle) * np.gradient(dome, axis=1))
    weights = {"filled": 5, "dome": 5, "rim": 3, "halo": 1, "grain": 2, "kernel": 1, "relief": 1.5}
    odds = np.array([weights[name] for name in looks], float)
    chosen = rng.choice(list(looks), size=rng.integers(1, 4), replace=False, p=odds / odds.sum())
    signal = np.zeros(shape)
    for k, name in enumerate(chosen):
        signal += looks[str(name)] * (1.0 if k == 0 else rng.uniform(-0.7, 0.9))
    background = rng.uniform(0, 0.5) * _grain(rng, shape, rng.uniform(40, 90))
    if rng.random() < 0.5:
        background += rng.uniform(0, 0.2) * _grain(rng, shape, rng.uniform(1, 12))
    for _ in range(rng.integers(0, 12) if rng.random() < 0.5 else 0):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        r = rng.uniform(0.8, 3.5)
        grid = np.mgrid[: shape[0], : shape[1]]
        background += rng.uniform(-0.8, 1) * np.exp(-((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / (2 * r * r))
    image = ndimage.gaussian_filter(signal + background, rng.uniform(0.3, 2.2))
    contrast = np.percentile(image, 99) - np.percentile(image, 5)
    image += rng.normal(0, 1, shape) * contrast * np.exp(rng.uniform(np.log(0.01), np.log(0.2)))
    if rng.random() < 0.3:
        image += ndimage.gaussian_filter(rng.normal(0, 1, shape), 1) * contrast * rng.uniform(0, 0.2)
    return (-image if rng.random() < 0.5 else image).astype(np.float32)
