"""Images of files and folders: what is refused before any work, what fails, and what a stop leaves."""

from __future__ import annotations

import csv
import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from folder_steps import run
from PIL import Image
from store_steps import write_store

from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.events import Advice, FrameFinished, Message
from embedseg_napari.core.files.atomic import alone
from embedseg_napari.core.files.lazy_image import FramesOnDisk
from embedseg_napari.core.files.tiff import read_image, read_software, write_image, write_labels
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.runs import drain
from embedseg_napari.jobs.folder.joint_table import TABLE
from embedseg_napari.jobs.folder.plan import FolderJob, plan
from embedseg_napari.jobs.folder.segment_folder import (
    ImageFailed,
    ImageSaved,
    ImageSkipped,
    ImageStarted,
    segment_folder,
)
from embedseg_napari.jobs.object_table import object_table

if TYPE_CHECKING:
    from pathlib import Path


def test_files_and_folders_become_label_images(job: FolderJob, tmp_path: Path) -> None:
    write_image(tmp_path / "alone.tiff", np.eye(24, dtype=np.uint8), "YX")
    more = replace(job, inputs=(*job.inputs, tmp_path / "alone.tiff"), tables="together")
    assert [output.labels.name for output in plan(more)] == ["a.tif", "b.tif", "alone.tif"]
    events, result = run(more)
    assert (result.n_images, result.n_saved, result.failures, result.stopped) == (3, 3, (), False)
    assert sorted(path.name for path in job.results.iterdir()) == [
        "a.tif", "alone.tif", "b.tif", TABLE, "recipes", "report.html",
    ]  # fmt: skip
    assert read_image(job.results / "a.tif").spacing == pytest.approx((0.5, 0.5))
    assert sum(event.n_objects for event in events if isinstance(event, ImageSaved)) == result.n_objects > 0
    assert len((job.results / TABLE).read_text().splitlines()) == result.n_objects + 1


def test_other_models_are_tried_on_the_first_images_alone(job: FolderJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedseg_napari.jobs.folder.segment_folder.ADVISED", 1)
    told = [event for event in run(job)[0] if isinstance(event, Advice | ImageSaved)]
    assert [isinstance(event, Advice) for event in told] == [True, False, False]
    assert "No other scale or model is clearly better" in told[0].text


def test_a_folder_with_images_in_it_is_taken_too(job: FolderJob, tmp_path: Path) -> None:
    assert [output.image.name for output in plan(replace(job, inputs=(tmp_path,)))] == ["a.tif", "b.tif"]


def test_what_would_lose_data_is_refused_before_any_work(job: FolderJob, tmp_path: Path) -> None:
    images = job.inputs[0]
    with pytest.raises(DataError, match="would both become"):
        plan(replace(job, inputs=(images, images / "a.tif")))
    with pytest.raises(DataError, match="input image"):
        plan(replace(job, results=images, overwrite=True))
    job.results.mkdir()
    (job.results / TABLE).write_text("precious")
    assert plan(replace(job, tables="together"))
    (job.results / "a.tif").write_text("precious")
    (job.results / TABLE).write_text("image,label,score,size,center_x\na.tif,1,0.9,20,3\n")
    with pytest.raises(DataError, match=r"a\.tif \(and objects\.csv\) exists already"):
        run(replace(job, tables="together", model="no such model"))
    assert plan(replace(job, tables="together", overwrite=True))
    assert (job.results / "a.tif").read_text() == "precious"


def test_what_does_not_fit_the_model_is_found_before_the_first_image(job: FolderJob) -> None:
    with pytest.raises(SettingsError, match="2D"):
        run(replace(job, changes={"tile": (8, 64, 64)}))
    with pytest.raises(SettingsError, match="seeds"):
        run(replace(job, changes={"seeds": "local-maxima"}, model="no such model"))
    assert not job.results.exists()


def test_one_that_fails_does_not_end_the_others(job: FolderJob) -> None:
    (job.inputs[0] / "aa.tif").write_bytes(b"no image")
    write_image(job.inputs[0] / "volume.tif", np.zeros((9, 24, 24), np.uint8), "ZYX")
    events, result = run(job)
    assert [event.path.name for event in events if isinstance(event, ImageFailed)] == ["aa.tif", "volume.tif"]
    assert [failure.path.name for failure in result.failures] == ["aa.tif", "volume.tif"]
    assert all(failure.path.name in failure.reason for failure in result.failures)
    assert "name that axis T" in result.failures[1].reason
    assert (result.n_saved, result.n_left) == (2, 0)


def test_a_stop_keeps_what_is_done(job: FolderJob) -> None:
    seen: list[Any] = []
    run_ = segment_folder(replace(job, tables="together"), lambda: any(isinstance(e, ImageSaved) for e in seen))
    result = drain(run_, seen.append)
    assert (result.stopped, result.n_saved, result.n_left) == (True, 1, 1)
    assert sorted(path.name for path in job.results.iterdir()) == ["a.tif", TABLE, "recipes", "report.html"]


def test_a_stop_before_the_model_is_loaded_leaves_nothing(job: FolderJob) -> None:
    _, result = run(job, lambda: True)
    assert (result.stopped, result.n_saved) == (True, 0)
    assert not job.results.exists()


def test_goes_on_where_an_earlier_run_was_stopped(job: FolderJob) -> None:
    job = replace(job, tables="each")
    first: list[Any] = []
    assert drain(segment_folder(job, lambda: any(isinstance(one, ImageSaved) for one in first)), first.append).stopped
    done = {path.name: path.stat().st_mtime_ns for kind in ("tif", "csv") for path in job.results.glob(f"*.{kind}")}
    job = replace(job, resume=True)
    events, result = run(job)
    assert (result.n_saved + result.n_skipped, result.n_left, result.failures) == (2, 0, ())
    assert sum(isinstance(event, ImageSkipped) for event in events) == result.n_skipped == len(done) // 2
    names = ["a.csv", "a.tif", "b.csv", "b.tif", "recipes", "report.html"]
    assert sorted(path.name for path in job.results.iterdir()) == names
    assert all((job.results / name).stat().st_mtime_ns == when for name, when in done.items())
    assert run(job)[1].n_skipped == 2


def test_going_on_makes_again_what_is_damaged_or_lacks_its_table(job: FolderJob) -> None:
    job = replace(job, tables="each", resume=True)
    run(job)
    whole = {name: (job.results / name).read_bytes() for name in ("a.tif", "b.csv")}
    (job.results / "a.tif").write_bytes(whole["a.tif"][:-20])
    (job.results / "a.csv").unlink()
    (job.results / "b.csv").unlink()
    assert run(job)[1].n_saved == 2
    assert {name: (job.results / name).read_bytes() for name in whole} == whole


@pytest.mark.parametrize("kind", ["another threshold", "by hand", "no image"])
def test_going_on_leaves_what_others_made(job: FolderJob, kind: str) -> None:
    run(replace(job, inputs=(job.inputs[0] / "a.tif",)))
    target = job.results / "a.tif"
    if kind == "by hand":
        target.unlink()
        write_labels(target, np.ones((24, 24), int), "YX")
    elif kind == "no image":
        target.write_text("precious")
    before = target.read_bytes()
    changes = {"seed_threshold": 0.3} if kind == "another threshold" else {}
    result = run(replace(job, resume=True, changes=job.changes | changes))[1]
    assert (result.n_saved, result.n_skipped) == (1, 0)
    assert "a.tif: was not made with this model" in result.failures[0].reason
    assert target.read_bytes() == before


def test_going_on_takes_no_labels_of_another_image_of_the_same_name(job: FolderJob, tmp_path: Path) -> None:
    run(job)
    before = (job.results / "a.tif").read_bytes()
    for name, value in (("a", 2), ("b", 1)):
        write_image(tmp_path / "other" / f"{name}.tif", np.eye(24, dtype=np.uint8) * value, "YX", (0.5, 0.5), "um")
    other = replace(job, inputs=(tmp_path / "other",), resume=True)
    # A table that is missing changes nothing.
    for again in (other, replace(other, tables="each")):
        _, result = run(again)
        assert [failure.path.name for failure in result.failures] == ["a.tif"]
        assert "are labels of another image called a.tif" in result.failures[0].reason
        assert (job.results / "a.tif").read_bytes() == before
    # Recipes of early versions do not tell images apart.
    recipe = job.results / "recipes" / "a.json"
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | {"image": {"file": "a.tif"}}))
    assert run(other)[1].n_skipped == 2


def test_labels_and_tables_that_came_meanwhile_stay_together(job: FolderJob) -> None:
    job = replace(job, tables="each")
    theirs = {}
    for event in segment_folder(job, lambda: False):
        if isinstance(event, ImageStarted) and event.name == "b.tif":
            for path in (job.results / "b.tif", job.results / "b.csv"):
                path.write_text("theirs")
                theirs[path] = "theirs"
    assert {path: path.read_text() for path in theirs} == theirs
    assert (job.results / "a.csv").exists()


def test_settings_that_exclude_each_other_are_refused(job: FolderJob) -> None:
    with pytest.raises(SettingsError, match="cannot be continued"):
        plan(replace(job, resume=True, overwrite=True))


def test_a_pixel_size_of_other_axes_is_refused_before_the_first_image(job: FolderJob) -> None:
    with pytest.raises(DataError, match="axes YX"):
        run(replace(job, spacing=(1.0, 1.0, 1.0)))
    assert not job.results.exists()


def test_what_is_left_out_of_a_folder_is_named_and_counts_as_failed(job: FolderJob) -> None:
    images = job.inputs[0]
    Image.fromarray(np.eye(24, dtype=np.uint8)).save(images / "c.png")
    (images / "d.czi").write_bytes(b"whatever")
    (images / "e.tif").symlink_to(images / "nowhere.tif")
    (images / "notes.txt").touch()
    _, result = run(job)
    assert [failure.path.name for failure in result.failures] == ["d.czi", "e.tif"]
    assert "pip install bioio bioio-czi" in result.failures[0].reason
    assert (result.n_images, result.n_saved, result.n_left) == (5, 3, 0)
    assert read_image(job.results / "c.tif").array.shape == (24, 24)


def test_a_pixel_size_that_is_said_is_in_micrometres(job: FolderJob, tmp_path: Path) -> None:
    for name, unit in (("c", None), ("d", "nm")):
        write_image(tmp_path / "images" / f"{name}.tif", np.eye(24, dtype=np.uint8), "YX", (2.0, 2.0), unit)
    run(replace(job, spacing=(0.5, 0.25), save_maps=True))
    for name in ("a", "c", "d"):
        for path in (job.results / f"{name}.tif", job.results / "maps" / f"{name}.tif"):
            picture = read_image(path)
            assert (picture.spacing, picture.unit) == ((0.5, 0.25), "um"), path


def test_pixels_are_compared_in_one_unit(job: FolderJob, tmp_path: Path) -> None:
    model = load_model(job.model, "cpu")
    known = model.config.model_copy(update={"spacing": (0.5, 0.5), "spacing_unit": "um"})
    path = Model(known, model.network).save(tmp_path / "um.embedseg")
    for name, step in (("same", 500.0), ("other", 100.0)):
        write_image(tmp_path / f"{name}.ome.tif", np.eye(24, dtype=np.uint8), "YX", (step, step), "nm")
        events, _ = run(replace(job, inputs=(tmp_path / f"{name}.ome.tif",), results=tmp_path / name, model=path))
        said = [event.text for event in events if isinstance(event, Message)]
        assert any("pixels of 0.5 x 0.5 µm, these are 0.1 x 0.1" in text for text in said) == (name == "other")


def test_another_program_that_writes_for_long_is_waited_for(job: FolderJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedseg_napari.core.files.atomic.PATIENCE", 0.1)
    monkeypatch.setattr("embedseg_napari.core.files.atomic.LOOK", 0.05)
    job.results.mkdir()
    with alone(job.results):
        other = threading.Thread(target=lambda: run(job))
        other.start()
        time.sleep(1.0)
        assert not (job.results / "a.tif").exists()
    other.join(60)
    assert (job.results / "a.tif").exists()
    assert (job.results / "b.tif").exists()


def test_an_ome_tiff_becomes_one_and_a_movie_keeps_its_interval(job: FolderJob, tmp_path: Path) -> None:
    movie = np.stack([np.eye(24, dtype=np.uint8)] * 3)
    for name in ("m.ome.tif", "n.tif"):
        write_image(tmp_path / name, movie, "TYX", (0.5, 0.5), "um", interval=2.5)
    events, _ = run(replace(job, inputs=(tmp_path / "m.ome.tif", tmp_path / "n.tif")))
    for name, is_ome in (("m.ome.tif", True), ("n.tif", False)):
        with tifffile.TiffFile(job.results / name) as tif:
            assert tif.is_ome == is_ome
        picture = read_image(job.results / name)
        assert (picture.axes, picture.interval, picture.spacing) == ("TYX", 2.5, (0.5, 0.5))
    saved = [event.n_objects for event in events if isinstance(event, ImageSaved)]
    assert saved == [sum(len(np.unique(frame)) - 1 for frame in read_image(job.results / "n.tif").array)] * 2


def test_what_was_assumed_of_a_file_is_told(job: FolderJob, tmp_path: Path) -> None:
    for k in range(3):
        tifffile.imwrite(tmp_path / "a.tif", np.eye(24, dtype=np.uint8), append=k > 0)
    events, _ = run(replace(job, inputs=(tmp_path / "a.tif",)))
    assert any("3 images of one size" in event.text for event in events if isinstance(event, Message))
    assert read_image(job.results / "a.tif").array.shape == (3, 24, 24)


def test_frames_become_the_labels_and_the_table_of_the_whole(job: FolderJob, tmp_path: Path) -> None:
    movie = np.random.default_rng(0).integers(0, 200, (3, 24, 32)).astype(np.uint8)
    write_image(job.inputs[0] / "a.tif", movie, "TYX", (0.5, 0.5), "um", interval=30, overwrite=True)
    run(replace(job, inputs=(job.inputs[0] / "a.tif",), tables="each"))
    written = read_image(job.results / "a.tif", labels=True)
    expected = load_model(job.model).predict(movie, "TYX", **job.changes)
    assert expected.labels.max() > 3
    np.testing.assert_array_equal(written.array, expected.labels)
    assert (written.axes, written.array.dtype, written.interval) == ("TYX", np.uint16, 30)
    assert written.spacing == pytest.approx((0.5, 0.5))
    whole = tmp_path / "whole.tif"
    by = read_software(job.results / "a.tif")
    write_labels(whole, expected.labels, "TYX", (0.5, 0.5), "um", interval=30, keep_order=True, software=by)
    with tifffile.TiffFile(whole) as one, tifffile.TiffFile(job.results / "a.tif") as other:
        assert one.pages.first.description == other.pages.first.description
    rows = list(csv.DictReader((job.results / "a.csv").read_text().splitlines()))
    table = object_table(expected, "TYX", image="a.tif")
    assert [int(row["label"]) for row in rows] == table["label"].tolist()
    for name in ("frame", "size", "centroid_x"):
        assert [float(row[name]) for row in rows] == pytest.approx(table[name].tolist(), abs=1e-4)


@pytest.mark.parametrize("ending", [".tif", ".ome.zarr"])
def test_a_movie_is_never_in_memory_as_a_whole(
    job: FolderJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    movie = np.random.default_rng(0).integers(0, 200, (5, 2, 24, 32)).astype(np.uint8)
    path = tmp_path / f"movie{ending}"
    if ending == ".tif":
        write_image(path, movie, "TCYX")
    else:
        write_store(path, movie, "tcyx", chunk=32)
    assert isinstance(read_image(path, lazily=True).array, FramesOnDisk)
    expected = load_model(job.model).predict(movie.mean(1, dtype=np.float32), "TYX", **job.changes).labels

    def whole(*_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("All frames were read at once.")

    monkeypatch.setattr(FramesOnDisk, "__array__", whole)
    given = replace(job, inputs=(path,), channel="mean", tables="each", report=True)
    _, result = run(given)
    assert (result.n_saved, result.failures) == (1, ())
    assert "frame 3 of 5" in result.report.read_text()
    _, again = run(replace(given, resume=True))
    assert (again.n_skipped, again.failures) == (1, ())
    monkeypatch.undo()
    written = next(job.results.glob("movie*.tif"))
    np.testing.assert_array_equal(read_image(written).array, expected)


def test_a_damaged_frame_fails_the_movie_before_any_is_segmented(job: FolderJob, tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    write_image(path, np.random.default_rng(0).integers(0, 200, (5, 24, 32)).astype(np.uint8), "TYX")
    with tifffile.TiffFile(path) as tif:
        at, n = tif.pages[3].dataoffsets[0], tif.pages[3].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\x55" * n)
    events, result = run(replace(job, inputs=(path,)))
    assert "cannot be read as an image" in result.failures[0].reason
    assert not any(isinstance(event, FrameFinished) for event in events)
