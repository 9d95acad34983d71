"""Quality on images that were inverted, lit unevenly, blurred, noisy, or shown at other scales; and a training on such.

    python benchmarks/degraded.py score nuclei-2d dsb2018/val
    python benchmarks/degraded.py train nuclei-2d dsb2018/train --output robust.embedseg [--steps 12800] [--plain 2]
                                        [--rate 0.6] [--seed 1] [--run FOLDER]
    python benchmarks/degraded.py mix nuclei-2d robust.embedseg 0.9 --output mixed.embedseg

A training sees every image as it is (`--plain` times), inverted, and with one or two degradations, and half of the
images once more at another scale. `mix` takes so much of the second model's weights and the rest of the first's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.core.data.example import Example

SCALES = (0.5, 0.7, 1.5, 2.5)
LEAST_SIDE = 100
"""Pixels of an image that is trained on at another scale."""


def fall_off(image: np.ndarray, rng: np.random.Generator, depth: float) -> np.ndarray:
    """Darker away from a place."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    at = rng.uniform(0.2, 0.8, 2) * image.shape
    return image * np.exp(-depth * ((y - at[0]) ** 2 + (x - at[1]) ** 2) / (0.5 * max(image.shape)) ** 2)


def gradient(image: np.ndarray, rng: np.random.Generator, height: float) -> np.ndarray:
    """Brighter towards one side."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = (np.arange(n) / n for n in image.shape)
    slope = np.cos(angle) * y[:, None] + np.sin(angle) * x
    return image + height * (slope - slope.min()) / np.ptp(slope)


def hot_pixels(image: np.ndarray, rng: np.random.Generator, share: float, value: float) -> np.ndarray:
    """Single bright pixels."""
    image = image.copy()
    image.reshape(-1)[rng.choice(image.size, max(1, int(image.size * share)), replace=False)] = value
    return image


SCORED: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "as they are": lambda image, _: image,
    "inverted": lambda image, _: -image,
    "darker away from a place": lambda image, rng: fall_off(image, rng, 0.8),
    "brighter towards one side": lambda image, rng: gradient(image, rng, 1.0),
    "noise of 0.15": lambda image, rng: image + rng.normal(0, 0.15, image.shape),
    "blurred by 2 pixels": lambda image, _: ndimage.gaussian_filter(image, 2),
    "hot pixels, 0.1 %": lambda image, rng: hot_pixels(image, rng, 1e-3, 3),
    "gamma 2": lambda image, _: np.clip(image, 0, None) ** 2,
}
"""Of images whose first percentile is 0 and whose 99.8th is 1."""


def normalised(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (1, 99.8))
    return ((image - low) / max(high - low, 1e-6)).astype(np.float32)


def degraded(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image with one or two degradations."""
    image = normalised(image)
    for kind in rng.choice(6, rng.integers(1, 3), replace=False):
        if kind == 0:
            image = fall_off(image, rng, rng.uniform(0.3, 1.2))
        elif kind == 1:
            image = gradient(image, rng, rng.uniform(0.3, 1.5))
        elif kind == 2:
            image = image + rng.normal(0, rng.uniform(0.03, 0.25), image.shape)
        elif kind == 3:
            image = ndimage.gaussian_filter(image, rng.uniform(0.5, 2.5))
        elif kind == 4:
            image = hot_pixels(image, rng, 10 ** rng.uniform(-4, -2.5), rng.uniform(1.5, 4))
        else:
            image = np.clip(image, 0, None) ** np.exp(rng.uniform(-0.7, 0.8))
    return image.astype(np.float32)


def resized(image: np.ndarray, labels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    from embedseg_napari.core.data.resizing import resize_image, resize_labels

    shape = tuple(round(n * factor) for n in image.shape)
    return resize_image(image[None], shape)[0], resize_labels(labels, shape)


def versions(one: Example, n_plain: int, rng: np.random.Generator) -> list[Example]:
    """What a training sees of an image."""
    from embedseg_napari.core.data.example import Example

    grey, labels = one.image.astype(np.float32).mean(0), one.instances.astype(np.int32)
    seen = [(f"as it is {n}", grey, labels) for n in range(n_plain)] + [("inverted", -grey, labels)]
    seen.append(("degraded", degraded(grey, rng) * (1 if rng.random() < 0.6 else -1), labels))
    factor = float(np.exp(rng.uniform(np.log(SCALES[0]), np.log(SCALES[-1]))))
    if rng.random() < 0.5 and min(grey.shape) * factor >= LEAST_SIDE:
        image, other = resized(grey, labels, factor)
        seen.append(("resized", image * (1 if rng.random() < 0.7 else -1), other))
    return [Example(f"{one.name} {how}", image[None].astype(np.float32), own) for how, image, own in seen]


def train(given: argparse.Namespace) -> None:
    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.pairs import find_dataset, load_folder
    from embedseg_napari.core.model.model import load_model
    from embedseg_napari.core.runs import drain
    from embedseg_napari.core.training.trainer import Trainer

    rng = np.random.default_rng(0)
    examples = [seen for one in load_folder(find_dataset(given.dataset)[0]) for seen in versions(one, given.plain, rng)]
    config = TrainingConfig.preset(
        "fast", epochs=given.steps // 64, steps_per_epoch=64, reference_extent=None, validation_fraction=0.0,
        start_rate=given.rate, seed=given.seed, augmentation={"scale": 0.35},
    )  # fmt: skip
    resume = given.run is not None and (given.run / "state.json").exists()
    start = load_model(given.model, device="cpu")
    run = Trainer(config, examples, (), start, run_folder=given.run, device="cpu", resume=resume).run()
    drain(run).model.save(given.output, overwrite=True)


def score(given: argparse.Namespace) -> None:
    import embedseg_napari as es
    from embedseg_napari.core.data.pairs import find_dataset, load_folder

    model, examples = es.load_model(given.model, device="cpu"), load_folder(find_dataset(given.dataset)[0])
    print("| images | AP at IoU 0.5 / 0.7 / 0.9 |\n|---|---|")

    def row(name: str, change: Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]) -> None:
        aps = []
        for number, one in enumerate(examples):
            image, labels = change(normalised(one.image.astype(np.float32).mean(0)), one.instances, number)
            found = model.predict(image, "YX", on_event=lambda _: None).labels
            aps.append([match.ap for match in es.match(labels, found, (0.5, 0.7, 0.9))])
        print(f"| {name} | {' / '.join(f'{ap:.3f}' for ap in np.mean(aps, 0))} |", flush=True)

    for name, spoil in SCORED.items():
        row(name, lambda image, labels, number, spoil=spoil: (spoil(image, np.random.default_rng(number)), labels))
    for factor in SCALES:
        row(f"{factor} times as large", lambda image, labels, _, factor=factor: resized(image, labels, factor))


def mix(given: argparse.Namespace) -> None:
    from embedseg_napari.core.model.model import load_model

    first, second = (load_model(name, device="cpu") for name in (given.model, given.other))
    before, after = first.network.state_dict(), second.network.state_dict()
    first.network.load_state_dict(
        {
            name: value * (1 - given.share) + after[name] * given.share if value.is_floating_point() else value
            for name, value in before.items()
        }
    )
    first.save(given.output, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, work in (("score", score), ("train", train), ("mix", mix)):
        command = commands.add_parser(name)
        command.add_argument("model")
        command.set_defaults(work=work)
        if name == "mix":
            command.add_argument("other")
            command.add_argument("share", type=float)
        else:
            command.add_argument("dataset", type=Path)
        if name == "train":
            command.add_argument("--steps", type=int, default=12800)
            command.add_argument("--plain", type=int, default=2)
            command.add_argument("--rate", type=float, default=0.6)
            command.add_argument("--seed", type=int, default=1)
            command.add_argument("--run", type=Path)
        if name != "score":
            command.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
