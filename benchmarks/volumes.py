"""Make the training set of `nuclei-3d`: real volumes of plant nuclei, and generated ones of many shapes beside them.

    python benchmarks/volumes.py gonuclear/train nuclei-3d-set --generated 32 --repeat 5

Generated nuclei are 14 to 32 pixels wide and 0.4 to 1 times as deep in planes, sparse to dense, dim to bright, alike
or not, on dark ground or grey: a few real volumes alone would teach one kind of tissue.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

SHAPE = (48, 112, 112)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="folder with images/ and masks/")
    parser.add_argument("output", type=Path)
    parser.add_argument("--generated", type=int, default=24)
    parser.add_argument("--repeat", type=int, default=1, help="copies of each real volume; crops are drawn by objects")
    given = parser.parse_args()

    from embedseg_napari.core.data.images import list_images, write_image, write_labels
    from embedseg_napari.core.data.synthetic import nuclei

    for part in ("images", "masks"):
        (given.output / part).mkdir(parents=True, exist_ok=True)
        for path in list_images(given.real / part):
            for copy in range(given.repeat):
                shutil.copy(path, given.output / part / f"{path.stem}-{copy}{path.suffix}")
    for number in range(given.generated):
        rng = np.random.default_rng(number)
        depth = float(rng.uniform(0.4, 1.0))
        sample = nuclei(
            SHAPE,
            diameter=float(rng.uniform(14, 32)),
            coverage=float(rng.uniform(0.03, 0.25)),
            spacing=(1 / depth, 1.0, 1.0),
            photons=float(np.exp(rng.uniform(np.log(12), np.log(120)))),
            debris=float(rng.uniform(0, 0.4)),
            contrast=float(rng.uniform(0.15, 0.5)),
            irregularity=float(rng.uniform(0.03, 0.2)),
            texture=float(rng.uniform(0.2, 1.5)),
            blur=float(rng.uniform(0.02, 0.07)),
            background=float(np.exp(rng.uniform(np.log(0.02), np.log(0.4)))),
            seed=number,
        )
        # Without the pixel size: the training gives one to all.
        write_image(given.output / "images" / f"generated{number:02}.tif", sample.image, "ZYX")
        write_labels(given.output / "masks" / f"generated{number:02}.tif", sample.labels, "ZYX")


if __name__ == "__main__":
    main()
