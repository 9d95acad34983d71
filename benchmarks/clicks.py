"""How often a click gives the object: IoU with the truth, at random pixels of random objects.

    python benchmarks/clicks.py DATASET [--models MODEL ...] [--start MODEL --train DATASET] [--spacing Z,Y,X]
                                [--kind 256x256] [--images 25] [--clicks 4] [--painted 3] [--seeds 0]

Every image is clicked on by itself: without maps, and with those of each model. As in *Label & Train*, a few painted
objects of the image (`--painted`, at random, not clicked on where there are others) say how large objects are, at
which scale a model looks at the image, and whether it is believed. With `--start` there is one model more: trained
from that one, or from scratch with `--start none`, on 20 objects that a simulated person painted in images of
`--train`, for so many steps (`--steps`) of the preset `few`; these are counted, so that a busy machine does not
matter. Printed are the part of the clicks with an IoU of 0.7 and more, with its standard error over images, the mean
IoU, the part that the maps answered, and milliseconds of the processor for a click.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from annotator import GROUP
from simulated_person import Person, Sheet

import embedseg_napari as es
from embedseg_napari.core.annotation.click import Surroundings, latest_objects, maps_serve, object_under, sizes_of
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import find_dataset, load_folder
from embedseg_napari.core.data.statistics import scale_to_known
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.model.model import Model

GOOD = 0.7
STEPS_PER_EPOCH = 64


def trained(examples: Sequence[Example], start: Model | None, n_painted: int, steps: int, seed: int) -> Model:
    """A model after one round on a few painted objects."""
    person, sheets = Person(seed), []
    for index in np.random.default_rng(seed).permutation(len(examples)):
        if person.effort.painted >= n_painted:
            break
        sheets.append(Sheet(examples[index]))
        person.paint_group(sheets[-1], min(GROUP, n_painted - person.effort.painted))
    values = {"epochs": max(1, steps // STEPS_PER_EPOCH), "steps_per_epoch": STEPS_PER_EPOCH, "seed": seed}
    config, before = TrainingConfig.preset("few", **values), time.process_time()
    model = drain(Trainer(config, [sheet.example for sheet in sheets], [], start, device="cpu").run()).model
    print(
        f"{person.effort.painted} objects in {len(sheets)} images, {steps} steps: "
        f"{time.process_time() - before:.0f} seconds of the processor, scale {model.config.reference_scale:.2f}",
        flush=True,
    )
    return model


def clicked(
    examples: Sequence[Example], model: Model | None, n_clicks: int, n_painted: int, seed: int
) -> list[list[tuple[float, bool, float]]]:
    """IoU, whether the maps knew the object, and seconds, of each click in each image."""
    rng, found = np.random.default_rng(seed), []
    for example in examples:
        truth = example.instances
        ids = rng.permutation(np.unique(truth[truth > 0]))
        painted = latest_objects(np.where(np.isin(truth, ids[:n_painted]), truth, 0))
        sizes = sizes_of(painted, example.spacing)
        around = Surroundings(example.image, sizes.mean, sizes.mean_size)
        if model is not None:
            settings = model.config.prediction
            settings = settings.model_copy(update={"scale": scale_to_known(sizes, model.config.object_sizes)})
            image = example.image if model.config.n_channels > 1 else example.image.mean(0, np.float32, keepdims=True)
            maps = drain(Predictor(model, settings).embed(image, model.config.axes, never))
            seen = replace(around, maps=maps, foreground_threshold=settings.foreground_threshold)
            around = seen if maps_serve(seen, painted) else around
        own = []
        others = ids[n_painted:] if len(ids) > n_painted else ids
        for number in others[:n_clicks]:
            places = np.argwhere(truth == number)
            click = tuple(places[rng.integers(len(places))][:, None])
            start = time.process_time()
            result = object_under(around, [click])
            seconds = time.process_time() - start
            n_shared = np.count_nonzero(truth[result.pixels] == number)
            iou = n_shared / (len(places) + len(result.pixels[0]) - n_shared)
            own.append((iou, result.is_known, seconds))
        found.append(own)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--start", help="model that a short training starts from, or none")
    parser.add_argument("--train", help="images that it learns from; otherwise half of the dataset, not clicked on")
    parser.add_argument("--steps", type=int, default=768)
    parser.add_argument("--learned", type=int, default=20, help="objects that it learns from")
    parser.add_argument("--spacing", metavar="Z,Y,X", help="size of a voxel")
    parser.add_argument("--kind", help="keep images of this shape")
    parser.add_argument("--images", type=int, default=25)
    parser.add_argument("--clicks", type=int, default=4, help="of each image")
    parser.add_argument("--painted", type=int, default=3, help="objects of each image whose size is known")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    spacing = None if options.spacing is None else [float(step) for step in options.spacing.split(",")]

    def read(folder: str) -> list[Example]:
        examples = load_folder(find_dataset(folder)[0], spacing=spacing)
        usable = [one for one in examples if not one.is_planes and one.instances.any()]
        return [one for one in usable if options.kind in (None, "x".join(map(str, one.image.shape[1:])))]

    examples = read(options.dataset)
    learned = [] if options.start is None else read(options.train) if options.train else examples[1::2]
    if learned and not options.train:
        examples = examples[::2]
    examples = examples[:: max(1, len(examples) // options.images)][: options.images]
    for seed in options.seeds:
        models: dict[str, Model | None] = {"image": None} | {name: es.load_model(name) for name in options.models}
        if options.start is not None:
            start = None if options.start == "none" else es.load_model(options.start)
            models[f"trained from {options.start}"] = trained(learned, start, options.learned, options.steps, seed)
        for name, model in models.items():
            found = clicked(examples, model, options.clicks, options.painted, seed)
            shares = [np.mean([iou >= GOOD for iou, _, _ in own]) for own in found]
            ious, known, seconds = np.array([one for own in found for one in own]).T
            print(
                f"{name}: {len(ious)} clicks in {len(found)} images, {(ious >= GOOD).mean():.3f} "
                f"± {np.std(shares) / np.sqrt(len(shares)):.3f} with IoU {GOOD}, mean {ious.mean():.2f}; "
                f"{known.mean():.2f} by maps; median {1e3 * np.median(seconds):.1f} ms, "
                f"longest {1e3 * seconds.max():.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
