"""What goes where: inputs that are not replaced, and tables and maps that go with their labels."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.folder.plan import FolderJob, plan
from embedseg_napari.jobs.folder.segment_folder import segment_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def job(tmp_path: Path) -> FolderJob:
    """An image, and a model that finds objects only without thresholds."""
    image = np.random.default_rng(0).integers(0, 200, (24, 32)).astype(np.uint8)
    write_image(tmp_path / "images" / "a.tif", image, "YX")
    model = Model(ModelConfig(name="tiny"), BranchedERFNet(2, 1)).save(tmp_path / "tiny.embedseg")
    return FolderJob(
        (tmp_path / "images",), tmp_path / "out", model, "cpu", {"seed_threshold": 0, "foreground_threshold": 0}
    )


def run(job: FolderJob) -> list[str]:
    events: list[Any] = []
    assert drain(segment_folder(job, never), events.append).failures == ()
    return [event.text for event in events if isinstance(event, Message)]


def rows(job: FolderJob) -> list[dict[str, str]]:
    return list(csv.DictReader((job.results / "a.csv").read_text().splitlines()))


@pytest.mark.parametrize("way", ["hard link", "link", "as it is"])
@pytest.mark.parametrize("place", ["a.tif", "maps/a.tif"])
def test_an_input_is_not_replaced_whatever_it_is_called_there(job: FolderJob, way: str, place: str) -> None:
    target = job.results / place
    target.parent.mkdir(parents=True)
    image = job.inputs[0] / "a.tif"
    if way == "as it is":
        image = image.rename(target)
    elif way == "link":
        target.symlink_to(image)
    else:
        os.link(image, target)
    asked = replace(job, inputs=(image,), overwrite=True, save_maps=True)
    with pytest.raises(DataError, match="is an input image and would be replaced"):
        plan(asked)
    if place == "maps/a.tif":
        assert plan(replace(asked, save_maps=False))


@pytest.mark.parametrize("way", ["overwritten", "made again"])
def test_no_table_and_no_maps_of_earlier_labels_stay_beside_new_ones(job: FolderJob, way: str) -> None:
    run(replace(job, tables="each", save_maps=True))
    n_before = len(rows(job))
    # Where all of it is wanted that is there, nothing is said.
    assert not any("earlier" in text for text in run(replace(job, tables="each", save_maps=True, overwrite=True)))
    if way == "made again":
        (job.results / "a.tif").unlink()
        (job.results / "recipes" / "a.json").unlink()
        with pytest.raises(DataError, match=r"a\.tif \(and a\.csv\) exists already"):
            plan(job)
    fewer = replace(job, changes=job.changes | {"drop_border_objects": True}, **{_allowing(way): True})
    said = run(fewer)
    assert "a.csv was of earlier labels; it is written anew." in said
    assert "maps/a.tif was of earlier labels; it is deleted." in said
    assert not (job.results / "maps" / "a.tif").exists()
    labels = read_image(job.results / "a.tif", labels=True).array
    found = [(int(row["label"]), int(row["size"])) for row in rows(job)]
    assert found == [(number, np.count_nonzero(labels == number)) for number in range(1, labels.max() + 1)]
    assert len(found) < n_before


def _allowing(way: str) -> str:
    return "overwrite" if way == "overwritten" else "resume"


def test_maps_of_the_same_model_and_settings_stay_where_a_run_goes_on(job: FolderJob) -> None:
    run(replace(job, save_maps=True))
    (job.results / "a.tif").unlink()
    assert not any("earlier" in text for text in run(replace(job, resume=True)))
    assert (job.results / "maps" / "a.tif").exists()


@pytest.mark.parametrize("table", ["my notes", "label,score,size\n1,0.9,20\n", ""])
def test_files_of_the_user_stay_as_they_are(job: FolderJob, table: str) -> None:
    (job.results / "maps").mkdir(parents=True)
    (job.results / "a.csv").write_text(table)
    write_image(job.results / "maps" / "a.tif", np.zeros((24, 32), np.uint8), "YX")
    mine = {path: path.read_bytes() for path in (job.results / "a.csv", job.results / "maps" / "a.tif")}
    for asked in (job, replace(job, overwrite=True)):
        assert not any("earlier" in text for text in run(asked))
        assert {path: path.read_bytes() for path in mine} == mine
