"""Images with labels that stay on the disk while they are learned from, and settings of a short training on them."""

from __future__ import annotations

import json

import numpy as np
from store_steps import write_store

from embedseg_napari.core.config import TrainingConfig

MEMORY = 0.0005
"""Gigabytes, less than any image here takes."""
SIZES = {2: (180, 212), 3: (20, 60, 72)}
CROP = {2: (48, 48), 3: (8, 24, 24)}


def picture(ndim, seed=0, n=40):
    """An image and its objects, some of which touch each other."""
    rng = np.random.default_rng(seed)
    shape = SIZES[ndim]
    labels = np.zeros(shape, np.int32)
    grid = np.indices(shape)
    for number in range(1, n + 1):
        radius = rng.uniform(3, 9, ndim)
        middle = rng.uniform(0, shape)
        away = sum(((grid[a] - middle[a]) / radius[a]) ** 2 for a in range(ndim))
        labels[(away < 1) & (labels == 0)] = 7 * number
    image = rng.integers(80, 140, shape) + 900 * (labels > 0)
    return image.astype(np.uint16), labels


def store(path, ndim=2, labels=None, seed=0, **options):
    """An OME-Zarr image with labels in it; chunks that cut through objects."""
    image, own = picture(ndim, seed)
    axes = "zyx"[-ndim:]
    write_store(path, image, axes, chunk=40, **options)
    write_store(path / "labels" / "truth", own if labels is None else labels, axes, chunk=40, more={"image-label": {}})
    name = "zarr.json" if (path / "zarr.json").exists() else ".zattrs"
    group = {"ome": {"version": "0.5", "labels": ["truth"]}} if name == "zarr.json" else {"labels": ["truth"]}
    (path / "labels").mkdir(exist_ok=True)
    text = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": group} if "ome" in group else group)
    (path / "labels" / name).write_text(text)
    return path


def settings(ndim, memory=None, **changes):
    own = {"minutes": None, "epochs": 2, "steps_per_epoch": 3, "batch_size": 2, "precision": "float32"}
    return TrainingConfig.parse({**own, "crop_size": CROP[ndim], "memory": memory, **changes})
