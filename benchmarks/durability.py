"""Time what it costs that files are on the disk before they have their name.

    python benchmarks/durability.py [FOLDER]        a folder on the disk in question; default: the current one

- label image: 2048 x 2048, compressed
- checkpoint and model: what a training of the paper's 2D network writes every 20 seconds and at its end
- annotation: 2048 x 2048, as the Label & Train panel saves it a moment after each stroke

Each is written as the program does it and once more with syncing left out; median of 15, one after the other.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.files.tiff import write_labels
from embedseg_napari.core.model.bundled import bundled_path
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.session.files import write_annotation
from embedseg_napari.core.training.checkpoint import TrainingState, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = 15


def seconds(write: Callable[[], object]) -> float:
    """Median time of a call."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        write()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print a line per kind of file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path())
    rng = np.random.default_rng(0)
    labels = np.kron(rng.permutation(64 * 64).reshape(64, 64).astype(np.int32), np.ones((32, 32), np.int32))
    model = load_model(bundled_path("nuclei-2d"), device="cpu")
    weights = model.network.state_dict()
    state = TrainingState(settings={}, data=[], crop_size=[256, 256], steps_per_epoch=1)
    parts = dict.fromkeys(("network", "average", "momentum", "variance", "best"), weights)
    annotation = Annotation(labels, labels > 0)
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as name:
        folder = Path(name)
        kinds = {
            "label image": lambda: write_labels(folder / "labels.tif", labels, "YX", overwrite=True),
            "checkpoint": lambda: save_checkpoint(folder / "run", state, parts),
            "model": lambda: model.save(folder / "m.embedseg"),
            "annotation": lambda: write_annotation(folder / "a.npz", annotation),
        }
        sync = os.fsync
        print(f"{'':12} {'on the disk':>12} {'not synced':>12}")
        for kind, write in kinds.items():
            safe = seconds(write)
            os.fsync = lambda _: None  # type: ignore[assignment]
            quick = seconds(write)
            os.fsync = sync
            print(f"{kind:12} {1000 * safe:9.1f} ms {1000 * quick:9.1f} ms")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
