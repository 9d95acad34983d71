"""Time exact medoids against the matrix of all pairs, in one run.

Seconds are the processor's, of the one thread that works here.

    python benchmarks/medoid.py
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from embedseg_napari.core.data.medoid import medoid
from embedseg_napari.core.data.objects import measure_objects

NAIVE_ROWS = 200
"""Members whose distances are summed to time the naive way; the rest is extrapolated."""


def ball(shape: tuple[int, ...], inner: float = 0.0) -> np.ndarray:
    axes = [np.linspace(-1, 1, n) for n in shape]
    radius = np.sqrt(sum(line**2 for line in np.meshgrid(*axes, indexing="ij")))
    return (radius <= 1) & (radius >= inner)


def naive_seconds(at: np.ndarray) -> float:
    start = time.thread_time()
    for point in at[:NAIVE_ROWS]:
        np.sqrt(((at - point) ** 2).sum(1)).sum()
    return (time.thread_time() - start) * len(at) / min(NAIVE_ROWS, len(at))


def best_of_three(function: object, *arguments: object) -> float:
    times = []
    for _ in range(3):
        start = time.thread_time()
        function(*arguments)  # type: ignore[operator]
        times.append(time.thread_time() - start)
    return min(times)


def main() -> None:
    print("| object | pixels | seconds | naive / this |")
    print("|---|---|---|---|")
    for name, mask in (
        ("disk", ball((24, 24))),
        ("ball", ball((34, 34, 34))),
        ("shell", ball((34, 34, 34), 0.8)),
        ("ring", ball((400, 400), 0.9)),
        ("large disk", ball((1500, 1500))),
    ):
        at = np.argwhere(mask).astype(float)
        seconds = best_of_three(medoid, mask)
        print(f"| {name} | {len(at):,} | {seconds:.4f} | {naive_seconds(at) / seconds:,.0f} |", flush=True)
    disk = ball((22, 22))
    labels = np.kron(np.arange(1, 3026).reshape(55, 55), np.pad(disk, 5).astype(np.int32))
    seconds = best_of_three(measure_objects, labels)
    each = naive_seconds(np.argwhere(disk).astype(float))
    print(
        f"| 3,025 nuclei of one image | {np.count_nonzero(labels):,} | {seconds:.3f} | {3025 * each / seconds:,.0f} |"
    )


if __name__ == "__main__":
    main()
