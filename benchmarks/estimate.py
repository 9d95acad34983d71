"""How often the intervals of an estimate hold the truth, where the truth is known and the labels are spoiled.

python benchmarks/estimate.py                        generated nuclei in 2D and 3D
python benchmarks/estimate.py --dsb2018 DATASET      and images of the Data Science Bowl 2018: the folder with train/

For each set, as many samples as --draws are drawn and judged by the truth (IoU 0.5): all of the sample, and only its
first 20 steps. A line says how often each 95 % interval held the truth, and how wide it was in the mean.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "steps"))

import numpy as np
from estimate_steps import KnownLabels, known
from movie_steps import spoil

from embedseg_napari.core.data.objects import measure_objects
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.estimate.judgement import Judgement
from embedseg_napari.core.files.tiff import read_image

STOPPED = 20
"""Steps after which an impatient person stops."""


def by_chance(share: float):
    """Objects that are missing, merged with the next one or split, a third each."""
    return lambda frames, seed: spoil(frames, share, seed)


def nearby(share: float):
    """Objects that are missing in clumps of about eight: each gap takes an object and those closest to it."""

    def change(frames: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        changed = frames.copy()
        for frame in changed:
            objects = measure_objects(frame, "centroid")
            n_gaps = rng.binomial(len(objects.ids), share / 8)
            for row in rng.choice(len(objects.ids), n_gaps, replace=False) if n_gaps else ():
                distance = np.linalg.norm(objects.centers - objects.centers[row], axis=1)
                frame[np.isin(frame, objects.ids[np.argsort(distance)[:8]])] = 0
        return changed

    return change


def smallest(share: float):
    """The smallest objects are missing."""

    def change(frames: np.ndarray, seed: int) -> np.ndarray:
        changed = frames.copy()
        sizes = [measure_objects(frame, "centroid") for frame in frames]
        limit = np.quantile(np.concatenate([one.sizes for one in sizes]), share)
        for frame, one in zip(changed, sizes, strict=True):
            frame[np.isin(frame, one.ids[one.sizes < limit])] = 0
        return changed

    return change


FAULTS = {
    "none": lambda frames, seed: frames,
    "5 % by chance": by_chance(0.05),
    "20 % by chance": by_chance(0.2),
    "smallest 10 % missing": smallest(0.1),
    "5 % missing in clumps of 8": nearby(0.05),
    "20 % missing in clumps of 8": nearby(0.2),
}


def generated() -> dict[str, list[np.ndarray]]:
    """Truths by name of the set, each with axes T(Z)YX."""
    return {
        "generated 2D, 1024 x 1024": [nuclei((1024, 1024), diameter=24, seed=seed).labels[None] for seed in range(3)],
        "generated 3D, 40 x 256 x 256": [nuclei((40, 256, 256), seed=seed).labels[None] for seed in range(2)],
    }


def real(folder: Path) -> dict[str, list[np.ndarray]]:
    """Images of one size are a movie, as it were: ten or forty fields of one experiment."""
    masks = defaultdict(list)
    for path in sorted((folder / "train" / "masks").glob("*.tif")):
        mask = read_image(path, labels=True, say=lambda _: None).array
        masks[mask.shape].append(mask.astype(np.int32))
    sets: dict[str, list[np.ndarray]] = {}
    for shape, n, most in (((603, 1272), 1, 6), ((520, 696), 10, 7), ((360, 360), 40, 2), ((256, 256), 40, 6)):
        fields = masks[shape]
        groups = [np.stack(fields[first : first + n]) for first in range(0, len(fields) - n + 1, n)][:most]
        sets[f"dsb2018, {n} x {shape[0]} x {shape[1]}"] = groups
    return sets


def held(of: KnownLabels, seed: int, n_steps: int | None) -> tuple[list[bool], list[float]]:
    """Whether the intervals of one judgement hold the truth, and how wide they are."""
    judgement = of.judge(Judgement(of.found.draw(seed=seed)), n_steps)
    said = judgement.estimate()
    n_true = len(of.right) + len(of.missed)
    inside, width = [], []
    for interval, truth, whole in (
        (said.precision, of.precision, 1), (said.missed, len(of.missed), n_true), (said.recall, of.recall, 1),
    ):  # fmt: skip
        inside.append(interval.low - 1e-9 <= truth <= interval.high + 1e-9)
        width.append((interval.high - interval.low) / whole)
    return inside, width


def main(sets: dict[str, list[np.ndarray]], draws: int) -> None:
    print("set | objects | faults | precision, recall | judged | held: precision, missed, recall | mean width")
    lowest = np.ones(3)
    for name, truths in sets.items():
        for fault, change in FAULTS.items():
            cases = [
                known(truth, change(truth, seed), "T" + "ZYX"[4 - truth.ndim :]) for seed, truth in enumerate(truths)
            ]
            n = sum(len(case.found.label) for case in cases) // len(cases)
            true = f"{np.mean([c.precision for c in cases]):.2f}, {np.mean([c.recall for c in cases]):.2f}"
            for n_steps, words in ((None, "all"), (STOPPED, f"first {STOPPED}")):
                rows = [held(cases[seed % len(cases)], seed, n_steps) for seed in range(draws)]
                inside, width = (np.mean([row[i] for row in rows], axis=0) for i in (0, 1))
                lowest = np.minimum(lowest, inside)
                said = [", ".join(f"{value:.3f}" for value in values) for values in (inside, width)]
                print(name, n, fault, true, words, *said, sep=" | ", flush=True)
    print(f"lowest: {', '.join(f'{value:.3f}' for value in lowest)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsb2018", type=Path)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    main(generated() | (real(options.dsb2018) if options.dsb2018 else {}), options.draws)
