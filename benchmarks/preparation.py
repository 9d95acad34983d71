"""Time what happens before the first training step: read, check, measure, find the centres, normalise.

    python benchmarks/preparation.py DATASET [--images 60] [--repeats 5]

Prints medians, and the medoids of all objects found the naive way, by the matrix of all pairs of an object's pixels.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.checks import check_examples
from embedseg_napari.core.data.pairs import find_dataset, load_folder
from embedseg_napari.core.training.planning import plan_training
from embedseg_napari.core.training.run import TrainingRun
from embedseg_napari.core.training.training_set import TrainingSet

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.data.example import Example


def prepare(folder: Path, config: TrainingConfig, n_images: int) -> tuple[dict[str, float], list[Example]]:
    """Seconds of each part, and the examples."""
    times = {}

    def lap(name: str) -> None:
        nonlocal start
        times[name] = time.perf_counter() - start
        start = time.perf_counter()

    start = time.perf_counter()
    examples = load_folder(folder)[:n_images]
    lap("read")
    check_examples(examples)
    lap("check")
    plan = plan_training(config, examples, None, "cpu")
    lap("measure")
    TrainingRun(config, plan, TrainingSet(config, examples, []), time.monotonic(), None, None)
    lap("centres, normalisation, network")
    return times, examples


def naive_medoids(examples: list[Example]) -> float:
    """Seconds for the medoids of all objects by the distances of all pairs."""
    start = time.perf_counter()
    for example in examples:
        for label in np.unique(example.instances):
            if label:
                points = np.argwhere(example.instances == label).astype(np.float32)
                cdist(points, points).sum(1).argmin()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    folder, _ = find_dataset(given.dataset)
    config = TrainingConfig()
    rows = []
    for _ in range(given.repeats + 1):
        times, examples = prepare(folder, config, given.images)
        rows.append(times)
    n_objects = sum(len(np.unique(example.instances)) - 1 for example in examples)
    print(f"{len(examples)} images, {n_objects} objects")
    for name in rows[0]:
        print(f"  {name:32s} {statistics.median(row[name] for row in rows[1:]):6.3f} s")
    total = statistics.median(sum(row.values()) for row in rows[1:])
    print(f"  {'in all':32s} {total:6.3f} s")
    print(f"  {'medoids by all pairs':32s} {naive_medoids(examples):6.3f} s")


if __name__ == "__main__":
    main()
