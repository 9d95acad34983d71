"""Draw what the bundled models find, side by side: `images/bundled-models.png`.

    python docs/model_pictures.py docs/images/bundled-models.png \
        --part nuclei-2d dsb2018/val/images/IMAGE.tif 0,0,128 \
        --part cells-phase-2d usiigaci/train/images/set20.tif 300,300,384 \
        --part nuclei-histology-2d histology/train/images/IMAGE.tif 0,0,192 --part nuclei-3d VOLUME.tif 0,0,96

A part is a model, an image that it was not trained on (of a volume the middle plane is shown), and the first row, the
first column and the side of the square to show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from skimage.segmentation import find_boundaries
from skimage.transform import resize

SIDE = 384
"""Pixels across each part of the picture."""
YELLOW = (1.0, 0.8, 0.1)


def part(model_name: str, path: Path, square: tuple[int, int, int]) -> np.ndarray:
    """Draw outlines of what a model finds on the square; shape (SIDE, SIDE, 3), 0 to 1."""
    from embedseg_napari.core.files.tiff import read_image
    from embedseg_napari.core.model.model import load_model

    image = read_image(path).array
    in_colour = image.ndim == 3 and image.shape[-1] == 3
    labels = load_model(model_name, device="cpu").predict(image, "YXC" if in_colour else "ZYX"[-image.ndim :]).labels
    if not in_colour:
        if image.ndim == 3:
            image, labels = image[len(image) // 2], labels[len(labels) // 2]
        low, high = np.percentile(image, [1, 99.8])
        image = np.repeat(np.clip((image - low) / (high - low), 0, 1)[..., None], 3, axis=-1)
    row, column, side = square
    image, labels = (a[row : row + side, column : column + side] for a in (image, labels))
    large = resize(image, (SIDE, SIDE), order=1)
    at = (np.arange(SIDE) * side) // SIDE
    large[find_boundaries(labels[np.ix_(at, at)], mode="inner")] = YELLOW
    return large


def main() -> None:
    import imageio.v3

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--part", nargs=3, action="append", required=True, metavar=("MODEL", "IMAGE", "Y,X,SIDE"))
    given = parser.parse_args()
    parts = [part(model, Path(path), tuple(map(int, square.split(",")))) for model, path, square in given.part]
    imageio.v3.imwrite(given.output, (255 * np.concatenate(parts, axis=1)).astype(np.uint8))


if __name__ == "__main__":
    main()
