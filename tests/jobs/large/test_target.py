"""Labels and tables of runs over blocks: never in place of others unasked, and never named where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from large_steps import blobs, stop_after, write_store

from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.stores.labels import table_place
from embedseg_napari.jobs.large.run import BlockFinished
from embedseg_napari.jobs.large.run import predict_large as run
from embedseg_napari.jobs.large.target import Target


def test_labels_of_others_are_not_touched(job, store):
    place = store / "labels" / "embedseg"
    place.mkdir(parents=True)
    (place / "mine").write_text("hours of work")
    with pytest.raises(AlreadyExists, match=r"exists already; choose another name \(--name\) or --output"):
        drain(run(job, never))
    assert (place / "mine").read_text() == "hours of work"


def test_a_new_store_has_no_other_name_to_choose(job, tmp_path):
    output = tmp_path / "new.ome.zarr"
    drain(run(replace(job, output=output), never))
    other = replace(job, output=output, changes={"precision": "float32", "seed_threshold": 0.6})
    with pytest.raises(AlreadyExists, match=r"other settings.*; choose another --output, or allow"):
        drain(run(other, never))


@pytest.mark.parametrize("place", ["cells.ome.zarr", "other.ome.zarr", "bare.zarr", "plain.zarr", "."])
def test_images_and_other_things_are_never_replaced(job, store, tmp_path, place):
    write_store(tmp_path / "other.ome.zarr", blobs((40, 40), 3))
    write_store(tmp_path / "bare.zarr", blobs((40, 40), 3))
    (tmp_path / "bare.zarr" / "zarr.json").unlink()
    (tmp_path / "plain.zarr").mkdir()
    (tmp_path / "plain.zarr" / "thesis.txt").write_text("much work")
    before = sorted(tmp_path.rglob("*"))
    output = tmp_path / place if place != "." else tmp_path.with_suffix(".zarr")
    if place == ".":
        output.symlink_to(tmp_path)
    with pytest.raises(DataError, match="choose another"):
        drain(run(replace(job, output=output, overwrite=True), never))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_table_of_others_is_not_touched(job, tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("hours of work")
    with pytest.raises(AlreadyExists, match=r"mine.csv: exists already"):
        drain(run(replace(job, table=table), never))
    assert table.read_text() == "hours of work"


@pytest.mark.parametrize("goes_on", ["by parts", "after a stop"])
def test_a_table_of_others_is_not_touched_by_a_run_that_was_begun(job, tmp_path, goes_on):
    table = tmp_path / "mine.csv"
    table.write_text("hours of work")
    listener, should_stop = stop_after(2)
    if goes_on == "by parts":
        drain(run(replace(job, part=(1, 1)), never))
    else:
        drain(run(job, should_stop), listener)
    with pytest.raises(AlreadyExists, match=r"mine.csv: exists already"):
        drain(run(replace(job, table=table, finish=goes_on == "by parts"), never))
    assert table.read_text() == "hours of work"
    table.unlink()
    assert drain(run(replace(job, table=table), never)).table == table
    assert table.read_text().startswith("label,")


def test_a_table_that_appears_while_blocks_are_done_is_not_touched(job, tmp_path):
    going = run(replace(job, table=tmp_path / "mine.csv"), never)
    for event in going:
        if isinstance(event, BlockFinished):
            (tmp_path / "mine.csv").write_text("hours of work")
            break
    with pytest.raises(AlreadyExists, match=r"mine.csv: exists already"):
        drain(going)
    assert (tmp_path / "mine.csv").read_text() == "hours of work"
    assert drain(run(replace(job, table=tmp_path / "other.csv"), never)).is_finished


def test_a_run_replaces_the_table_that_it_wrote_before_a_kill(job, monkeypatch):
    with monkeypatch.context() as killed:
        killed.setattr(Target, "complete", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            drain(run(job, never))
    assert drain(run(job, never)).is_finished


def test_a_run_that_may_replace_a_table_may_do_so_when_it_goes_on(job):
    drain(run(job, never))
    other = replace(job, changes={"precision": "float32", "seed_threshold": 0.6})
    listener, should_stop = stop_after(2)
    drain(run(replace(other, overwrite=True), should_stop), listener)
    assert drain(run(other, never)).is_finished


def test_complete_labels_name_no_table_that_is_not_theirs(job, store, tmp_path):
    done = drain(run(job, never))
    with pytest.raises(AlreadyExists, match="table of its objects is not in"):
        drain(run(replace(job, table=tmp_path / "other.csv"), never))
    (tmp_path / "mine.csv").write_text("hours of work")
    with pytest.raises(AlreadyExists, match=r"mine.csv: exists already"):
        drain(run(replace(job, table=tmp_path / "mine.csv"), never))
    # The store and its table were moved together.
    (tmp_path / "moved").mkdir()
    for path in (store, done.table):
        path.rename(tmp_path / "moved" / path.name)
    moved = replace(job, image=tmp_path / "moved" / store.name)
    table = drain(run(moved, never)).table
    assert table == tmp_path / "moved" / done.table.name
    # Both were renamed.
    moved = replace(job, image=moved.image.rename(tmp_path / "moved" / "other.ome.zarr"))
    table = table.rename(table_place(moved.image, "embedseg"))
    assert drain(run(moved, never)).table == table
    table.unlink()
    with pytest.raises(AlreadyExists, match="table of its objects is not in"):
        drain(run(replace(moved, table=table), never))
    events = []
    assert drain(run(moved, never), events.append).table is None
    assert "no longer there" in events[-1].text
    assert drain(run(replace(moved, overwrite=True), never)).table.exists()


def test_the_table_of_complete_labels_is_found_where_it_was_written(job, store, tmp_path):
    table = drain(run(replace(job, table=tmp_path / "mine.csv"), never)).table
    assert drain(run(job, never)).table == table
    # What lies at the usual place is of others.
    table_place(store, "embedseg").write_text("hours of work")
    assert drain(run(job, never)).table == table


def test_the_table_of_labels_that_were_replaced_goes_with_them(job, store, tmp_path):
    usual = drain(run(job, never)).table
    before = usual.read_text()
    other = replace(job, changes={"precision": "float32", "seed_threshold": 0.97}, table=tmp_path / "mine.csv")
    drain(run(replace(other, overwrite=True), never))
    # Whoever measures the labels looks there.
    assert usual.read_text() == (tmp_path / "mine.csv").read_text() != before
    usual.write_text("hours of work")
    drain(run(replace(other, overwrite=True), never))
    assert usual.read_text() == "hours of work"
