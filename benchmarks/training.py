"""Time the loss and the whole training step against the bare network and a naive loss, in one run.

    python benchmarks/training.py [--repeats 5] [--no-naive] [--architecture unet]

Prints medians in seconds and ratios. The bare network is its forward and backward pass in the same number format; the
naive loss goes through the instances one by one over the whole crop, as the formulas are written.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.device import supports_bfloat16
from embedseg_napari.core.losses.reference import reference_loss
from embedseg_napari.core.losses.spatial_embedding import spatial_embedding_loss
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.core.training.planning import plan_training
from embedseg_napari.core.training.run import TrainingRun
from embedseg_napari.core.training.training_set import TrainingSet

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = 1 / 255
CASES = {
    "2D, 16 crops of 96 x 96, 13 objects each": (16, (96, 96), 13),
    "2D, 4 crops of 256 x 256, 23 objects each": (4, (256, 256), 23),
    "2D, 4 crops of 256 x 256, 75 objects each": (4, (256, 256), 75),
    "3D, 2 crops of 32 x 80 x 80, 20 objects each": (2, (32, 80, 80), 20),
}


def scene(shape: tuple[int, ...], n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of balls on a jittered grid, their centres, and raw output of a network that is nearly trained."""
    ndim = len(shape)
    side = (np.prod(shape) / n) ** (1 / ndim)
    counts = [max(1, round(s / side)) for s in shape]
    cells = np.stack(np.unravel_index(np.arange(n) % int(np.prod(counts)), counts), 1)
    centers = (cells + 0.5) * np.array(shape) / counts + rng.uniform(-0.1, 0.1, (n, ndim)) * side
    at = np.stack(np.meshgrid(*[np.arange(s) for s in shape], indexing="ij")).astype(np.float32)
    radius = 0.4 * side
    labels = np.zeros(shape, np.int32)
    raw = np.zeros((2 * ndim + 1, *shape), np.float32)
    raw[ndim : 2 * ndim] = np.log(np.log(2) / (0.8 * radius * STEP) ** 2) / 10
    raw[-1] = -3
    for i, center in enumerate(centers):
        mask = ((at - center.reshape(-1, *[1] * ndim)) ** 2).sum(0) < radius**2
        labels[mask] = i + 1
        raw[:ndim, mask] = np.arctanh((center[:, None] - at[:, mask]) * STEP)
        raw[-1, mask] = 3
    raw[:ndim] += rng.normal(0, 2 * STEP, (ndim, *shape))
    present = np.unique(labels)
    return labels, centers[present[present > 0] - 1], raw


def median(run: Callable[[], object], repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-naive", action="store_true")
    parser.add_argument("--architecture", default="branched-erfnet", choices=["branched-erfnet", "unet"])
    options = parser.parse_args()
    bfloat16 = supports_bfloat16(torch.device("cpu"))
    print(f"{torch.get_num_threads()} threads, network in {'bfloat16' if bfloat16 else 'float32'}")
    for title, (n_crops, shape, n_objects) in CASES.items():
        rng = np.random.default_rng(0)
        ndim = len(shape)
        crops = [scene(shape, n_objects, rng) for _ in range(n_crops)]
        labels = torch.tensor(np.stack([c[0] for c in crops]))
        centers = [c[1] for c in crops]
        raw = torch.tensor(np.stack([c[2] for c in crops]), requires_grad=True)
        spacing = (STEP,) * ndim
        memory_format = torch.channels_last if ndim == 2 else torch.channels_last_3d
        network = build_network(options.architecture, ndim, 1).to(memory_format=memory_format)
        x = torch.rand(n_crops, 1, *shape).contiguous(memory_format=memory_format)

        def bare(network=network, x=x) -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                out = network(x)
            out.float().square().mean().backward()

        def loss(raw=raw, labels=labels, centers=centers, spacing=spacing) -> None:
            spatial_embedding_loss(raw, labels, centers, spacing).backward()

        base, fast = median(bare, options.repeats), median(loss, options.repeats)
        print(f"\n{title}\n  bare network, forward and backward   {base:7.3f} s")
        print(f"  loss, forward and backward           {fast:7.3f} s   {fast / base:5.2f} x the network")
        planes = torch.tensor(np.stack([np.stack([c[0] == i + 1 for i in range(n_objects)]) for c in crops]))

        def loss_of_planes(raw=raw, planes=planes, centers=centers, spacing=spacing) -> None:
            spatial_embedding_loss(raw, planes, centers, spacing).backward()

        overlapping = median(loss_of_planes, options.repeats)
        print(f"  loss, each object a plane            {overlapping:7.3f} s   {overlapping / base:5.2f} x the network")
        if not options.no_naive:

            def naive(raw=raw, labels=labels, centers=centers, spacing=spacing) -> None:
                reference_loss(raw, labels, centers, spacing).backward()

            slow = median(naive, 1)
            print(f"  naive loss                           {slow:7.3f} s   {slow / fast:5.1f} x the fast one")
        images = [(rng.random(shape, np.float32) + (c[0] > 0), c[0]) for c in crops]
        config = TrainingConfig(architecture=options.architecture, crop_size=shape, batch_size=n_crops)
        examples = from_arrays(images, axes="YX" if images[0][0].ndim == 2 else "ZYX")
        run = TrainingRun(
            config, plan_training(config, examples), TrainingSet(config, examples, []), time.monotonic(), None, None
        )
        step = median(lambda run=run: run.step(0.1), options.repeats)
        print(f"  whole training step                  {step:7.3f} s   {step / base:5.2f} x the network")


if __name__ == "__main__":
    main()
