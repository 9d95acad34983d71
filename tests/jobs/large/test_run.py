"""A large image in, labels in a store out; whatever stops a run, the next one goes on."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from large_steps import blobs, labels_of, same_but_for_numbers, stop_after, write_store

from embedseg_napari import load_model, predict_large
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.errors import AlreadyExists, DataError, SettingsError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.ngff import add_notes, names_of_labels
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.large.run_folder import RunFolder
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.large.plan import LargeJob
from embedseg_napari.jobs.large.run import BlockFinished, BlocksStarted, Finishing
from embedseg_napari.jobs.large.run import predict_large as run

MODEL = "nuclei-2d"


def test_labels_and_table(store):
    result = predict_large(store, MODEL, block=64, device="cpu", precision="float32", progress=False)
    image = blobs((100, 250), 40, radius=(4.0, 7.0))
    whole = load_model(MODEL, device="cpu").predict(image, "YX", precision="float32", progress=False)
    assert result.n_blocks == 8
    assert len(whole.scores) > 20
    assert same_but_for_numbers(labels_of(store), whole.labels)
    with result.table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == list(range(1, result.n_objects + 1))
    labels = labels_of(store)
    for row in rows[::10]:
        at = np.argwhere(labels == int(row["label"]))
        assert len(at) == int(row["size"])
        assert at.min(0).tolist() == [int(row["first_y"]), int(row["first_x"])]
        assert at.max(0).tolist() == [int(row["last_y"]), int(row["last_x"])]
        assert np.allclose(at.mean(0) * 0.5, [float(row["centroid_y_um"]), float(row["centroid_x_um"])], atol=1e-3)
        assert float(row["size_um2"]) == pytest.approx(len(at) / 4)


def test_chunks_that_are_not_there_are_counted(job, store):
    chunk = next(path for path in sorted((store / "0").rglob("*")) if path.is_file() and path.name.isdigit())
    chunk.unlink()
    events = []
    drain(run(replace(job, part=(1, 8)), never), events.append)
    assert any("1 of its" in event.text for event in events if isinstance(event, Message))


def test_images_beside_the_first_are_told(job, store, tmp_path):
    for name in ("0", "1"):
        shutil.copytree(store, tmp_path / "all.zarr" / name)
    (tmp_path / "all.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    events = []
    drain(run(replace(job, image=tmp_path / "all.zarr", part=(1, 8)), never), events.append)
    words = [event.text for event in events if isinstance(event, Message) and event.level == "warning"]
    assert words == [f"{tmp_path / 'all.zarr'}: holds 2 images; the first, 0, is read; name another by its path."]


def test_a_stopped_run_goes_on(job, store):
    listener, should_stop = stop_after(3)
    stopped = drain(run(job, should_stop), listener)
    assert stopped.stopped
    assert stopped.n_missing == 5
    told = []
    read_image(store, labels=True, say=told.append)
    assert "is not complete" in told[0]
    events = []
    done = drain(run(job, never), events.append)
    assert not done.stopped
    assert next(event for event in events if isinstance(event, BlocksStarted)).n_done == 3
    assert sum(isinstance(event, BlockFinished) for event in events) == 5
    in_one_go = drain(run(replace(job, name="other"), never))
    assert in_one_go.n_objects == done.n_objects
    assert np.array_equal(labels_of(store), labels_of(store, "other"))
    assert not (store / "labels" / ".embedseg.run").exists()
    told.clear()
    read_image(store / "labels" / "embedseg", labels=True, say=told.append)
    assert told == []
    again = drain(run(job, never))
    assert (again.n_objects, again.seams) == (done.n_objects, done.seams)
    with pytest.raises(AlreadyExists, match="another model or other settings"):
        drain(run(replace(job, block=72), never))
    assert drain(run(replace(job, block=72, overwrite=True), never)).n_objects == done.n_objects


def test_what_a_model_found_is_no_truth_unnoticed(job, store):
    drain(run(job, never))
    told = []
    load_folder(store, tell=lambda where, words: told.append(words))
    assert any("are what a model found" in words for words in told)
    told.clear()
    load_folder(store, labels="embedseg", tell=lambda where, words: told.append(words))
    add_notes(store / "labels" / "embedseg", changed="2026-01-01")
    load_folder(store, tell=lambda where, words: told.append(words))
    assert not any("are what a model found" in words for words in told)


def test_blocks_near_the_camera_come_first_and_show_their_labels(job, store):
    seen = []

    def listener(event):
        if isinstance(event, BlockFinished):
            seen.append(event)

    viewed = replace(job, near=lambda: (90, 240), preview=True)
    drain(run(viewed, lambda: len(seen) >= 2), listener)
    assert seen[0].stop == (100, 250)
    labels = labels_of(store)
    assert labels[64:, 192:].any()
    assert not labels[:64, :128].any()
    drain(run(job, never))
    drain(run(replace(job, name="other"), never))
    assert np.array_equal(labels_of(store), labels_of(store, "other"))


def test_an_image_of_nothing_but_background(tmp_path):
    image = np.full((100, 250), 7, np.uint16)
    empty = write_store(tmp_path / "empty.ome.zarr", image)
    done = drain(run(LargeJob(empty, MODEL, "cpu", {"precision": "float32"}, block=64), never))
    assert (done.n_objects, done.n_background, done.is_finished) == (0, 8, True)
    assert not labels_of(empty).any()


def test_half_a_block_is_done_again(job, store):
    listener, should_stop = stop_after(3)
    drain(run(job, should_stop), listener)
    blocks = sorted((store / "labels" / ".embedseg.run" / "blocks").rglob("*.npz"))
    blocks[0].rename(blocks[0].with_suffix(".npz.part"))
    blocks[1].write_bytes(blocks[1].read_bytes()[:50])
    whole = blocks[2].read_bytes()
    blocks[2].write_bytes(whole[:60] + bytes(40) + whole[100:])
    with pytest.raises(DataError, match="delete it and run again"):
        drain(run(job, never))
    blocks[2].unlink()
    drain(run(job, never))
    drain(run(replace(job, name="other"), never))
    assert np.array_equal(labels_of(store), labels_of(store, "other"))


def test_labels_that_a_kill_left_out_of_the_list_are_listed(job, store):
    listener, should_stop = stop_after(1)
    drain(run(job, should_stop), listener)
    listed = store / "labels" / "zarr.json"
    listed.write_text(listed.read_text().replace('"embedseg"', ""))
    assert names_of_labels(store) == ()
    drain(run(job, never))
    assert names_of_labels(store) == ("embedseg",)


def test_a_full_disk_keeps_what_is_done(job, store, monkeypatch):
    save, saved, events = RunFolder.save, [], []

    def full(self, number, result):
        if len(saved) == 3:
            raise DataError("cannot be written (No space left on device)")
        saved.append(number)
        save(self, number, result)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "save", full)
        with pytest.raises(DataError, match="No space left"):
            drain(run(job, never), events.append)
    assert "3 of 8 blocks done and kept" in events[-1].text
    assert drain(run(job, never)).is_finished


def test_parts_and_finish(job, store):
    with pytest.raises(DataError, match=r"no part of these labels is done yet; run the parts"):
        drain(run(replace(job, finish=True), never))
    assert not (store / "labels").exists()
    drain(run(replace(job, part=(1, 2)), never))
    with pytest.raises(DataError, match="4 of 8 blocks not done"):
        drain(run(replace(job, finish=True), never))
    drain(run(replace(job, part=(2, 2)), never))
    done = drain(run(replace(job, finish=True), never))
    assert done.is_finished
    whole = drain(run(replace(job, name="other"), never))
    assert whole.n_objects == done.n_objects
    assert np.array_equal(labels_of(store), labels_of(store, "other"))


def test_other_settings_are_refused_and_overwriting_starts_anew(job):
    listener, should_stop = stop_after(2)
    drain(run(job, should_stop), listener)
    other = replace(job, changes={"precision": "float32", "seed_threshold": 0.6})
    with pytest.raises(DataError, match="another model or other settings"):
        drain(run(other, never))
    assert drain(run(replace(other, overwrite=True), never)).is_finished
    with pytest.raises(SettingsError, match="Parts go on"):
        drain(run(replace(job, overwrite=True, part=(1, 2)), never))


def test_a_region_of_a_channel_and_every_frame_by_itself(tmp_path):
    frames = np.stack([blobs((96, 120), 20, seed, (4.0, 7.0)) for seed in range(2)])
    image = np.stack([np.zeros_like(frames), frames], 1)
    store = write_store(tmp_path / "movie.ome.zarr", image, "TCYX")
    table = tmp_path / "objects.csv"
    result = predict_large(
        store, MODEL, channel=1, region=[(8, 96), (0, 112)], block=64, table=table, device="cpu", progress=False
    )
    labels = labels_of(store)
    assert labels.shape == (2, 96, 120)
    assert not labels[:, :8].any()
    assert not labels[:, :, 112:].any()
    assert len(np.unique(labels)) - 1 == result.n_objects > 10
    assert not set(np.unique(labels[0])) & set(np.unique(labels[1])) - {0}
    with table.open(encoding="utf-8") as file:
        assert {row["frame"] for row in csv.DictReader(file)} == {"0", "1"}


def test_a_table_as_parquet(job, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    result = drain(run(replace(job, table=tmp_path / "objects.parquet"), never))
    table = parquet.read_table(result.table)
    assert table.num_rows == result.n_objects
    with pytest.raises(DataError, match=r"\.csv or \.parquet"):
        drain(run(replace(job, table=tmp_path / "objects.xlsx"), never))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"region": ((0, 900), (0, 10))}, "not within the image"),
        ({"channel": 3}, "no channel 3"),
        ({"level": 2}, "no level 2"),
        ({"block": 60}, "multiples of 8"),
        ({"part": (1, 2), "workers": 2}, "by itself"),
        ({"name": "mine", "output": Path("new.ome.zarr")}, "own store only"),
        ({"model": "cells-phase-2d"}, "not done in blocks"),
        ({"model": "nuclei-3d"}, "3D"),
        ({"halo": (8, 8, 8)}, "one number"),
        ({"changes": {"tile_overlap": (32, 32)}}, "leave out --tile-overlap"),
    ],
)
def test_what_does_not_fit_is_told_before_any_work(job, store, changes, words):
    with pytest.raises(Exception, match=words):
        drain(run(replace(job, **changes), never))
    assert not (store / "labels").exists()


def test_two_programs_on_the_same_run_leave_the_final_labels(job, store):
    reference = drain(run(replace(job, name="alone"), never))
    shown = run(replace(job, preview=True), never)
    for event in shown:
        if isinstance(event, BlockFinished):
            break
    # While a viewer is at its blocks, another program does them all.
    other = drain(run(job, never))
    assert other.n_objects == reference.n_objects
    events = []
    assert drain(shown, events.append) == other
    assert any("another program has done the rest" in event.text for event in events if isinstance(event, Message))
    np.testing.assert_array_equal(labels_of(store), labels_of(store, "alone"))
    assert not (store / "labels" / ".embedseg.run").exists()


@pytest.mark.parametrize("is_through", [True, False])
def test_a_run_in_whose_place_another_was_begun_leaves_that_alone(job, store, is_through):
    other = replace(job, changes={"precision": "float32", "seed_threshold": 0.6})
    drain(run(replace(other, name="alone"), never))
    going = run(job, never)
    for event in going:
        if isinstance(event, BlockFinished):
            break
    listener, should_stop = stop_after(99 if is_through else 2)
    drain(run(replace(other, overwrite=True), should_stop), listener)
    events = []
    with pytest.raises(DataError, match="begun these labels anew"):
        drain(going, events.append)
    assert not any(isinstance(event, Message) for event in events)
    drain(run(other, never))
    np.testing.assert_array_equal(labels_of(store), labels_of(store, "alone"))
    assert not (store / "labels" / ".embedseg.run").exists()


def test_a_run_is_not_taken_away_while_its_labels_are_written(job, store):
    going = run(job, never)
    for event in going:
        if isinstance(event, Finishing):
            break
    other = replace(job, changes={"precision": "float32", "seed_threshold": 0.6}, overwrite=True)
    with pytest.raises(DataError, match="close it there first"):
        drain(run(other, never))
    assert drain(going).is_finished
    assert drain(run(other, never)).is_finished


def test_a_run_that_an_earlier_version_began_goes_on(job, store):
    listener, should_stop = stop_after(3)
    drain(run(job, should_stop), listener)
    folder = store / "labels" / ".embedseg.run"
    record = json.loads((folder / "run.json").read_text())
    of_run = folder / "blocks" / record.pop("token")
    for part in of_run.iterdir():
        part.rename(folder / "blocks" / part.name)
    of_run.rmdir()
    (folder / "run.json").write_text(json.dumps(record))
    events = []
    assert drain(run(job, never), events.append).is_finished
    assert next(event for event in events if isinstance(event, BlocksStarted)).n_done == 3


def test_a_name_that_labels_cannot_have_is_refused_before_any_work(job):
    events = []
    with pytest.raises(DataError, match="is no name for labels"):
        drain(run(replace(job, name="a b"), never), events.append)
    assert events == []


def test_yes_and_no_are_values_as_well(tmp_path):
    image = blobs((100, 130), 20, radius=(4.0, 7.0)) > 250
    found = []
    for name, kind in (("yes", bool), ("one", np.uint8)):
        store = write_store(tmp_path / f"{name}.ome.zarr", image.astype(kind))
        drain(run(LargeJob(store, MODEL, "cpu", {"precision": "float32"}, block=64), never))
        found.append(labels_of(store))
    assert found[0].any()
    np.testing.assert_array_equal(*found)


def test_labels_are_no_image(job, store):
    drain(run(job, never))
    with pytest.raises(DataError, match="is a label image; name the image"):
        drain(run(replace(job, image=store / "labels" / "embedseg"), never))


def test_a_name_with_a_slash_is_no_name(job):
    with pytest.raises(DataError, match="is no name for labels"):
        drain(run(replace(job, name="a/b"), never))


@pytest.mark.parametrize("is_complete", [True, False])
def test_an_image_that_was_changed_since_is_another(job, store, is_complete):
    import zarr

    listener, should_stop = stop_after(99 if is_complete else 3)
    drain(run(job, should_stop), listener)
    zarr.open_array(str(store / "0"), mode="r+")[...] = blobs((100, 250), 40, 1, radius=(4.0, 7.0))
    with pytest.raises(AlreadyExists, match="its image was changed since"):
        drain(run(job, never))


def test_chunks_that_were_copied_later_make_it_another_image(job, store, tmp_path):
    chunk = next(path for path in sorted((store / "0" / "c").rglob("*"), reverse=True) if path.is_file())
    away = chunk.rename(tmp_path / "away")
    drain(run(job, never))
    away.rename(chunk)
    with pytest.raises(AlreadyExists, match="its image was changed since"):
        drain(run(job, never))


def test_an_image_that_vanishes_is_no_background(job, store, tmp_path):
    place = tmp_path / "labels.ome.zarr"
    going = run(replace(job, output=place), never)
    for event in going:
        if isinstance(event, BlockFinished):
            break
    away = store.rename(tmp_path / "away")
    with pytest.raises(DataError, match="is no longer there"):
        drain(going)
    away.rename(store)
    drain(run(replace(job, output=place), never))
    drain(run(replace(job, name="undisturbed"), never))
    from embedseg_napari.core.files.in_parts import open_image

    np.testing.assert_array_equal(open_image(place)[...], labels_of(store, "undisturbed"))


def test_where_the_run_is_gone_nothing_is_left_at_its_place(job, store, tmp_path):
    going = run(job, never)
    for event in going:
        if isinstance(event, BlocksStarted):
            break
    (store / "labels").rename(tmp_path / "away")
    with pytest.raises(DataError, match="is no longer there, with what was done"):
        drain(going)
    assert not (store / "labels").exists()
