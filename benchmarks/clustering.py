"""Time clustering against the definition of the algorithm (all foreground pixels looked at for every seed), in one run.

    python benchmarks/clustering.py            sizes up to 2048 x 2048, and volumes
    python benchmarks/clustering.py --large    8192 x 8192 (8 GB of memory), and 262,144 objects, as well

Seconds are the processor's, of the one thread that works here, so that a busy machine changes them little.

Maps:

- perfect: jittered disks (balls), radius 8 to 12 px, one in each 32 x 32 (x 32), all pixels pointing at the centre
- crowded: likewise, radius 2 to 3 px, one in each 8 x 8
- half: perfect ones halfway through training: half the offsets, noise of 2 px, margins varying by a third
- fresh: a new network: no offsets, margins of 5.7 px, everything foreground, a smooth random seed map
- noise: worse than any network: every pixel its own random offset, margin and seediness
"""

from __future__ import annotations

import argparse
import os
import resource
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.ndimage import gaussian_filter

from embedseg_napari.core.clustering.clustering import cluster_by, warm_up
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.maps import EmbeddingMaps

CELL = 32
NAIVE_SEEDS = 60
"""Seeds the naive way is timed on; the rest of its time is extrapolated from the seeds it would have to try."""


def perfect(
    shape: tuple[int, ...], rng: np.random.Generator, cell_side: tuple[int, ...] | None = None
) -> EmbeddingMaps:
    ndim = len(shape)
    side = cell_side or tuple(min(CELL, n) for n in shape)
    shortest = min(side)
    offsets = np.zeros((ndim, *shape), np.float32)
    margins = np.full((ndim, *shape), 6.0, np.float32)
    seed_map = np.full(shape, 0.05, np.float32)
    grid = np.indices(side, dtype=np.float32)
    for cell in np.ndindex(*[n // s for n, s in zip(shape, side, strict=True)]):
        box = tuple(slice(i * s, (i + 1) * s) for i, s in zip(cell, side, strict=True))
        center = np.array([s / 2 for s in side]) + shortest / 8 * rng.uniform(-1, 1, ndim)
        radius = shortest * rng.uniform(0.25, 0.375)
        away = center.reshape((ndim,) + (1,) * ndim).astype(np.float32) - grid
        squared = (away**2).sum(0)
        inside = squared < radius**2
        for axis in range(ndim):
            offsets[axis][box][inside] = away[axis][inside]
            margins[axis][box][inside] = 0.8 * radius
        seed_map[box][inside] = np.exp(-squared[inside] / (4 * radius**2))
    return EmbeddingMaps(offsets, margins, seed_map)


def crowded(shape: tuple[int, ...], rng: np.random.Generator) -> EmbeddingMaps:
    return perfect(shape, rng, (8,) * len(shape))


def half(shape: tuple[int, ...], rng: np.random.Generator) -> EmbeddingMaps:
    maps = perfect(shape, rng)
    noise = rng.standard_normal(maps.offsets.shape, dtype=np.float32)
    spread = np.exp(0.3 * rng.standard_normal(maps.margins.shape, dtype=np.float32))
    seed_map = maps.seed_map + 0.1 * rng.standard_normal(shape, dtype=np.float32)
    return EmbeddingMaps(maps.offsets / 2 + 2 * noise, maps.margins * spread, np.clip(seed_map, 0, 1))


def fresh(shape: tuple[int, ...], rng: np.random.Generator) -> EmbeddingMaps:
    seed_map = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 3)
    seed_map = np.clip(0.8 + 0.1 * seed_map / seed_map.std(), 0.55, 1)
    zeros = np.zeros((len(shape), *shape), np.float32)
    return EmbeddingMaps(zeros, np.full_like(zeros, 5.74), seed_map)


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> EmbeddingMaps:
    offsets = rng.standard_normal((len(shape), *shape), dtype=np.float32)
    margins = np.exp(1.7 + 0.5 * rng.standard_normal(offsets.shape, dtype=np.float32))
    return EmbeddingMaps(offsets, margins, rng.uniform(0.4, 1, shape).astype(np.float32))


def naive_seconds(maps: EmbeddingMaps) -> float:
    """Time of the definition: measured on the first seeds, multiplied by the number of seeds it tries."""
    foreground = np.flatnonzero(maps.seed_map > 0.5)
    at = np.unravel_index(foreground, maps.seed_map.shape)
    embedding = np.stack([at[a] + maps.offsets[a].ravel()[foreground] for a in range(maps.ndim)]).astype(np.float32)
    margins = maps.margins.reshape(maps.ndim, -1)[:, foreground]
    score = maps.seed_map.ravel()[foreground]
    unclustered = np.ones(len(foreground), bool)
    start = time.thread_time()
    tried = 0
    while tried < NAIVE_SEEDS:
        masked = np.where(unclustered, score, 0)
        seed = int(masked.argmax())
        if masked[seed] < 0.9:
            break
        scaled = (embedding - embedding[:, seed, None]) / margins[:, seed, None]
        proposal = (scaled**2).sum(0) < 1
        unclustered[seed] = False
        if unclustered[proposal].sum() / proposal.sum() > 0.5:
            unclustered[proposal] = False
        unclustered &= ~proposal
        tried += 1
    per_seed = (time.thread_time() - start) / max(tried, 1)
    # At least one try for each object found.
    return per_seed * max(tried, len(cluster_by(maps).scores))


def best_of(n: int, maps: EmbeddingMaps, seeds: str) -> float:
    times = []
    for _ in range(n):
        start = time.thread_time()
        cluster_by(maps, PredictionConfig(seeds=seeds))  # type: ignore[arg-type]
        times.append(time.thread_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time clustering against its definition.")
    parser.add_argument("--large", action="store_true", help="65,536 and 262,144 objects as well")
    large = parser.parse_args().large
    start = time.perf_counter()
    warm_up(wait=True)
    print(f"compiled code ready after {time.perf_counter() - start:.2f} s\n")
    print(
        "| maps | shape | foreground | objects | seconds | ns per foreground pixel | local maxima, s | naive / this |"
    )
    print("|---|---|---|---|---|---|---|---|")
    sizes: list[tuple[int, ...]] = [(256, 256), (512, 512), (1024, 1024), (2048, 2048)]
    if large:
        sizes.append((8192, 8192))
    cases = [(perfect, shape) for shape in sizes]
    cases += [(perfect, (32, 256, 256)), (perfect, (32, 512, 512))]
    cases += [(kind, shape) for kind in (half, fresh, noise) for shape in ((2048, 2048), (32, 256, 256))]
    if large:
        cases.append((crowded, (4096, 4096)))
    for make, shape in cases:
        maps = make(shape, np.random.default_rng(0))
        n = int(np.count_nonzero(maps.seed_map > 0.5))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        objects = len(cluster_by(maps).scores)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        seconds = best_of(3, maps, "greedy")
        maxima = best_of(1, maps, "local_maxima")
        ratio = naive_seconds(maps) / seconds
        name = " x ".join(map(str, shape))
        print(
            f"| {make.__name__} | {name} | {n:,} | {objects:,} | {seconds:.3f} | {1e9 * seconds / n:.0f} "
            f"| {maxima:.3f} | {ratio:,.0f} |",
            flush=True,
        )
        if shape == (8192, 8192):
            print(f"\npeak memory grew by {grown:,.0f} MB in the largest case\n")


if __name__ == "__main__":
    main()
