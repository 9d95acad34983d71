"""The report of a folder: which images it tells of, where it goes, and what it never replaces."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.tiff import write_image
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.runs import drain
from embedseg_napari.jobs.folder import report as folder_report
from embedseg_napari.jobs.folder.plan import FolderJob
from embedseg_napari.jobs.folder.segment_folder import ImageSaved, segment_folder
from embedseg_napari.jobs.recipe import read_recipe

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("a", "b<i>", "c")


@pytest.fixture
def job(tmp_path: Path) -> FolderJob:
    """Images of a square, and one model that calls every pixel an object where thresholds let it."""
    for name in NAMES:
        image = np.zeros((24, 24), np.uint8)
        image[6:12, 6:12] = 90
        write_image(tmp_path / "images" / f"{name}.tif", image, "YX")
    (tmp_path / "images" / "broken.tif").write_bytes(b"no image")
    model = Model(ModelConfig(name="tiny"), BranchedERFNet(2, 1)).save(tmp_path / "tiny.embedseg")
    changes = {"seed_threshold": 0, "foreground_threshold": 0}
    return FolderJob((tmp_path / "images",), tmp_path / "out", model, "cpu", changes)


def run(job: FolderJob, should_stop: Any = lambda: False) -> tuple[list[Any], Any]:
    events: list[Any] = []
    return events, drain(segment_folder(job, should_stop), events.append)


def told(path: Path) -> dict[str, str]:
    """What the page says of each image, by its name."""
    articles = re.findall(r"<article><h3>(.*?)</h3>(.*?)</article>", path.read_text(encoding="utf-8"), re.DOTALL)
    return {name: re.sub("<svg.*?</svg>|<img[^>]*>", lambda found: found[0][:10], text) for name, text in articles}


def test_a_batch_writes_a_report_of_all_its_images(job: FolderJob) -> None:
    _, result = run(job)
    assert result.report == job.results / "report.html"
    found = told(result.report)
    assert list(found) == ["a.tif", "b&lt;i&gt;.tif", "c.tif"]
    text = result.report.read_text(encoding="utf-8")
    assert f"3 of 4 images segmented, {result.n_objects} objects; 1 failed." in text
    assert "<b>broken.tif</b>: holds text and no image" in text
    assert text.count("data:image/jpeg") == 3
    recipe = read_recipe(job.results / "a.tif")
    assert recipe is not None
    assert recipe["model"]["sha256"] in text
    assert "<pre>embedseg predict " in text


def test_one_image_has_a_report_only_if_it_is_asked_for(job: FolderJob, tmp_path: Path) -> None:
    one = replace(job, inputs=(tmp_path / "images" / "a.tif",))
    assert run(one)[1].report is None
    asked = replace(one, overwrite=True, report=True)
    assert run(asked)[1].report == job.results / "report.html"
    none = replace(job, overwrite=True, report=False)
    assert run(none)[1].report is None


def test_a_continued_run_reports_what_the_earlier_one_did(job: FolderJob, tmp_path: Path) -> None:
    seen: list[Any] = []
    first = drain(segment_folder(job, lambda: any(isinstance(e, ImageSaved) for e in seen)), seen.append)
    assert first.stopped
    before = told(first.report)
    assert list(before) == ["a.tif"]
    assert "Stopped: 3 images not segmented" in first.report.read_text(encoding="utf-8")
    _, result = run(replace(job, resume=True))
    assert (result.n_skipped, result.n_saved, result.report) == (1, 2, first.report)
    found = told(result.report)
    assert list(found) == ["a.tif", "b&lt;i&gt;.tif", "c.tif"]
    # The same facts, read again.
    assert found["a.tif"].replace("; segmented by an earlier run", "") == before["a.tif"]
    assert "segmented by an earlier run" in found["a.tif"]
    # A third time all are of earlier runs; one whose image is gone bad in the meantime keeps its place.
    (tmp_path / "images" / "c.tif").write_bytes(b"")
    recipe = job.results / "recipes" / "c.json"
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | {"image": {"sha256": sha256(b"").hexdigest()}}))
    _, result = run(replace(job, resume=True))
    assert list(told(result.report)) == list(found)
    assert "Not shown: " in told(result.report)["c.tif"]


def test_planes_are_outlined_and_reported_again(job: FolderJob) -> None:
    _, first = run(replace(job, planes=True))
    before = told(first.report)
    _, result = run(replace(job, planes=True, resume=True))
    assert result.n_skipped == 3
    after = told(result.report)
    assert {name: text.replace("; segmented by an earlier run", "") for name, text in after.items()} == before


def test_what_is_no_report_of_these_images_is_never_replaced(job: FolderJob, tmp_path: Path) -> None:
    job.results.mkdir()
    (job.results / "report.html").write_text("mine")
    assert run(job)[1].report == job.results / "report-2.html"
    # Its own is replaced where that was allowed.
    assert run(replace(job, overwrite=True))[1].report == job.results / "report-2.html"
    # Others went into the same folder, at the same time or before.
    write_image(tmp_path / "more" / "x.tif", np.eye(24, dtype=np.uint8), "YX")
    write_image(tmp_path / "more" / "y.tif", np.eye(24, dtype=np.uint8), "YX")
    other = replace(job, inputs=(tmp_path / "more",))
    assert run(replace(other, overwrite=True))[1].report == job.results / "report-3.html"
    assert (job.results / "report.html").read_text() == "mine"
    for path in (*job.results.glob("*.tif"), *job.results.glob("recipes/*")):
        path.unlink()
    assert run(job)[1].report == job.results / "report-4.html"


def test_a_folder_in_which_all_fail_has_none(job: FolderJob) -> None:
    _, result = run(replace(job, channel=3))
    assert (result.n_saved, result.report) == (0, None)
    assert not job.results.exists()


def test_an_image_that_cannot_be_drawn_is_listed_and_its_labels_stay(
    job: FolderJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no such <picture>")

    monkeypatch.setattr(folder_report, "thumbnail", broken)
    _, result = run(job)
    assert result.n_saved == 3
    assert "Not shown: no such &lt;picture&gt;" in told(result.report)["a.tif"]


def test_a_full_disk_for_temporary_files_costs_the_pictures_and_nothing_else(
    job: FolderJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder_report.tempfile, "TemporaryFile", full)
    _, result = run(job)
    assert (result.n_saved, len(result.failures)) == (3, 1)
    assert "No space left on device" in told(result.report)["a.tif"]
    assert "data:image" not in result.report.read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_told_and_ends_nothing(
    job: FolderJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        raise DataError(f"{path}: cannot be written (No space left on device).")

    monkeypatch.setattr(folder_report, "write_atomically", full)
    events, result = run(job)
    assert (result.n_saved, result.report) == (3, None)
    assert any(isinstance(e, Message) and "The report was not written: " in e.text for e in events)


def test_warnings_are_kept_with_the_labels_and_told(job: FolderJob, tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "blank.tif", np.full((24, 24), 7, np.uint8), "YX")
    usual = replace(job, changes={})
    _, result = run(usual)
    said = told(result.report)["blank.tif"]
    assert "The image is blank" in said
    recipe = read_recipe(job.results / "blank.tif")
    assert recipe is not None
    assert "The image is blank" in recipe["remarks"][0]
    _, result = run(replace(usual, resume=True))
    assert "The image is blank" in told(result.report)["blank.tif"]
