"""CPU seconds of segmenting one image by embedseg, cellpose and stardist, whichever are installed, in turns.

    python benchmarks/peers.py [--shape 2048,2048] [--image FILE] [--turns 3] [--model nuclei-2d]

One thread; a process for each program and turn, whose first run does not count. Where a program's weights cannot be
downloaded, random ones of the same architecture take the same time in the network; what comes after it depends on what
it finds, and is not timed then. `tox -e peers-stardist`, `peers-cellpose` (4, a transformer) and `peers-cellpose3` (the
U-Net) set up one of the two and run this.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS = {"embedseg_napari": "embedseg-napari", "cellpose": "cellpose", "stardist": "stardist"}
"""Modules, and what they are installed as."""
RANDOM = "random weights"


def picture(shape: tuple[int, int], path: Path | None) -> tuple[np.ndarray, float]:
    """The image, and the mean diameter of its objects in pixels."""
    if path is not None:
        from tifffile import imread

        return imread(path), 0.0
    from embedseg_napari.core.data.synthetic import nuclei

    piece = nuclei(tuple(min(side, 1024) for side in shape))
    image = np.tile(piece.image, [-(-side // n) for side, n in zip(shape, piece.image.shape, strict=True)])
    areas = np.bincount(piece.labels.ravel())[1:]
    return image[tuple(map(slice, shape))], float(np.sqrt(4 / np.pi * areas[areas > 0]).mean())


def embedseg(image: np.ndarray, diameter: float, model: str) -> tuple[str, Callable, Callable | None]:
    import torch

    import embedseg_napari as es

    torch.set_num_threads(1)
    loaded = es.load_model(model, device="cpu")
    heard = []
    loaded.embed(image, "YX", on_event=heard.append)
    how = " ".join(event.text for event in heard if "runs in" in getattr(event, "text", ""))
    return (
        f"{loaded.config.name or model}{how and f'; {how}'}",
        lambda: loaded.embed(image, "YX"),
        lambda: loaded.predict(image, "YX"),
    )


def cellpose(image: np.ndarray, diameter: float, model: str) -> tuple[str, Callable, Callable | None]:
    import torch
    from cellpose import models

    torch.set_num_threads(1)
    is_transformer = importlib.metadata.version("cellpose").startswith("4")
    name = "cpsam_v2" if is_transformer else "nuclei"
    settings = {} if is_transformer else {"channels": [0, 0], "diameter": diameter or None}
    try:
        chosen = {"pretrained_model": name} if is_transformer else {"model_type": name}
        loaded, is_random = models.CellposeModel(gpu=False, **chosen), False
    except OSError as error:
        name, is_random = f"{name} could not be downloaded ({error}), {RANDOM}", True
        if is_transformer:
            from cellpose.vit import CPSAM

            with tempfile.TemporaryDirectory() as folder:
                CPSAM(dtype=torch.bfloat16).save_model(f"{folder}/cpsam")
                loaded = models.CellposeModel(gpu=False, pretrained_model=f"{folder}/cpsam")
        else:
            loaded = models.CellposeModel(gpu=False, pretrained_model=False, diam_mean=17.0)
    return (
        name,
        lambda: loaded.eval(image, compute_masks=False, **settings),
        None if is_random else lambda: loaded.eval(image, **settings),
    )


def stardist(image: np.ndarray, diameter: float, model: str) -> tuple[str, Callable, Callable | None]:
    import tensorflow
    from csbdeep.utils import normalize
    from stardist.models import Config2D, StarDist2D

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    name = "2D_versatile_fluo"
    try:
        loaded, is_random = StarDist2D.from_pretrained(name), False
    except Exception as error:  # noqa: BLE001 (keras raises an Exception of no kind)
        name, is_random = f"{name} could not be downloaded ({error}), {RANDOM}", True
        config = Config2D(axes="YXC", n_rays=32, grid=(2, 2), unet_n_depth=3, net_conv_after_unet=128)
        loaded = StarDist2D(config, name=None, basedir=None)
    return (
        name,
        lambda: loaded.predict(normalize(image, 1, 99.8)),
        None if is_random else lambda: loaded.predict_instances(normalize(image, 1, 99.8)),
    )


def time_once(program: str, image: np.ndarray, diameter: float, model: str) -> dict[str, object]:
    """CPU seconds of the network with what it needs of the image, and of the whole way to labels."""
    make = {"embedseg_napari": embedseg, "cellpose": cellpose, "stardist": stardist}[program]
    weights, *runs = make(image, diameter, model)
    seconds = []
    for run in runs:
        if run is not None:
            # The first run also warms up.
            for _ in range(2):
                start = time.process_time()
                run()
                took = time.process_time() - start
            seconds.append(took)
    return {"weights": weights, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", default="2048,2048", help="of a generated image")
    parser.add_argument("--image", type=Path, help="a grey TIFF instead")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", default="nuclei-2d", help="of embedseg: name or file")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        program, place = options.child
        # Programs print what they do.
        with contextlib.redirect_stdout(sys.stderr), np.load(place) as stored:
            found = time_once(program, stored["image"], float(stored["diameter"]), options.model)
        print(json.dumps(found))
        return
    image, diameter = picture(tuple(map(int, options.shape.split(","))), options.image)
    found: dict[str, list[dict[str, list[float]]]] = {}
    for module, package in PROGRAMS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{package} is not installed here, and left out (tox -e peers-{package} sets it up).")
        else:
            found[module] = []
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/image.npz"
        np.savez(place, image=image, diameter=diameter)
        for _ in range(options.turns):
            for module in list(found):
                words = [sys.executable, __file__, "--child", module, place, "--model", options.model]
                ended = subprocess.run(
                    words, env={**os.environ, **one_thread}, capture_output=True, text=True, check=False
                )
                if ended.returncode:
                    print(f"{module} failed, and is left out: {ended.stderr.strip().splitlines()[-1:]}")
                    del found[module]
                else:
                    found[module].append(json.loads(ended.stdout))
    print(f"{' x '.join(map(str, image.shape))}, CPU seconds of one thread, median (range) of {options.turns} turns:")
    for module, turns in found.items():
        each = [
            f"{what} {statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
            for what, times in zip(("network", "labels"), zip(*(one["seconds"] for one in turns)))  # noqa: B905
        ]
        version = importlib.metadata.version(PROGRAMS[module])
        print(f"{PROGRAMS[module]} {version} [{turns[0]['weights']}]: {', '.join(each)}")


if __name__ == "__main__":
    main()
