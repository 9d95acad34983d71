"""Time measuring, and the memory that it takes beside labels and image, against regionprops of some of the objects.

python benchmarks/measure.py          100,000 objects in 2D with 3 channels; 1,500 objects in 64 x 1024 x 1024;
                                      1,000,000 objects of an OME-Zarr of 20,480 x 20,480 pixels with one channel,
                                      which is measured in blocks, as the command does it
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import tempfile
import time
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from skimage.measure import regionprops_table

import embedseg_napari as es

if TYPE_CHECKING:
    from collections.abc import Callable

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


def write_stores(folder: str) -> None:
    """Labels, and an image in chunks of another size, block by block."""
    import zarr

    part = ellipses((2048, 2048), (20, 20), 10_404)
    for name, kind, chunk in (("labels", np.uint32, 256), ("image", np.uint16, 1024)):
        group = zarr.open_group(f"{folder}/{name}.ome.zarr", mode="w", zarr_format=3)
        array = group.create_array("0", shape=(20_480, 20_480), dtype=kind, chunks=(chunk, chunk))
        axes = [{"name": one, "type": "space", "unit": "micrometer"} for one in "yx"]
        scale = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.2, 0.2]}]}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": scale}]}
        rng = np.random.default_rng(0)
        for number, (y, x) in enumerate(np.ndindex(10, 10)):
            here = np.where(part > 0, part + number * 10_404, 0) if name == "labels" else None
            box = slice(2048 * y, 2048 * (y + 1)), slice(2048 * x, 2048 * (x + 1))
            array[box] = here if here is not None else rng.integers(0, 4000, part.shape)


def measure_store(folder: str) -> None:
    from embedseg_napari.cli import main

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    words = ["measure", f"{folder}/labels.ome.zarr", "--image", f"{folder}/image.ome.zarr", "-o", f"{folder}/t.csv"]
    with contextlib.suppress(SystemExit):
        main(words)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    print(f"store: {time.perf_counter() - began:.1f} s, {extra:.2f} GB of further memory; labels would take 1.7 GB")


def run(case: Callable[..., None], *given: str) -> None:
    """In a process of its own: the largest memory that was ever used is counted."""
    process = multiprocessing.get_context("spawn").Process(target=case, args=given)
    process.start()
    process.join()


if __name__ == "__main__":
    run(plane)
    run(volume)
    with tempfile.TemporaryDirectory() as place:
        run(write_stores, place)
        run(measure_store, place)
