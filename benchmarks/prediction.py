"""Time whole predictions, from array to labels, against the bare network; with `--large`, their peak memory as well.

    python benchmarks/prediction.py [--model nuclei-2d] [--repeats 9]
    python benchmarks/prediction.py --large [--model-3d FILE]     8192 x 8192 and 64 x 1024 x 1024; takes minutes

The image is a generated one of nuclei, repeated to make the large ones. The bare network sees the normalised image in
one piece, in the same number format; both take turns, and medians are printed. Memory (Linux only) is what the process
needed at its most above what it held before the call, the image included; each case has a process of its own.
Without a 3D model an untrained network takes its place, whose seed map has foreground anywhere.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from embedseg_napari.core.clustering.clustering import warm_up
from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.unet import UNet

GB = 1e9


def memory(field: str) -> float:
    """A line of this process's status in bytes: VmRSS is what it holds, VmHWM the most it ever held."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024.0 * int(lines[field].split()[0])


def open_model(name: str | None, ndim: int) -> Model:
    """A model by name or path, or an untrained one."""
    if name is not None:
        return load_model(name)
    torch.manual_seed(0)
    grid = (1 / 255,) * ndim
    network = UNet(ndim)
    network.set_initial_margin([6.0] * ndim, grid)
    return Model(ModelConfig(architecture="unet", ndim=ndim, grid_spacing=grid), network)


def picture(shape: tuple[int, ...]) -> np.ndarray:
    """Generated nuclei, uint16, repeated where the shape is large."""
    piece = nuclei(tuple(min(side, 1024 if len(shape) == 2 else 256) for side in shape)).image
    return np.tile(piece, [-(-side // n) for side, n in zip(shape, piece.shape, strict=True)])[
        tuple(slice(side) for side in shape)
    ]


def against_network(name: str, repeats: int) -> float:
    """Print the ratio for 1024 x 1024; return the seconds per pixel of a prediction."""
    model, image = open_model(name, 2), picture((1024, 1024))
    precision = model.config.prediction.precision
    ready = torch.from_numpy(normalize(image[None], model.config.normalization))[None]
    whole, bare = [], []
    n = 0
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model.raw(ready, precision)
        middle = time.perf_counter()
        n = len(model.predict(image, "YX").scores)
        bare.append(middle - start)
        whole.append(time.perf_counter() - middle)
    a, b = statistics.median(whole[1:]), statistics.median(bare[1:])
    print(f"1024 x 1024, {n} objects, {precision}, {torch.get_num_threads()} threads")
    print(f"  bare network, forward   {b:7.3f} s")
    print(f"  predict()               {a:7.3f} s   {a / b:5.2f} x the network", flush=True)
    return a / image.size


def large(name: str | None, shape: tuple[int, ...]) -> tuple[float, float, int]:
    """Seconds, peak memory above the input in bytes, and objects of one large prediction."""
    model = open_model(name, len(shape))
    warm_up(wait=True)
    model.predict(picture((64,) * len(shape)), "ZYX"[-len(shape) :])
    image = picture(shape)
    # The most so far shall be what is held now.
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    start = time.perf_counter()
    found = model.predict(image, "ZYX"[-len(shape) :])
    return time.perf_counter() - start, memory("VmHWM") - before, len(found.scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nuclei-2d")
    parser.add_argument("--model-3d")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--large", action="store_true")
    given = parser.parse_args()
    per_pixel = against_network(given.model, given.repeats)
    if not given.large:
        return
    print("\n| image | objects | seconds | seconds per pixel, of the smallest | peak memory above the input |")
    print("|---|---|---|---|---|")
    for name, shapes in (
        (given.model, [(2048, 2048), (8192, 8192)]),
        (given.model_3d, [(64, 256, 256), (64, 1024, 1024)]),
    ):
        first = per_pixel if len(shapes[0]) == 2 else None
        for shape in shapes:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, peak, n = pool.apply(large, (name, shape))
            each = seconds / float(np.prod(shape))
            first = first or each
            sides = " x ".join(map(str, shape))
            print(f"| {sides} | {n:,} | {seconds:.1f} | {each / first:.2f} | {peak / GB:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
