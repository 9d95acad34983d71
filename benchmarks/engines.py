"""The network by PyTorch and by OpenVINO: time in turns on one thread, and AP of whole predictions.

python benchmarks/engines.py MODEL [FOLDER] [--images 50] [--precision bfloat16] [--shape 1024,1024]
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from embedseg_napari import load_model, match
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.inference.openvino_engine import choose_engine
from embedseg_napari.core.model.quiet import quietly_segmented
from embedseg_napari.core.networks.network import raw_output
from embedseg_napari.core.runs import never

ENGINES = ("torch", "openvino")


def time_network(model, precision: str, shape: tuple[int, ...], repeats: int) -> None:
    """CPU seconds of the bare network a million pixels, and of what comes before the first image."""
    image = torch.rand(1, model.config.n_channels, *shape)
    start = time.process_time()
    compiled, words, _ = choose_engine("openvino", model.network, model.config.n_channels, precision)
    print(f"{words} Ready after {time.process_time() - start:.2f} s.")
    if compiled is None:
        return
    runs = {"torch": lambda: raw_output(model.network, image, precision), "openvino": lambda: compiled(image, never)}
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for turn in range(repeats + 1):
        for engine in ENGINES:
            start = time.process_time()
            runs[engine]()
            if turn:
                seconds[engine].append(1e6 * (time.process_time() - start) / math.prod(shape))
    ratio = statistics.median(t / o for t, o in zip(*seconds.values(), strict=True))
    each = ", ".join(f"{engine} {statistics.median(seconds[engine]):.3f} s" for engine in ENGINES)
    print(f"{' x '.join(map(str, shape))} in {precision}, a million pixels: {each}; {ratio:.2f} times as fast")


def compare_labels(model, precision: str, folder: Path, n_images: int) -> None:
    """AP of the labels by both, and how far they agree."""
    aps: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    n_same = n_differ = n_pixels = 0
    for example in load_folder(folder)[:n_images]:
        labels = {engine: quietly_segmented(model, example, engine=engine, precision=precision) for engine in ENGINES}
        for engine in ENGINES:
            aps[engine].append(statistics.mean(row.ap for row in match(example.instances, labels[engine])))
        differ = int(np.count_nonzero((labels["torch"] > 0) != (labels["openvino"] > 0)))
        n_same, n_differ, n_pixels = n_same + (differ == 0), n_differ + differ, n_pixels + labels["torch"].size
    means = {engine: statistics.mean(values) for engine, values in aps.items()}
    print(
        f"{len(aps['torch'])} images in {precision}: mean AP torch {means['torch']:.4f}, openvino "
        f"{means['openvino']:.4f} ({means['openvino'] - means['torch']:+.4f}); the foreground of {n_same} is the "
        f"same, {n_differ} of {n_pixels} pixels differ"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path, nargs="?", help="Holds images/ and masks/.")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--precision", help="Default: that of the model.")
    parser.add_argument("--shape", default="1024,1024")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(options.model, device="cpu")
    precision = options.precision or model.config.prediction.precision
    time_network(model, precision, tuple(map(int, options.shape.split(","))), options.repeats)
    if options.folder is not None:
        compare_labels(model, precision, options.folder, options.images)


if __name__ == "__main__":
    main()
