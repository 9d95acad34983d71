"""Quality on images with spoiled pixels: hot ones, cosmic rays, dead lines, glare, padding, no numbers.

python benchmarks/spoiled_pixels.py dsb2018/val --model nuclei-2d --every 5
python benchmarks/spoiled_pixels.py bbbc050/train --model nuclei-3d --every 12
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import embedseg_napari as es
from embedseg_napari.core.files.tiff import list_images, read_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.core.model.model import Model


def bright(image: np.ndarray, factor: float) -> float:
    """A multiple of the 99.8th percentile."""
    return factor * max(float(np.percentile(image, 99.8)), 1.0)


def hot_pixel(image: np.ndarray) -> np.ndarray:
    """One pixel in the middle at 100 times the 99.8th percentile."""
    image[tuple(n // 2 for n in image.shape)] = bright(image, 100)
    return image


def saturated_pixel(image: np.ndarray) -> np.ndarray:
    """One pixel at the largest value of 16 bits, in an image of 12 bits."""
    image *= 4095 / image.max()
    image[tuple(n // 3 for n in image.shape)] = 65535
    return image


def spikes(image: np.ndarray) -> np.ndarray:
    """Single pixels at 30 times the 99.8th percentile, one in 5000, as deconvolution leaves them."""
    rng = np.random.default_rng(1)
    image.reshape(-1)[rng.choice(image.size, max(1, image.size // 5000), replace=False)] = bright(image, 30)
    return image


def cosmic_rays(image: np.ndarray) -> np.ndarray:
    """Streaks one pixel wide over 0.5 % of the pixels."""
    rng, top, n = np.random.default_rng(2), bright(image, 30), 0
    while n < 0.005 * image.size:
        start, slope = [rng.integers(n) for n in image.shape], rng.uniform(-1, 1)
        for step in range(int(rng.integers(2, 12))):
            y, x = (start[-2] + round(slope * step)) % image.shape[-2], (start[-1] + step) % image.shape[-1]
            image[(*start[:-2], y, x)] = top * rng.uniform(0.05, 1)
            n += 1
    return image


def hot_column(image: np.ndarray) -> np.ndarray:
    """Two columns at 30 times the 99.8th percentile."""
    at = image.shape[-1] // 3
    image[..., at : at + 2] = bright(image, 30)
    return image


def dead_columns(image: np.ndarray) -> np.ndarray:
    """Four columns at 0 in an image with an offset."""
    image += bright(image, 1)
    image[..., np.random.default_rng(3).choice(image.shape[-1], 4, replace=False)] = 0
    return image


def bright_corner(image: np.ndarray) -> np.ndarray:
    """A corner of a tenth of the sides at 10 times the 99.8th percentile."""
    image[..., : image.shape[-2] // 10, : image.shape[-1] // 10] = bright(image, 10)
    return image


def padding(image: np.ndarray) -> np.ndarray:
    """A border of zeros, half as wide as the image, in Y and X; the rest with an offset."""
    return np.pad(image + bright(image, 1), border(image.shape))


def white_padding(image: np.ndarray) -> np.ndarray:
    """The same border at the largest value of 16 bits."""
    return np.pad(image, border(image.shape), constant_values=65535)


def border(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Widths that :func:`padding` adds at each axis."""
    return [(0, 0)] * (len(shape) - 2) + [(n // 2, n // 2) for n in shape[-2:]]


def no_numbers(image: np.ndarray) -> np.ndarray:
    """NaN at 0.5 % of the pixels and in three columns, and a few infinite ones."""
    rng = np.random.default_rng(4)
    image.reshape(-1)[rng.choice(image.size, image.size // 200, replace=False)] = np.nan
    image.reshape(-1)[rng.choice(image.size, 5, replace=False)] = np.inf
    image[..., 50:53] = np.nan
    return image


SPOILERS: list[Callable[[np.ndarray], np.ndarray]] = [
    hot_pixel, saturated_pixel, spikes, cosmic_rays, hot_column, dead_columns, bright_corner, padding, white_padding,
    no_numbers,
]  # fmt: skip


def score(model: Model, images: list[np.ndarray], truths: list[np.ndarray]) -> str:
    """Mean AP at IoU 0.5 and 0.7, and the number of objects."""
    rows, n = [], 0
    for image, mask in zip(images, truths, strict=True):
        truth = mask if image.shape == mask.shape else np.pad(mask, border(mask.shape))
        found = model.predict(image, "ZYX" if image.ndim == 3 else "YX", on_event=lambda _: None).labels
        rows.append([row.ap for row in es.match(truth, found, (0.5, 0.7))])
        n += int(found.max())
    return " / ".join(f"{ap:.3f}" for ap in np.mean(rows, 0)) + f" ({n})"


def main() -> None:
    """Print one row of a table for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--model", default="nuclei-2d")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th image")
    parser.add_argument("--only", nargs="*", help="names of kinds")
    options = parser.parse_args()
    paths = list_images(options.folder / "images")[:: options.every]
    images = [read_image(path).array for path in paths]
    truths = [read_image(options.folder / "masks" / path.name).array for path in paths]
    given = es.load_model(options.model, device="cpu")
    print(f"{len(paths)} images of {options.folder}, {options.model}: AP at IoU 0.5 / 0.7 (objects)")
    print("| pixels | as they are (`clip` empty) | mended and clipped |\n|---|---|---|")
    for spoil in [None, *SPOILERS]:
        name = "good" if spoil is None else spoil.__name__.replace("_", " ")
        if options.only and name not in options.only:
            continue
        spoiled = images if spoil is None else [spoil(image.astype(np.float32)) for image in images]
        cells = []
        for clip in (None, 3.0):
            normalization = given.config.normalization.model_copy(update={"clip": clip})
            given.config = given.config.model_copy(update={"normalization": normalization})
            cells.append(score(given, spoiled, truths))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
