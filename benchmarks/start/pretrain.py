"""Train a model that is made for being trained on: from real images of other kinds and generated ones of many.

    python benchmarks/start/pretrain.py DATASET... --output start.embedseg [--start MODEL] [--generated 500]
                                        [--steps 7680] [--run FOLDER]

Every image is brought to the same size of objects (24 pixels across a disc of their area), which is what a training
from such a model does with its images too (`core/training/planning.py`), and shown as it is and inverted. To find out
what a start is worth on a data set it must not have been among those here: `benchmarks/one_image.py`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from kinds import DIAMETER, generate

PIECE, OBJECTS = 320, 2
"""Side of the pieces that large images are cut into, and objects that a piece has at least."""
EXTENT, SPREAD = 26.0, 4.0
"""Mean extent of such objects and its spread, in pixels, as the model tells it."""


def same_size(name: str, image: np.ndarray, instances: np.ndarray) -> list:
    """Pieces of an image, shape (C, Y, X), with objects of the usual size, each as it is and inverted."""
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.resizing import resize_image, resize_labels, scaled_shape

    if instances.ndim == 3:
        # Worms that cross each other: the later one is on top, as in a result.
        planes, instances = instances, np.zeros(instances.shape[1:], np.int32)
        for number, plane in enumerate(planes, 1):
            instances[plane > 0] = number
    areas = np.bincount(instances.ravel())[1:]
    areas = areas[areas > 0]
    if not len(areas):
        return []
    factor = float(np.clip(DIAMETER / np.sqrt(4 / np.pi * areas.mean()), 0.2, 2.0))
    grey = image.astype(np.float32).mean(0, keepdims=True)
    if abs(factor - 1) > 0.1:
        shape = scaled_shape(grey.shape[1:], factor)
        grey, instances = resize_image(grey, shape), resize_labels(instances, shape)
    pieces = []
    for y in range(0, max(grey.shape[1] - PIECE // 2, 1), PIECE):
        for x in range(0, max(grey.shape[2] - PIECE // 2, 1), PIECE):
            # The last piece takes what is left over.
            rows = slice(y, None if y + 1.5 * PIECE > grey.shape[1] else y + PIECE)
            columns = slice(x, None if x + 1.5 * PIECE > grey.shape[2] else x + PIECE)
            part, labels = grey[:, rows, columns], instances[rows, columns]
            if len(np.unique(labels)) <= OBJECTS:
                continue
            labels = np.ascontiguousarray(labels.astype(np.int32))
            for sign in (1, -1):
                pieces.append(Example(f"{name}-{y}-{x}{'' if sign == 1 else ' inverted'}", sign * part, labels))
    return pieces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="DATASET", type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--start", help="model to go on from")
    parser.add_argument("--generated", type=int, default=500)
    parser.add_argument("--steps", type=int, default=7680)
    parser.add_argument("--run", type=Path, help="run folder; a training that was interrupted goes on")
    given = parser.parse_args()

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.pairs import load_folder
    from embedseg_napari.core.events import EpochFinished
    from embedseg_napari.core.model.model import load_model
    from embedseg_napari.core.training.trainer import Trainer

    examples = []
    for folder in given.datasets:
        pieces = [piece for one in load_folder(folder) for piece in same_size(one.name, one.image, one.instances)]
        print(json.dumps({"images": str(folder), "pieces": len(pieces)}), flush=True)
        examples += pieces
    for seed in range(given.generated):
        image, labels = generate(seed)
        if len(np.unique(labels)) > OBJECTS:
            examples.append(Example(f"generated-{seed}", image[None], labels))
    config = TrainingConfig.preset(
        "fast",
        epochs=max(1, given.steps // 64),
        reference_extent=None,
        image_balance=1.0,
        validation_fraction=0.0,
        augmentation={"rotation": True, "blur": 1.0, "noise": 0.1, "gain": 0.4, "gamma": 0.4, "scale": 0.35},
    )
    start = None if given.start is None else load_model(given.start, device="cpu")
    if start is not None:
        # Pieces have the size that is wanted; they are not to be resized to what that model knew.
        start.config = start.config.model_copy(update={"reference_scale": 1.0})
    resume = given.run is not None and (given.run / "state.json").exists()
    trainer = Trainer(config, examples, (), start, run_folder=given.run, device="cpu", resume=resume)
    run = trainer.run()
    while True:
        try:
            event = next(run)
        except StopIteration as end:
            model = end.value.model
            break
        if isinstance(event, EpochFinished):
            print(json.dumps({"epoch": event.epoch, "loss": round(event.loss, 4)}), flush=True)
    sizes = model.config.object_sizes.model_copy(
        update={"mean": (EXTENT, EXTENT), "std": (SPREAD, SPREAD), "mean_size": np.pi / 4 * DIAMETER**2}
    )
    model.config = model.config.model_copy(update={"object_sizes": sizes, "reference_scale": 1.0})
    model.save(given.output, overwrite=True)


if __name__ == "__main__":
    main()
