"""Make a start model learn faster from one image, by Reptile (Nichol et al. 2018, arXiv 1803.02999).

    python benchmarks/start/reptile.py START DATASET... --output start.embedseg [--tasks 240] [--inner 32] [--rate 0.5]

A task is one image, drawn from a data set or generated, with objects of the usual size (`pretrain.py`). The model is
trained on it for a few steps, and its weights then go part of the way towards those of the trained one: half of it at
first, less with every task, nothing at the last. So they come to lie where few steps on one image do most.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from kinds import generate
from pretrain import OBJECTS, same_size

if TYPE_CHECKING:
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.model.model import Model

MOST = 150
"""Images of a data set at most."""
GENERATED = 2
"""A generated image is drawn as often as one of so many data sets."""


def tasks_of(folder: Path) -> list[list[Example]]:
    """Pieces of each image; large data sets are thinned."""
    from embedseg_napari.core.data.pairs import load_folder

    examples = load_folder(folder)
    kept = np.random.default_rng(0).permutation(len(examples))[:MOST]
    tasks = (same_size(examples[i].name, examples[i].image, examples[i].instances) for i in kept)
    return [pieces for pieces in tasks if pieces]


def generated(rng: np.random.Generator) -> list[Example]:
    from embedseg_napari.core.data.example import Example

    while True:
        image, labels = generate(int(rng.integers(10**6)))
        if len(np.unique(labels)) > OBJECTS + 2:
            return [Example("generated", sign * image[None], labels) for sign in (1, -1)]


def trained(model: Model, pieces: list[Example], steps: int, seed: int) -> Model:
    """What the model becomes on one image."""
    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.runs import drain
    from embedseg_napari.core.training.trainer import Trainer

    config = TrainingConfig.preset(
        "few",
        minutes=None,
        epochs=1,
        steps_per_epoch=steps,
        reference_extent=None,
        validation_objects=0.0,
        reached_seeds=False,
        keep_start=False,
        find_scale=False,
        average_decay=0.0,
        schedule="constant",
        learning_rate=1e-3,
        warmup=0.05,
        seed=seed,
    )
    return drain(Trainer(config, pieces, (), model, device="cpu").run()).model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start")
    parser.add_argument("datasets", nargs="+", metavar="DATASET", type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--tasks", type=int, default=240)
    parser.add_argument("--inner", type=int, default=32, help="steps on each image")
    parser.add_argument("--rate", type=float, default=0.5, help="part of the way that the first task is followed")
    given = parser.parse_args()

    from embedseg_napari.core.model.model import load_model

    model = load_model(given.start, device="cpu")
    # Pieces have the size that is wanted; they are not to be resized to what that model knew.
    model.config = model.config.model_copy(update={"reference_scale": 1.0})
    datasets = [tasks_of(folder) for folder in given.datasets]
    rng = np.random.default_rng(1)
    for number in range(given.tasks):
        which = int(rng.integers(len(datasets) + GENERATED))
        tasks = datasets[which] if which < len(datasets) else [generated(rng)]
        pieces = tasks[rng.integers(len(tasks))]
        inverted = rng.random() < 0.5
        pieces = [pieces[i] for i in range(inverted, len(pieces), 2)]
        new = trained(model, pieces, given.inner, int(rng.integers(10**6))).network.state_dict()
        rate = given.rate * (1 - number / given.tasks)
        for name, weights in model.network.state_dict().items():
            if weights.is_floating_point():
                weights.lerp_(new[name].to(weights.dtype), rate)
            else:
                weights.copy_(new[name])
        print(json.dumps({"task": number, "pieces": len(pieces)}), flush=True)
        model.save(given.output, overwrite=True)


if __name__ == "__main__":
    main()
