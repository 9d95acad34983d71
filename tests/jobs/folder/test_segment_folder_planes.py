"""Images whose objects cross, segmented into planes of one object each."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from folder_steps import run

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.jobs.folder import segment_folder as segmenting
from embedseg_napari.jobs.recipe import read_recipe, recipe_rows

if TYPE_CHECKING:
    from collections.abc import Generator

    from embedseg_napari.jobs.folder.plan import FolderJob


@pytest.fixture
def crossing(monkeypatch: pytest.MonkeyPatch) -> Segmentation:
    """Two bars that cross, whatever is segmented."""
    seed_map = np.zeros((24, 24), np.float32)
    seed_map[10:14], seed_map[:, 10:14] = 0.8, 0.8
    seed_map[12, 2], seed_map[2, 12] = 0.99, 0.98
    margins = np.zeros((2, 24, 24), np.float32)
    margins[:, 12, 2], margins[:, 2, 12] = (2.5, 40), (40, 2.5)
    settings = PredictionConfig(seed_threshold=0.9, foreground_threshold=0.5, min_object_size=3, faint_seeds=0)
    found = Segmentation.collect(EmbeddingMaps(np.zeros_like(margins), margins, seed_map), settings)

    def predict(*_: Any, keep_maps: bool, **__: Any) -> Generator[None, None, Segmentation]:
        yield None
        return found if keep_maps else replace(found, kept_maps=None)

    monkeypatch.setattr(segmenting, "predict", predict)
    return found


def test_planes_of_objects_that_cross_and_their_tables(job: FolderJob, crossing: Segmentation) -> None:
    asked = replace(job, planes=True, tables="each")
    run(asked)
    with tifffile.TiffFile(job.results / "a.tif") as tif:
        assert (tif.series[0].axes, tif.series[0].dtype, int(tif.pages[0].compression)) == ("CYX", np.uint8, 8)
        np.testing.assert_array_equal(tif.asarray(), crossing.planes)
    assert crossing.planes.all(0).any()
    read = read_image(job.results / "a.tif", labels=True)
    assert (read.spacing, read.unit) == (pytest.approx((0.5, 0.5)), "um")
    rows = list(csv.DictReader((job.results / "a.csv").read_text().splitlines()))
    assert [int(row["size"]) for row in rows] == crossing.planes.sum((1, 2)).tolist()
    recipe = read_recipe(job.results / "a.tif")
    assert recipe is not None
    assert recipe["command"].endswith("--csv --planes")
    assert dict(recipe_rows(recipe, job.results / "a.tif")).get("Since then") is None


def test_a_run_that_writes_planes_is_continued_and_no_other(job: FolderJob, crossing: Segmentation) -> None:
    asked = replace(job, planes=True)
    run(asked)
    assert run(replace(asked, resume=True))[1].n_skipped == 2
    (job.results / "recipes" / "a.json").unlink()
    before = (job.results / "a.tif").read_bytes()
    assert run(replace(asked, resume=True))[1].n_skipped == 1
    assert (job.results / "a.tif").read_bytes() == before
    labels = run(replace(job, resume=True))[1]
    assert [("was not made with" in failure.reason) for failure in labels.failures] == [True, True]
    # Damaged where only a plane that is read shows it.
    with tifffile.TiffFile(job.results / "a.tif") as tif:
        place = tif.pages[1].dataoffsets[0]
    with (job.results / "a.tif").open("r+b") as file:
        file.seek(place)
        file.write(b"\0" * 8)
    assert run(replace(asked, resume=True))[1].n_saved == 1
    np.testing.assert_array_equal(tifffile.imread(job.results / "a.tif"), crossing.planes)


def test_planes_lie_on_an_image_whose_axes_are_named_in_another_order(
    job: FolderJob, crossing: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = crossing.turned("XY")

    def predict(*_: Any, **__: Any) -> Generator[None, None, Segmentation]:
        yield None
        return turned

    monkeypatch.setattr(segmenting, "predict", predict)
    run(replace(job, planes=True, axes="XY"))
    np.testing.assert_array_equal(tifffile.imread(job.results / "a.tif"), crossing.planes.transpose(0, 2, 1))
