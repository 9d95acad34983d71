"""The whole way on real annotated images: every set trains, and the bundled model segments nuclei it never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.data.statistics import measure
from embedseg_napari.core.evaluation.summary import pool
from embedseg_napari.core.files.tiff import list_images, read_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.real

SPACING = {"bbbc050": (2.18, 1.0, 1.0), "gonuclear": (0.28, 0.127, 0.127)}


@pytest.mark.parametrize(
    ("name", "ndim", "overlapping"),
    [
        ("dsb2018", 2, False),
        ("bbbc010", 2, True),
        pytest.param("usiigaci", 2, False, marks=pytest.mark.thorough),
        pytest.param("bbbc050", 3, False, marks=pytest.mark.thorough),
        ("gonuclear", 3, False),
    ],
)
def test_every_real_set_is_understood_and_trains(
    shared_data: Callable[[str], Path], name: str, ndim: int, overlapping: bool
) -> None:
    examples = load_folder(shared_data(name) / "train", spacing=SPACING.get(name))[:3]
    statistics = measure(examples)
    assert (statistics.ndim, statistics.is_overlapping) == (ndim, overlapping)
    crop = (64, 64) if ndim == 2 else (16, 32, 32)
    config = es.TrainingConfig.preset(
        "fast", epochs=2, steps_per_epoch=4, batch_size=2, crop_size=crop, warmup=0.0, precision="float32"
    )
    result = es.train(examples[:2], config, validation=examples[2:3])
    losses = [row.loss for row in result.history]
    assert np.isfinite(losses).all()
    assert losses[1] < losses[0]
    assert result.history[-1].ap_50 is not None
    if ndim == 3:
        spacing = SPACING[name]
        assert result.model.config.grid_spacing[0] == pytest.approx(spacing[0] / spacing[2] / 255)


@pytest.mark.parametrize(
    ("model", "data", "pattern", "axes", "least"),
    [
        ("nuclei-2d", "dsb2018/val", "*", "YX", 0.75),
        ("cells-phase-2d", "usiigaci/train", "set[1-4]5.tif", "YX", 0.65),
        ("bacteria-phase-2d", "ecoli/train", "t01[159].tif", "YX", 0.8),
        ("nuclei-histology-2d", "histology/train", "[6ce][0e47]*", "YXC", 0.6),
        ("nuclei-3d", "bbbc050/train", "Emb1[01]_t[34]01.tif", "ZYX", 0.4),
    ],
)
def test_bundled_models_segment_images_they_were_not_trained_on(
    shared_data: Callable[[str], Path], model: str, data: str, pattern: str, axes: str, least: float
) -> None:
    network = es.load_model(model, device="cpu")
    folder = shared_data(data)
    rows = []
    for path in sorted((folder / "images").glob(pattern))[:12]:
        labels = network.predict(read_image(path).array, axes).labels
        rows.append(es.match(read_image(folder / "masks" / path.name).array, labels))
    assert len(rows) >= 3
    assert pool(rows)[0].ap > least


def test_tiles_and_the_whole_image_give_the_same_objects(shared_data: Callable[[str], Path]) -> None:
    model = es.load_model("nuclei-2d", device="cpu")
    paths = list_images(shared_data("dsb2018") / "val" / "images")
    pieces = [a for a in (read_image(p).array for p in paths) if a.shape == (256, 256)][:16]
    image = np.block([pieces[i : i + 4] for i in range(0, 16, 4)])
    whole = model.predict(image, "YX", tile=(1024, 1024))
    tiled = model.predict(image, "YX", tile=(512, 512))
    assert es.match(whole.labels, tiled.labels, [0.9])[0].ap >= 0.97
