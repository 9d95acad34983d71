"""Peak memory of training steps: batches at once, bfloat16, low_memory, virtual batches.

    python benchmarks/training_memory.py [--device cuda]

Batches of 16 crops as the paper's, of the sides that its rule (mean extent and five standard deviations) gives for
three data sets. On a CPU (Linux) it is what the process held at its most above what it held before the steps, on a GPU
what PyTorch had allocated; each figure comes from a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prediction import memory
from training import scene

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.losses.spatial_embedding import LOOPS
from embedseg_napari.core.training.planning import plan_training
from embedseg_napari.core.training.run import TrainingRun
from embedseg_napari.core.training.training_set import TrainingSet

CASES = {
    "DSB 2018, 16 crops of 88 x 88": ((88, 88), 4),
    "BBBC010, 16 crops of 248 x 248": ((248, 248), 6),
    "Usiigaci, 16 crops of 256 x 256": ((256, 256), 8),
    "BBBC050, 8 crops of 40 x 80 x 80": ((40, 80, 80), 12),
}
WAYS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "auto": {},
    "auto, low_memory": {"low_memory": True},
    "auto, low_memory, virtual batches of 2": {"low_memory": True, "parts": 8},
}
STEPS = 3


def measure(shape: tuple[int, ...], n_objects: int, device: str, way: dict[str, Any]) -> tuple[float, float]:
    """Peak memory in bytes, and seconds of a step."""
    rng = np.random.default_rng(0)
    n_crops = 16 if len(shape) == 2 else 8
    parts = min(way.get("parts", 1), n_crops // 2)
    settings = {name: value for name, value in way.items() if name != "parts"}
    images = [(rng.random(shape, np.float32), scene(shape, n_objects, rng)[0]) for _ in range(4)]
    config = TrainingConfig(epochs=1, crop_size=shape, batch_size=n_crops // parts, virtual_batches=parts, **settings)
    examples = from_arrays(images)
    plan = plan_training(config, examples, device=device)
    run = TrainingRun(config, plan, TrainingSet(config, examples, []), time.monotonic(), None, None)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = 0.0
    else:
        LOOPS.wait()
        Path("/proc/self/clear_refs").write_text("5")
        before = memory("VmRSS")
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        run.step(0.1)
        run.settle()
        times.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else memory("VmHWM") - before
    return peak, min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    print(f"| crops | {' | '.join(WAYS)} |")
    print(f"|---{'|---' * len(WAYS)}|")
    for title, (shape, n_objects) in CASES.items():
        cells = []
        for way in WAYS.values():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peak, seconds = pool.apply(measure, (shape, n_objects, device, way))
            cells.append(f"{peak / 1e9:.2f} GB, {seconds:.2f} s")
        print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
