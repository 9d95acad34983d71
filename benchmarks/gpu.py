"""Everything that there is to measure on a GPU: training's memory, speed and waiting, and prediction's speed.

    python benchmarks/gpu.py                       all of it on an NVIDIA GPU, about ten minutes
    python benchmarks/gpu.py training prediction   parts of it: memory, training, waiting, prediction
    python benchmarks/gpu.py --device cpu --quick  tiny sizes, which only shows that it runs

Each part prints a table, and where it ran. `memory` is what PyTorch had allocated at its most while a training made
steps (on a CPU not measured). `training` is steps a second once the first ten are made, and the share of time in which
the GPU computed anything, by torch.profiler. `waiting` counts, with CUDA's own debug mode, how often a step waits
for the GPU, and what it launches. `prediction` is from array to labels with the bundled models, the median of some
repeats.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import subprocess
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from prediction import picture
from torch.profiler import ProfilerActivity, profile
from training import scene

from embedseg_napari.core.clustering.clustering import warm_up
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.losses.spatial_embedding import LOOPS
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.training.planning import plan_training
from embedseg_napari.core.training.run import TrainingRun
from embedseg_napari.core.training.training_set import TrainingSet

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPES = {"128 x 128": ((128, 128), 13), "256 x 256": ((256, 256), 23), "32 x 80 x 80": ((32, 80, 80), 20)}
MEMORY = {
    "BBBC010": ((248, 248), 6),
    "DSB 2018": ((88, 88), 4),
    "Usiigaci": ((256, 256), 8),
    "BBBC050": ((40, 80, 80), 12),
}
"""Sides of the crops that the paper's rule gives, and objects in one."""
WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "low_memory": {"low_memory": True},
    "low_memory, two virtual batches": {"low_memory": True, "virtual_batches": 2},
}
LARGE = {"nuclei-2d": [(2048, 2048), (8192, 8192)], "nuclei-3d": [(64, 512, 512)]}
QUICK_SHAPES = {"32 x 32": ((32, 32), 2), "8 x 16 x 16": ((8, 16, 16), 2)}
QUICK_LARGE = {"nuclei-2d": [(96, 96)], "nuclei-3d": [(16, 64, 64)]}


def make_run(shape: tuple[int, ...], n_objects: int, device: str, **settings: Any) -> TrainingRun:
    """A training of generated scenes, ready for its first step."""
    rng = np.random.default_rng(0)
    images = [(rng.random(shape, np.float32), scene(shape, n_objects, rng)[0]) for _ in range(4)]
    config = TrainingConfig.preset(settings.pop("preset", "fast"), epochs=1, crop_size=shape, **settings)
    examples = from_arrays(images, axes="ZYX"[-len(shape) :])
    plan = plan_training(config, examples, device=device)
    LOOPS.wait()
    return TrainingRun(config, plan, TrainingSet(config, examples, []), time.monotonic(), None, None)


def make_steps(run: TrainingRun, n: int) -> float:
    """Seconds that some steps take until the device has made them."""
    started = time.perf_counter()
    for _ in range(n):
        run.step(0.1)
    run.settle()
    if run.fabric.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def busy_share(run: TrainingRun, n: int) -> float:
    """Share of the time of some steps in which the GPU computes something."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        seconds = make_steps(run, n)
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in seen.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    busy, until = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy * 1e-6 / seconds


def waits_of_a_step(run: TrainingRun) -> int:
    """How often a step waits for the GPU where it need not, as CUDA's debug mode warns of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run.step(0.1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in caught)


def launches_of_a_step(run: TrainingRun) -> int:
    """Kernels, copies and fills of a step; on a CPU the operations of PyTorch, those within others included."""
    is_cuda = run.fabric.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if is_cuda else ProfilerActivity.CPU]) as seen:
        make_steps(run, 1)
    kind = torch.autograd.DeviceType.CUDA if is_cuda else torch.autograd.DeviceType.CPU
    return sum(event.device_type == kind for event in seen.events())


def memory(device: str, quick: bool) -> Iterator[list[str]]:
    """Peak memory of training with each preset, by data set."""
    yield ["crops", *(f"`{preset}`, {way}" for preset in ("paper", "fast") for way in WAYS)]
    for name, (shape, n_objects) in MEMORY.items():
        n_crops = 16 if len(shape) == 2 else 8
        if quick:
            shape, n_crops = (8, 16, 16)[-len(shape) :], 2
        row = [f"{name}, {n_crops} of {' x '.join(map(str, shape))}"]
        for preset in ("paper", "fast"):
            for way in WAYS.values():
                n = n_crops // way.get("virtual_batches", 1)
                run = make_run(shape, n_objects, device, preset=preset, batch_size=n, **way)
                if device == "cuda":
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()
                make_steps(run, 1 if quick else 4)
                row.append(f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB" if device == "cuda" else "ran")
                run.close()
        yield row


def training(device: str, quick: bool) -> Iterator[list[str]]:
    """Steps a second, crops a second and share of time the GPU is busy, by size of crop and batch."""
    yield ["crop", "batch", "steps a second", "crops a second", "GPU busy"]
    n = 2 if quick else 50
    for name, (shape, n_objects) in (QUICK_SHAPES if quick else SHAPES).items():
        for batch in (2,) if quick else (4, 16, 64):
            run = make_run(shape, n_objects, device, batch_size=batch)
            make_steps(run, 1 if quick else 10)
            rate = n / make_steps(run, n)
            share = f"{100 * busy_share(run, min(n, 10)):.0f} %" if device == "cuda" else ""
            run.close()
            yield [name, str(batch), f"{rate:.1f}", f"{rate * batch:.0f}", share]


def waiting(device: str, quick: bool) -> Iterator[list[str]]:
    """Waits and launches of one step."""
    yield ["crop", "waits", "launches"]
    for name, (shape, n_objects) in (QUICK_SHAPES if quick else SHAPES).items():
        run = make_run(shape, n_objects, device, batch_size=4)
        make_steps(run, 1 if quick else 10)
        waits = str(waits_of_a_step(run)) if device == "cuda" else ""
        row = [name, waits, str(launches_of_a_step(run))]
        run.close()
        yield row


def prediction(device: str, quick: bool) -> Iterator[list[str]]:
    """Megapixels, or megavoxels, a second from array to labels."""
    yield ["image", "model", "objects", "seconds", "million pixels a second", "network alone"]
    warm_up(wait=True)
    for name, shapes in (QUICK_LARGE if quick else LARGE).items():
        model = load_model(name, device)
        axes = "ZYX"[-model.config.ndim :]
        for shape in shapes:
            image = picture(shape)
            times: dict[str, list[float]] = {"predict": [], "embed": []}
            n = 0
            for _ in range(2 if quick else 6):
                for what, seconds in times.items():
                    started = time.perf_counter()
                    found = getattr(model, what)(image, axes, on_event=lambda _: None)
                    seconds.append(time.perf_counter() - started)
                    n = len(found.scores) if what == "predict" else n
            whole, network = (statistics.median(seconds[1:]) for seconds in times.values())
            size = image.size / 1e6
            sides = " x ".join(map(str, shape))
            yield [sides, name, f"{n:,}", f"{whole:.2f}", f"{size / whole:.1f}", f"{size / network:.1f}"]


PARTS = {"memory": memory, "training": training, "waiting": waiting, "prediction": prediction}


def where(device: str) -> str:
    """Card, driver and versions."""
    if device != "cuda":
        return f"{platform.machine()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"
    card = torch.cuda.get_device_properties(0)
    driver = "unknown"
    if command := shutil.which("nvidia-smi"):
        asked = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return (
        f"{card.name}, {card.total_memory / 1e9:.0f} GB, driver {driver}, CUDA {torch.version.cuda}, "
        f"PyTorch {torch.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all without any")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    print(where(given.device))
    for name in given.parts or PARTS:
        print(f"\n{name}\n")
        for index, row in enumerate(PARTS[name](given.device, given.quick)):
            print(f"| {' | '.join(row)} |", flush=True)
            if index == 0:
                print("|---" * len(row) + "|")


if __name__ == "__main__":
    main()
