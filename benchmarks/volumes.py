"""Make the training set of `nuclei-3d`: real volumes of plant nuclei, and generated ones of many shapes beside them.

    python benchmarks/volumes.py gonuclear/train nuclei-3d-set --generated 24 --wide 96 --repeat 3

Generated nuclei are 12 to 26 pixels wide and 0.5 to 1.2 times as deep in planes, sparse to dense, from two photons a
voxel to many, with outlines as people draw them, farther out along Z: the real volumes alone would teach one kind of
tissue. Wide ones are of more kinds: 8 to 36 pixels wide, 0.2 to 1.2 times as deep, up to half of the volume, flat
stacks of few planes too, outlines at the true surface or farther out.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

SHAPE = (48, 112, 112)


def usual(rng: np.random.Generator) -> tuple[tuple[int, ...], dict]:
    """Shape, and what else describes the nuclei of a volume."""
    from embedseg_napari.core.data.synthetic import Look

    depth = float(rng.uniform(0.5, 1.2))
    return SHAPE, {
        "diameter": float(rng.uniform(12, 26)),
        "coverage": float(rng.uniform(0.05, 0.3)),
        "spacing": (1 / depth, 1.0, 1.0),
        "photons": float(np.exp(rng.uniform(np.log(2), np.log(120)))),
        "debris": float(rng.uniform(0, 0.4)),
        "look": Look(
            gain=20.0,
            background=float(rng.uniform(0.04, 0.3)),
            contrast=float(rng.uniform(0.2, 0.6)),
            depth_blur=float(rng.uniform(2, 5)),
            outline=float(rng.uniform(0.25, 0.45)),
        ),
    }


def wide(rng: np.random.Generator) -> tuple[tuple[int, ...], dict]:
    """The same for more kinds of nuclei; the volume is about four nuclei deep and six wide."""
    from embedseg_napari.core.data.synthetic import Look

    diameter = float(np.exp(rng.uniform(np.log(8), np.log(36))))
    depth = float(np.exp(rng.uniform(np.log(0.2), np.log(1.2))))
    shape = (int(np.clip(4 * depth * diameter, 16, 64)), *[int(np.clip(6 * diameter, 80, 144))] * 2)
    return shape, {
        "diameter": diameter,
        "coverage": float(rng.uniform(0.05, 0.5)),
        "spacing": (1 / depth, 1.0, 1.0),
        "photons": float(np.exp(rng.uniform(np.log(3), np.log(200)))),
        "debris": float(rng.uniform(0, 0.3)),
        "look": Look(
            gain=20.0,
            background=float(rng.uniform(0.04, 0.5)),
            contrast=float(rng.uniform(0.1, 0.6)),
            depth_blur=float(rng.uniform(1.5, 5)),
            outline=None if rng.random() < 0.4 else float(rng.uniform(0.25, 0.6)),
            clump=float(rng.uniform(1, 8)),
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="folder with images/ and masks/")
    parser.add_argument("output", type=Path)
    parser.add_argument("--generated", type=int, default=24)
    parser.add_argument("--wide", type=int, default=0, help="volumes of more kinds")
    parser.add_argument(
        "--repeat", type=int, default=3, help="copies of each real volume, so that it counts as many times"
    )
    given = parser.parse_args()

    from embedseg_napari.core.data.synthetic import nuclei
    from embedseg_napari.core.files.tiff import list_images, write_image, write_labels

    for part in ("images", "masks"):
        (given.output / part).mkdir(parents=True, exist_ok=True)
        for path in list_images(given.real / part):
            for copy in range(given.repeat):
                shutil.copy(path, given.output / part / f"{path.stem}-{copy}{path.suffix}")
    kinds = [("generated", usual, n) for n in range(given.generated)] + [("wide", wide, n) for n in range(given.wide)]
    for name, kind, number in kinds:
        shape, values = kind(np.random.default_rng(number))
        sample = nuclei(shape, **values, seed=number)
        # Without the pixel size: the training gives one to all.
        write_image(given.output / "images" / f"{name}{number:02}.tif", sample.image, "ZYX")
        write_labels(given.output / "masks" / f"{name}{number:02}.tif", sample.labels, "ZYX")


if __name__ == "__main__":
    main()
