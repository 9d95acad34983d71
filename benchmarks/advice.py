"""Whether the scale or model that is suggested where a model is unsure is better: AP as it is, and then.

`--unknown` counts the images of which it is told that no model knows them instead.

python benchmarks/advice.py dsb2018/val --model nuclei-2d --every 7
python benchmarks/advice.py usiigaci/train --model nuclei-2d --every 5 --resized 1
python benchmarks/advice.py bbbc050/train --model nuclei-3d --every 19 --resized 0.6 1
python benchmarks/advice.py ecoli/train --model nuclei-2d --every 2 --unknown
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from skimage.transform import resize

import embedseg_napari as es
from embedseg_napari.core.data.normalization import prepare
from embedseg_napari.core.data.resizing import resize_labels, scaled_shape
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.core.inference.advice import Suggestion, Unknown, suggest
from embedseg_napari.core.inference.scale_search import FoundScale
from embedseg_napari.core.model.model import others_like
from embedseg_napari.core.runs import never

SIDE = 768
"""Larger images are cropped to this in Y and X."""


def main() -> None:
    """Print one row of a table for each factor by which images were resized."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--model", default="nuclei-2d")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th image")
    parser.add_argument("--unknown", action="store_true", help="count images that no model is said to know")
    parser.add_argument("--resized", type=float, nargs="*", default=[0.4, 0.6, 1, 1.7, 2.5])
    options = parser.parse_args()
    model = es.load_model(options.model, device="cpu")
    if options.unknown:
        count_unknown(model, options)
        return
    print(f"{options.folder}, {options.model}: AP at IoU 0.5")
    print(
        "| images resized by | images | scale | model | AP of those, as it is | as suggested | worst change | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for factor in options.resized:
        before, after, n, named, seconds = [], [], 0, [], []
        for path in list_images(options.folder / "images")[:: options.every]:
            image, truth = pair(path)
            if factor != 1:
                shape = scaled_shape(image.shape, factor)
                image, truth = resize(image, shape, order=1, anti_aliasing=factor < 1), resize_labels(truth, shape)
            n += 1
            began = time.perf_counter()
            found = advised(model, image)
            seconds.append(time.perf_counter() - began)
            if isinstance(found, FoundScale):
                changed, other = {"scale": found.scale}, ""
            elif isinstance(found, Suggestion):
                changed, other = found.changes, found.model
            else:
                continue
            named += [other] if other else []
            better = es.load_model(other, device="cpu") if other else model
            for used, changes, scores in ((model, {"scale": 1.0}, before), (better, changed, after)):
                labels = used.predict(image, "ZYX"[-image.ndim :], on_event=lambda _: None, **changes).labels
                scores.append(es.match(truth, labels, (0.5,))[0].ap)
        change = np.subtract(after, before)
        cells = [f"{np.mean(before):.3f}", f"{np.mean(after):.3f}", f"{change.min():+.3f}"] if before else ["", "", ""]
        models = " ".join(f"{name} {named.count(name)}" for name in sorted(set(named)))
        cells = [f"{len(before) - len(named)}", models or "0", *cells, f"{np.median(seconds):.1f}"]
        print(f"| {factor:g} | {n} | {' | '.join(cells)} |", flush=True)


def count_unknown(model: es.Model, options: argparse.Namespace) -> None:
    """Print one row of a table: images, those no model is said to know, and AP of these and of the others."""
    unknown, other = [], []
    paths = list_images(options.folder / "images")[:: options.every]
    for path in paths:
        image, truth = pair(path)
        labels = model.predict(image, "ZYX"[-image.ndim :], on_event=lambda _: None).labels
        ap, found = es.match(truth, labels, (0.5,))[0].ap, advised(model, image)
        what = f"sure of {found.sure:.2f}" if isinstance(found, Unknown) else found and found.advice().action
        print(f"{path.name}: AP {ap:.2f}, {what or 'no remark'}", file=sys.stderr, flush=True)
        if found is None or isinstance(found, Unknown):
            (other if found is None else unknown).append(ap)
    told, n_suggested = (f"{len(unknown)} | {mean(unknown)} | {mean(other)}"), len(paths) - len(unknown) - len(other)
    print(f"| {options.folder} | {options.model} | {len(paths)} | {n_suggested} | {told} |", flush=True)


def mean(scores: list[float]) -> str:
    """Mean and range of scores; empty where there are none."""
    return f"{np.mean(scores):.3f} ({min(scores):.2f} to {max(scores):.2f})" if scores else ""


def advised(model: es.Model, image: np.ndarray) -> Suggestion | FoundScale | Unknown | None:
    """What is said of an image."""
    ready = prepare(image[None], model.config.normalization)
    others = others_like(model.config, model.path, "cpu")
    return suggest(model, model.config.prediction, image[None], ready, others, never)


def pair(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """An image in shades of grey and its labels."""
    picture, truth = read_image(path), read_image(path.parents[1] / "masks" / path.name).array
    image = picture.array.mean(axis=-1) if picture.axes.endswith("C") else picture.array
    truth = numbered(truth) if truth.ndim > image.ndim else truth
    return image[..., :SIDE, :SIDE].astype(np.float32), truth[..., :SIDE, :SIDE]


def numbered(planes: np.ndarray) -> np.ndarray:
    """Planes of one object each, as labels."""
    return (np.arange(1, len(planes) + 1)[:, None, None] * (planes > 0)).max(axis=0)


if __name__ == "__main__":
    main()
