"""Train a start model of volumes, as `pretrain.py` does for images: every volume is brought to objects of one size.

    python benchmarks/volumes.py gonuclear-2 set --generated 64 --wide 220 --repeat 6
    python benchmarks/start/pretrain_volumes.py set --output start.embedseg [--steps 2560] [--run FOLDER]

Real volumes are shown as they are and inverted, of the generated ones (whose files `volumes.py` has named) one in four
inverted and the others as they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

ACROSS = 18
"""Mean width and height of the objects, in voxels."""
GENERATED = ("generated", "wide")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=2560)
    parser.add_argument("--run", type=Path, help="run folder; a training that was interrupted goes on")
    given = parser.parse_args()

    from scipy import ndimage

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.pairs import load_folder
    from embedseg_napari.core.data.resizing import resize_image, resize_labels, scaled_shape
    from embedseg_napari.core.events import EpochFinished
    from embedseg_napari.core.training.trainer import Trainer

    examples = []
    for number, one in enumerate(load_folder(given.dataset, axes="ZYX")):
        boxes = [box for box in ndimage.find_objects(one.instances) if box is not None]
        if not boxes:
            continue
        across = np.mean([side.stop - side.start for box in boxes for side in box[1:]])
        factor = float(np.clip(ACROSS / across, 0.4, 1.6))
        image, labels = one.image.astype(np.float32), one.instances
        if abs(factor - 1) > 0.1:
            shape = scaled_shape(image.shape[1:], factor)
            image, labels = resize_image(image, shape), resize_labels(labels, shape)
        labels = np.ascontiguousarray(labels.astype(np.int32))
        signs = ((-1,) if number % 4 == 0 else (1,)) if one.name.startswith(GENERATED) else (1, -1)
        for sign in signs:
            examples.append(Example(f"{one.name} {sign:+}", sign * image, labels, spacing=(1.0, 1.0, 1.0)))
    config = TrainingConfig.preset(
        "fast",
        epochs=max(1, given.steps // 64),
        steps_per_epoch=64,
        crop_size=(32, 80, 80),
        reference_extent=None,
        image_balance=1.0,
        validation_fraction=0.0,
        augmentation={"rotation": True, "blur": 1.0, "noise": 0.1, "gain": 0.4, "gamma": 0.4, "scale": 0.3},
    )
    resume = given.run is not None and (given.run / "state.json").exists()
    run = Trainer(config, examples, (), run_folder=given.run, device="cpu", resume=resume).run()
    while True:
        try:
            event = next(run)
        except StopIteration as end:
            end.value.model.save(given.output, overwrite=True)
            return
        if isinstance(event, EpochFinished):
            print(json.dumps({"epoch": event.epoch, "loss": round(event.loss, 4)}), flush=True)


if __name__ == "__main__":
    main()
