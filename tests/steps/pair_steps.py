"""Images with masks in a folder, for the tests of reading them."""

from __future__ import annotations

import numpy as np
import tifffile

SHAPES = {2: (24, 30), 3: (6, 24, 30)}


def labels_of(ndim, dtype=np.int32):
    labels = np.zeros(SHAPES[ndim], dtype)
    labels[..., 2:8, 3:9] = 3
    labels[..., 12:20, 15:25] = 100
    return labels


def planes_of(ndim, dtype=np.uint8):
    planes = np.zeros((2, *SHAPES[ndim]), dtype)
    planes[0, ..., 2:12, 3:12] = 1
    planes[1, ..., 8:20, 8:25] = 1
    return planes


def save(folder, name, image, mask, ignore=None, **options):
    for part, array in (("images", image), ("masks", mask), ("ignore", ignore)):
        if array is not None:
            (folder / part).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / part / name, array, **{"photometric": "minisblack", **options})
