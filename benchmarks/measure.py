"""Time measuring, and the memory that it takes beside labels and image, against regionprops of some of the objects.

python benchmarks/measure.py          100,000 objects in 2D with 3 channels; 1,500 objects in 64 x 1024 x 1024
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from skimage.measure import regionprops_table

import embedseg_napari as es

PROPERTIES = ("label", "area", "centroid", "bbox", "axis_major_length", "axis_minor_length", "intensity_mean")
FEW = 500
"""Objects that regionprops is timed on; its time grows with their number."""


def ellipses(shape: tuple[int, ...], side: tuple[int, ...], most: int) -> np.ndarray:
    """One ellipse in each cell of a grid, touching its neighbours' cells."""
    labels = np.zeros(shape, np.int32)
    grid = np.indices(side)
    middle = [(n - 1) / 2 for n in side]
    inside = sum(((g - m) / (n / 2)) ** 2 for g, m, n in zip(grid, middle, side, strict=True)) <= 1
    for number, cell in enumerate(np.ndindex(*[n // s for n, s in zip(shape, side, strict=True)]), 1):
        if number > most:
            break
        labels[tuple(slice(i * s, (i + 1) * s) for i, s in zip(cell, side, strict=True))][inside] = number
    return labels


def report(title: str, labels: np.ndarray, image: np.ndarray, spacing: tuple[float, ...]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    table = es.measure(labels, image, spacing=spacing)
    seconds = time.perf_counter() - began
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    rows = np.flatnonzero(table["label"] <= FEW)
    high = [int(table[f"bbox_max_{axis}_px"][rows].max()) for axis in "zyx"[-labels.ndim :]]
    part = tuple(slice(0, n) for n in high)
    few = np.where(labels[part] <= FEW, labels[part], 0)
    channels = np.ascontiguousarray(np.moveaxis(image[(slice(None), *part)], 0, -1))
    began = time.perf_counter()
    regionprops_table(few, channels, properties=PROPERTIES, spacing=spacing)
    theirs = (time.perf_counter() - began) / len(rows) * len(table["label"])
    print(
        f"{title}: {len(table['label'])} objects, {len(table)} columns: {seconds:.1f} s, "
        f"{extra / labels.nbytes:.1f} times the labels of further memory; regionprops_table about {theirs:.0f} s"
    )


def plane() -> None:
    labels = ellipses((6336, 6336), (20, 20), 100_000)
    image = np.random.default_rng(0).integers(0, 4000, (3, *labels.shape), np.uint16)
    report("2D", labels, image, (0.2, 0.2))


def volume() -> None:
    labels = ellipses((64, 1024, 1024), (30, 36, 36), 1_500)
    image = np.random.default_rng(0).integers(0, 4000, (1, *labels.shape), np.uint16)
    report("3D", labels, image, (1.0, 0.2, 0.2))


if __name__ == "__main__":
    # Each in a process of its own: the largest memory that was ever used is counted.
    for case in (plane, volume):
        process = multiprocessing.get_context("spawn").Process(target=case)
        process.start()
        process.join()
