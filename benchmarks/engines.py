"""The network by PyTorch, by OpenVINO, and in 8-bit integers of calibrated models: time in turns, and AP.

Time on one thread; AP of whole predictions.

python benchmarks/engines.py MODEL [FOLDER] [--images 50] [--precision bfloat16] [--shape 1024,1024]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from embedseg_napari import Model, load_model, match
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.inference.openvino_engine import choose_engine
from embedseg_napari.core.model.quiet import quietly_segmented
from embedseg_napari.core.networks.network import raw_output
from embedseg_napari.core.runs import never

ENGINES = ("torch", "openvino", "int8")


def engines_of(model) -> list[str]:
    return [one for one in ENGINES if one != "int8" or model.config.calibration is not None]


def time_network(model, precision: str, shape: tuple[int, ...], repeats: int) -> None:
    """CPU seconds of the bare network a million pixels, and of what comes before the first image."""
    image, config = torch.rand(1, model.config.n_channels, *shape), model.config
    runs = {"torch": lambda: raw_output(model.network, image, precision)}
    for engine in engines_of(model)[1:]:
        start = time.process_time()
        compiled, words, _ = choose_engine(
            engine, model.network, config.n_channels, precision, calibration=config.calibration
        )
        print(f"{words} Ready after {time.process_time() - start:.2f} s.")
        if compiled is not None:
            runs[engine] = partial(compiled, image, never)
    seconds: dict[str, list[float]] = {engine: [] for engine in runs}
    for turn in range(repeats + 1):
        for engine, run in runs.items():
            start = time.process_time()
            run()
            if turn:
                seconds[engine].append(1e6 * (time.process_time() - start) / math.prod(shape))
    each = ", ".join(
        f"{engine} {statistics.median(took):.3f} s "
        f"({statistics.median(t / o for t, o in zip(seconds['torch'], took, strict=True)):.2f} times as fast)"
        for engine, took in seconds.items()
    )
    print(f"{' x '.join(map(str, shape))} in {precision}, a million pixels: {each}")


def compare_labels(model, precision: str, folder: Path, n_images: int) -> None:
    """AP of the labels by each, and how far they agree with those of PyTorch."""
    engines = engines_of(model)
    aps: dict[str, list[float]] = {engine: [] for engine in engines}
    differ, n_pixels = dict.fromkeys(engines, 0), 0
    for example in load_folder(folder)[:n_images]:
        labels = {engine: quietly_segmented(model, example, engine=engine, precision=precision) for engine in engines}
        for engine in engines:
            aps[engine].append(statistics.mean(row.ap for row in match(example.instances, labels[engine])))
            differ[engine] += int(np.count_nonzero((labels["torch"] > 0) != (labels[engine] > 0)))
        n_pixels += labels["torch"].size
    for engine in engines:
        change = [one - other for one, other in zip(aps[engine], aps["torch"], strict=True)]
        print(
            f"{engine}, {len(change)} images in {precision}: mean AP {statistics.mean(aps[engine]):.4f} "
            f"({statistics.mean(change):+.4f}); the foreground differs in {differ[engine]} of {n_pixels} pixels"
        )


def network_arguments(words: str) -> argparse.ArgumentParser:
    """What is asked of a user who times a network."""
    parser = argparse.ArgumentParser(description=words.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--precision", help="Default: that of the model.")
    parser.add_argument("--shape", default="1024,1024")
    parser.add_argument("--repeats", type=int, default=5)
    return parser


def opened(options: argparse.Namespace) -> tuple[Model, str]:
    """The model, on one thread of the CPU, and the number format."""
    torch.set_num_threads(1)
    model = load_model(options.model, device="cpu")
    return model, options.precision or model.config.prediction.precision


def main() -> None:
    parser = network_arguments(__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="Holds images/ and masks/.")
    parser.add_argument("--images", type=int, default=50)
    options = parser.parse_args()
    model, precision = opened(options)
    time_network(model, precision, tuple(map(int, options.shape.split(","))), options.repeats)
    if options.folder is not None:
        compare_labels(model, precision, options.folder, options.images)


if __name__ == "__main__":
    main()
