"""Training on images larger than memory: what measuring takes, how long a step is, and the most memory.

    python benchmarks/from_disk.py make STORE.ome.zarr [--side 32768]
    python benchmarks/from_disk.py run STORE.ome.zarr [--memory 500MB] [--steps 60]
    python benchmarks/from_disk.py step FOLDER [--steps 60]

`make` writes an image of generated nuclei with its labels (32768 x 32768: 2.1 GB of pixels, 4.3 GB of labels); `run`
trains on it in a process of its own; `step` does the same with a folder of images, to compare two versions.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

SIDE, CHUNK = 1024, 256


def make(path: Path, side: int) -> None:
    """One generated field again and again, each time with numbers of its own."""
    import zarr
    from scipy import ndimage

    rng = np.random.default_rng(0)
    labels = np.zeros((SIDE, SIDE), np.uint32)
    grid = np.indices((SIDE, SIDE), np.float32)
    n = 0
    for _ in range(1400):
        middle, radius = rng.uniform(12, SIDE - 12, 2), rng.uniform(6, 11, 2)
        box = tuple(slice(int(m) - 12, int(m) + 13) for m in middle)
        inside = sum(((grid[a][box] - middle[a]) / radius[a]) ** 2 for a in range(2)) < 1
        free = inside & (labels[box] == 0)
        if free.sum() > 0.8 * inside.sum():
            n += 1
            labels[box][free] = n
    image = ndimage.gaussian_filter(900.0 * (labels > 0), 1) + rng.normal(300, 30, labels.shape)
    image = image.clip(0).astype(np.uint16)
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    names = group.create_group("labels")
    names.attrs["ome"] = {"version": "0.5", "labels": ["truth"]}
    for place, kind, more in ((group, "uint16", {}), (names.create_group("truth"), "uint32", {"image-label": {}})):
        array = place.create_array("0", shape=(side, side), dtype=kind, chunks=(CHUNK, CHUNK), shards=(SIDE, SIDE))
        axes = [{"name": letter, "type": "space"} for letter in "yx"]
        datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0]}]}]
        place.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}], **more}
        number = 0
        for y in range(0, side, SIDE):
            for x in range(0, side, SIDE):
                part = image if kind == "uint16" else labels + (labels > 0) * np.uint32(number * n)
                array[y : y + SIDE, x : x + SIDE] = part[: side - y, : side - x]
                number += 1
    print(f"{n * number:,} objects")


def run(source: str, memory: str | None, steps: int) -> None:
    """Train, and print one line of JSON."""
    started = time.perf_counter()
    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.events import StepFinished, TrainingStarted
    from embedseg_napari.core.training.trainer import train

    times: list[tuple[float, float]] = []
    found = {}

    def hear(event: object) -> None:
        if isinstance(event, TrainingStarted):
            found["seconds_to_first_step"] = round(time.perf_counter() - started, 2)
            found["objects"] = event.n_objects
        if isinstance(event, StepFinished):
            times.append((time.perf_counter(), time.process_time()))
            found["loss"] = event.loss

    settings = {"epochs": 1, "steps_per_epoch": steps, "validation_fraction": 0, "precision": "float32"}
    values = settings if memory is None else {**settings, "memory": memory}
    train(source, TrainingConfig.preset("fast", **values), on_event=hear, progress=False, device="cpu")
    each = np.median(np.diff(times, axis=0)[5:], axis=0) * 1e3
    found["ms_per_step"], found["cpu_ms_per_step"] = (round(float(one), 1) for one in each)
    found["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("store", type=Path)
    making.add_argument("--side", type=int, default=32768)
    for name in ("run", "step"):
        one = commands.add_parser(name)
        one.add_argument("source")
        one.add_argument("--memory")
        one.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    if options.command == "make":
        make(options.store, options.side)
    else:
        run(options.source, options.memory, options.steps)


if __name__ == "__main__":
    main()
