"""Whether the scale that is suggested where a model is unsure is better: AP as it is and at that scale.

python benchmarks/scale_advice.py dsb2018/val --model nuclei-2d --every 7
python benchmarks/scale_advice.py bbbc050/train --model nuclei-3d --every 19 --resized 0.6 1
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from skimage.transform import resize

import embedseg_napari as es
from embedseg_napari.core.data.normalization import prepare
from embedseg_napari.core.data.resizing import resize_labels, scaled_shape
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.core.inference.size_check import suggest_scale
from embedseg_napari.core.runs import never

SIDE = 768
"""Larger images are cropped to this in Y and X."""


def main() -> None:
    """Print one row of a table for each factor by which images were resized."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--model", default="nuclei-2d")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th image")
    parser.add_argument("--resized", type=float, nargs="*", default=[0.4, 0.6, 1, 1.7, 2.5])
    options = parser.parse_args()
    model = es.load_model(options.model, device="cpu")
    print(f"{options.folder}, {options.model}: AP at IoU 0.5")
    print("| images resized by | images | suggested | AP of those, as it is | at the suggested scale | worst change |")
    print("|---|---|---|---|---|---|")
    for factor in options.resized:
        before, after, n = [], [], 0
        for path in list_images(options.folder / "images")[:: options.every]:
            image, truth = read_image(path).array, read_image(options.folder / "masks" / path.name).array
            image, truth = image[..., :SIDE, :SIDE].astype(np.float32), truth[..., :SIDE, :SIDE]
            if factor != 1:
                shape = scaled_shape(image.shape, factor)
                image, truth = resize(image, shape, order=1, anti_aliasing=factor < 1), resize_labels(truth, shape)
            n += 1
            ready = prepare(image[None], model.config.normalization)
            found = suggest_scale(model, model.config.prediction, ready, never)
            if found is None:
                continue
            for scale, scores in ((1.0, before), (found.scale, after)):
                axes = "ZYX"[-image.ndim :]
                labels = model.predict(image, axes, scale=scale, on_event=lambda _: None).labels
                scores.append(es.match(truth, labels, (0.5,))[0].ap)
        change = np.subtract(after, before)
        cells = [f"{np.mean(before):.3f}", f"{np.mean(after):.3f}", f"{change.min():+.3f}"] if before else ["", "", ""]
        print(f"| {factor:g} | {n} | {len(before)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
