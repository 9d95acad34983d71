"""One table of all images of a folder: rows of other images stay, and each image has one set of rows."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.folder import joint_table
from embedseg_napari.jobs.folder.joint_table import TABLE
from embedseg_napari.jobs.folder.plan import FolderJob, plan
from embedseg_napari.jobs.folder.segment_folder import FolderResult, ImageSaved, segment_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def job(job: FolderJob) -> FolderJob:
    """One table of two images, of which there are many objects at the border."""
    for number, name in enumerate(("a", "b")):
        picture = np.random.default_rng(number).integers(0, 200, (24, 32)).astype(np.uint8)
        write_image(job.inputs[0] / f"{name}.tif", picture, "YX", overwrite=True)
    return replace(job, tables="together")


@pytest.fixture
def day_two(job: FolderJob, tmp_path: Path) -> FolderJob:
    """Other images, into the same folder."""
    picture = np.random.default_rng(2).integers(0, 200, (24, 32)).astype(np.uint8)
    write_image(tmp_path / "day2" / "c.tif", picture, "YX")
    return replace(job, inputs=(tmp_path / "day2",))


def fewer(job: FolderJob, **changes: Any) -> FolderJob:
    return replace(job, changes=job.changes | {"drop_border_objects": True}, **changes)


def run(job: FolderJob) -> tuple[list[str], FolderResult]:
    events: list[Any] = []
    result = drain(segment_folder(job, never), events.append)
    assert result.failures == ()
    return [event.text for event in events if isinstance(event, Message)], result


def listed(job: FolderJob, table: str = TABLE) -> list[tuple[str, str]]:
    return [(row["image"], row["label"]) for row in csv.DictReader((job.results / table).read_text().splitlines())]


def in_labels(job: FolderJob, *names: str) -> list[tuple[str, str]]:
    return [
        (f"{name}.tif", str(number))
        for name in names
        for number in range(1, read_image(job.results / f"{name}.tif", labels=True).array.max() + 1)
    ]


def test_images_of_another_day_are_added_unasked(job: FolderJob, day_two: FolderJob) -> None:
    run(job)
    before = (job.results / TABLE).read_text()
    said, result = run(day_two)
    assert result.n_kept == 2
    assert f"{TABLE} still lists 2 images not segmented now." in said
    assert listed(job) == in_labels(job, "a", "b", "c")
    assert (job.results / TABLE).read_text().startswith(before)
    # The same once more: one set of rows for each.
    for again in (day_two, job):
        run(replace(again, overwrite=True))
        assert listed(job) == in_labels(job, "a", "b", "c")
    said, result = run(replace(job, inputs=(*job.inputs, *day_two.inputs), overwrite=True))
    assert result.n_kept == 0
    assert not any(TABLE in text for text in said)
    assert listed(job) == in_labels(job, "a", "b", "c")


@pytest.mark.parametrize("end", ["stopped", "one fails"])
def test_images_that_were_not_reached_stay_with_their_labels(job: FolderJob, end: str) -> None:
    run(job)
    if end == "one fails":
        (job.inputs[0] / "b.tif").write_bytes(b"no image")
    seen: list[Any] = []
    again = segment_folder(
        fewer(job, overwrite=True), lambda: end == "stopped" and any(isinstance(one, ImageSaved) for one in seen)
    )
    result = drain(again, seen.append)
    assert (result.n_saved, result.n_kept) == (1, 1)
    assert listed(job) == in_labels(job, "a", "b")


def test_a_run_with_one_table_is_continued(job: FolderJob) -> None:
    seen: list[Any] = []
    assert drain(segment_folder(job, lambda: any(isinstance(one, ImageSaved) for one in seen)), seen.append).stopped
    resumed = replace(job, resume=True)
    said, result = run(resumed)
    assert (result.n_skipped, result.n_saved, result.n_kept) == (1, 1, 0)
    assert not any(TABLE in text for text in said)
    assert listed(job) == in_labels(job, "a", "b")
    whole = (job.results / TABLE).read_text()
    assert run(resumed)[1].n_skipped == 2
    # A killed run has written none, or not all rows; the labels are as they should be.
    labels = {name: (job.results / name).stat().st_mtime_ns for name in ("a.tif", "b.tif")}
    for left in ("", whole.split("b.tif")[0], whole.rsplit("b.tif", 1)[0]):
        (job.results / TABLE).write_text(left) if left else (job.results / TABLE).unlink()
        assert run(resumed)[1].n_saved == (1 if left else 2)
        assert (job.results / TABLE).read_text() == whole
    assert labels == {name: (job.results / name).stat().st_mtime_ns for name in labels}


def test_an_image_without_objects_is_done_without_rows(job: FolderJob) -> None:
    nothing = replace(job, changes={"seed_threshold": 1.0})
    run(nothing)
    assert listed(job) == []
    assert run(replace(nothing, resume=True))[1].n_skipped == 2


@pytest.mark.parametrize("tables", ["", "each"])
def test_no_table_of_all_images_stays_beside_new_labels(job: FolderJob, day_two: FolderJob, tables: Any) -> None:
    run(job)
    again = fewer(job, tables=tables, overwrite=True)
    said, _ = run(replace(again, inputs=(job.inputs[0] / "a.tif",)))
    assert f"{TABLE} was of earlier labels; it is written anew." in said
    assert f"{TABLE} still lists 1 image not segmented now." in said
    assert listed(job) == in_labels(job, "a", "b")
    # Whoever moved the labels away would have it beside others; images that it does not list may be added.
    for name in ("a.tif", "recipes/a.json", "a.csv"):
        (job.results / name).unlink(missing_ok=True)
    found = (job.results / TABLE).read_text()
    with pytest.raises(DataError, match=r"objects\.csv exists already"):
        plan(replace(again, overwrite=False, inputs=(job.inputs[0] / "a.tif",)))
    run(replace(day_two, tables=tables))
    assert (job.results / TABLE).read_text() == found


def test_rows_whose_labels_are_gone_go_only_where_files_are_replaced(job: FolderJob, day_two: FolderJob) -> None:
    run(job)
    (job.results / "a.tif").unlink()
    said, result = run(day_two)
    assert result.n_kept == 2
    said, result = run(replace(day_two, overwrite=True))
    assert result.n_kept == 1
    assert f"{TABLE} no longer lists 1 image whose labels are gone." in said
    assert listed(job) == in_labels(job, "b", "c")


@pytest.mark.parametrize(
    "theirs",
    ["my notes", "image,label,score,size,center_y,center_x,mine\n", "label,score,size,center_x\n", "cut short"],
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_table_that_is_not_as_written_here_stays(job: FolderJob, theirs: str, overwrite: bool) -> None:
    if theirs == "cut short":
        run(job)
        theirs = (job.results / TABLE).read_text()[:-30]
        for name in ("a", "b"):
            (job.results / f"{name}.tif").unlink()
            (job.results / "recipes" / f"{name}.json").unlink()
    job.results.mkdir(exist_ok=True)
    (job.results / TABLE).write_text(theirs)
    said, _ = run(replace(job, overwrite=overwrite))
    assert any("the table of all images is objects-2.csv" in text for text in said)
    assert (job.results / TABLE).read_text() == theirs
    run(fewer(job, overwrite=True))
    assert listed(job, "objects-2.csv") == in_labels(job, "a", "b")
    assert not (job.results / "objects-3.csv").exists()


def test_movies_and_images_share_it(job: FolderJob, day_two: FolderJob) -> None:
    run(job)
    table = job.results / TABLE
    table.write_text("image,frame,label,score,size,center_y,center_x\nfilm.tif,3,1,0.5,20,1,2\n")
    run(day_two)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert rows[0] == {
        "image": "film.tif", "frame": "3", "label": "1", "score": "0.5", "size": "20", "center_y": "1", "center_x": "2",
        "centroid_y": "", "centroid_x": "",
    }  # fmt: skip
    assert {row["frame"] for row in rows[1:]} == {""}
    assert all(row["centroid_x"] for row in rows[1:])


@pytest.mark.parametrize("tables", ["", "together", "each"])
def test_an_image_may_be_called_as_the_table(job: FolderJob, tables: Any) -> None:
    run(job)
    for name in ("objects", "d"):
        write_image(job.inputs[0].parent / "day2" / f"{name}.tif", np.eye(24, dtype=np.uint8), "YX")
    more = replace(job, inputs=(job.inputs[0].parent / "day2",), tables=tables)
    if tables == "each":
        with pytest.raises(DataError, match=r"objects\.csv exists already"):
            plan(more)
        (job.results / TABLE).unlink()
        run(more)
        run(fewer(more, overwrite=True))
        assert listed(job) == in_labels(job, "objects")
        return
    for asked in (more, fewer(more, overwrite=True)):
        run(asked)
        assert listed(job) == in_labels(job, "a", "b", *(("d", "objects") if tables else ()))


def test_a_table_that_cannot_be_written_anew_ends_no_run(job: FolderJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is open in another program."""
    run(job)
    before = (job.results / TABLE).read_text()

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise DataError(f"{path} is in use.")

    monkeypatch.setattr(joint_table, "write_text", refuse)
    said, _ = run(replace(job, tables="", overwrite=True))
    assert any("objects.csv is of earlier labels, and was not written anew" in text for text in said)
    with pytest.raises(DataError, match="in use"):
        run(replace(job, overwrite=True))
    assert (job.results / TABLE).read_text() == before


def lock_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another program have the table open, until the patch is undone."""
    real = joint_table.write_text

    def refuse(path: Path, *text: Any, **options: Any) -> None:
        if path.name == TABLE:
            raise DataError(f"{path} is in use.")
        real(path, *text, **options)

    monkeypatch.setattr(joint_table, "write_text", refuse)


def test_rows_of_a_table_that_is_in_use_go_beside_it_and_it_is_not_believed(
    job: FolderJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(job)
    before = (job.results / TABLE).read_text()
    lock_table(monkeypatch)
    wider = replace(job, changes=job.changes | {"margin_scale": 1.5}, overwrite=True)
    with pytest.raises(DataError, match=r"in use\. .*objects-2\.csv; put it in the place of objects\.csv"):
        run(wider)
    assert (job.results / TABLE).read_text() == before
    assert listed(job, "objects-2.csv") == in_labels(job, "a", "b")
    assert (job.results / "report.html").is_file()
    monkeypatch.undo()
    # The earlier table may have as many rows; they are not of these labels.
    _, result = run(replace(wider, resume=True, overwrite=False))
    assert (result.n_skipped, result.n_saved) == (2, 0)
    assert (job.results / TABLE).read_text() == (job.results / "objects-2.csv").read_text()
    (job.results / "objects-2.csv").unlink()
    (job.results / TABLE).write_text(before)
    labels = (job.results / "a.tif").stat().st_mtime
    os.utime(job.results / TABLE, (labels - 10, labels - 10))
    _, result = run(replace(wider, resume=True, overwrite=False))
    assert (result.n_skipped, result.n_saved) == (0, 2)


def test_an_image_that_became_empty_while_a_table_was_in_use_loses_its_rows_once_it_is_free(
    job: FolderJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(job)
    rows = list(csv.DictReader((job.results / TABLE).read_text().splitlines()))
    surest = {name: max(float(row["score"]) for row in rows if row["image"] == f"{name}.tif") for name in "ab"}
    kept, emptied = sorted("ab", key=lambda name: -surest[name])
    for threshold, names in (((surest[kept] + surest[emptied]) / 2, kept), (1.0, "")):
        surer = replace(job, changes=job.changes | {"seed_threshold": threshold, "faint_seeds": 0.0}, overwrite=True)
        with monkeypatch.context() as patched:
            lock_table(patched)
            with pytest.raises(DataError, match=r"in use\. .*objects-"):
                run(surer)
        assert in_labels(job, "a", "b") == in_labels(job, *names)
        _, result = run(replace(surer, resume=True, overwrite=False))
        assert (result.n_skipped, result.n_saved) == (2, 0)
        assert listed(job) == in_labels(job, *names)


def test_while_a_table_is_in_use_nothing_is_segmented_twice_and_one_table_grows_beside_it(
    job: FolderJob, day_two: FolderJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(job)
    before = (job.results / TABLE).read_text()
    lock_table(monkeypatch)
    both = replace(job, inputs=(*job.inputs, *day_two.inputs), resume=True)
    labels = [job.results / f"{name}.tif" for name in "abc"]
    made: list[list[int]] = []
    for _ in range(2):
        with pytest.raises(DataError, match=r"in use\. .*objects-2\.csv; put it"):
            run(both)
        made.append([path.stat().st_mtime_ns for path in labels])
    assert made[0] == made[1]
    write_image(day_two.inputs[0] / "d.tif", np.eye(24, dtype=np.uint8), "YX")
    with pytest.raises(DataError, match=r"objects-2\.csv"):
        run(both)
    assert listed(job, "objects-2.csv") == in_labels(job, "a", "b", "c", "d")
    assert (job.results / TABLE).read_text() == before
    monkeypatch.undo()
    # Whoever has closed it has it whole.
    _, result = run(both)
    assert (result.n_skipped, result.n_saved, result.n_kept) == (4, 0, 0)
    assert listed(job) == in_labels(job, "a", "b", "c", "d")
    assert not (job.results / "objects-3.csv").exists()


def test_a_copied_folder_is_continued_whatever_the_times_of_its_files_are(job: FolderJob) -> None:
    run(job)
    os.utime(job.results / TABLE, (0, 0))
    assert run(replace(job, resume=True))[1].n_skipped == 2
    # A table of a movie beside them has more columns.
    text = (job.results / TABLE).read_text()
    rows = list(csv.DictReader(text.splitlines()))
    names = ["image", "frame", *list(rows[0])[1:]]
    with (job.results / TABLE).open("w", newline="") as file:
        table = csv.DictWriter(file, names, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows([*rows, {**rows[0], "image": "film.tif", "frame": 1}])
    os.utime(job.results / TABLE, (0, 0))
    assert run(replace(job, resume=True))[1].n_skipped == 2
    # Rows that were changed are made again.
    (job.results / TABLE).write_text(text.replace(rows[0]["score"], "0.1234"))
    os.utime(job.results / TABLE, (0, 0))
    assert run(replace(job, resume=True))[1].n_skipped < 2
