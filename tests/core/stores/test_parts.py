"""Parts of a label image: written in all resolutions as the whole is, and put back only where nobody changed them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from store_steps import write_store

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.runs import never
from embedseg_napari.core.stores.labels import create_labels
from embedseg_napari.core.stores.parts import WrittenPart, change_part, numbers_now, with_objects, write_part
from embedseg_napari.core.stores.pyramid import build_pyramid

SHAPE = (150, 203)


@pytest.fixture(params=["0.4", "0.5"])
def store(tmp_path, request):
    path = write_store(tmp_path / "cells.ome.zarr", np.ones(SHAPE, np.uint16), "yx", request.param, levels=3)
    return create_labels(path, open_image(path), name="cells", block=(64, 64))


def test_levels_of_parts_are_those_of_the_whole(store):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, SHAPE).astype(np.uint32)
    for y in range(0, 150, 37):
        for x in range(0, 203, 45):
            write_part(store, (y, x), labels[y : y + 37, x : x + 45])
    levels = [np.asarray(store.array(level)[...]) for level in range(3)]
    np.testing.assert_array_equal(levels[0], labels)
    list(build_pyramid(store))
    for level, part in enumerate(levels):
        np.testing.assert_array_equal(np.asarray(store.array(level)[...]), part)


def describe(store, steps) -> None:
    """Let a label image say other pixel sizes of its levels, or none."""
    file = next(one for one in (store.folder / "zarr.json", store.folder / ".zattrs") if one.exists())
    said = json.loads(file.read_text())
    image = (said["attributes"]["ome"] if file.name == "zarr.json" else said)["multiscales"][0]
    for one, step in zip(image["datasets"], steps, strict=True):
        del one["coordinateTransformations"]
        if step is not None:
            one["coordinateTransformations"] = [{"type": "scale", "scale": [step] * 2}]
    file.write_text(json.dumps(said))


@pytest.mark.parametrize("steps", [(None, None, None), (0.5, 0.5, 0.5), (0, 0, 0)])
def test_levels_whose_pixel_sizes_are_not_said_are_written_by_their_shapes(store, steps):
    labels = np.random.default_rng(0).integers(0, 9, SHAPE).astype(np.uint32)
    write_part(store, (0, 0), labels)
    describe(store, steps)
    assert store.factors == ((1, 1), (2, 2), (4, 4))
    labels[33:90, 51:130] += 9
    write_part(store, (33, 51), labels[33:90, 51:130])
    for level in range(3):
        np.testing.assert_array_equal(np.asarray(store.array(level)[...]), labels[:: 2**level, :: 2**level])


def test_levels_that_are_smaller_by_no_whole_number_are_refused_before_anything_is_written(store):
    kept = store.array().metadata.zarr_format
    folder = str(store.folder / "1")
    zarr.create_array(folder, shape=(100, 135), dtype=np.uint32, chunks=(64, 64), zarr_format=kept, overwrite=True)
    with pytest.raises(DataError, match="not smaller by whole numbers"):
        write_part(store, (0, 0), np.ones((20, 20), np.uint32))
    assert not np.asarray(store.array()[...]).any()


def last(events) -> WrittenPart:
    return list(events)[-1]


def test_a_part_is_put_back_with_new_numbers(store):
    labels = np.zeros(SHAPE, np.uint32)
    labels[10:20, 10:20], labels[60:80, 60:80], labels[140:, 190:] = 4, 5, 90
    write_part(store, (0, 0), labels)
    before = labels[5:70, 5:70]
    after = before.astype(np.int32)
    after[after == 5] = 0
    after[30:34, 30:34], after[40:44, 30:34] = 90, 6
    written = last(change_part(store, (5, 5), before, after, never))
    assert (written.n_changed, written.n_new, written.n_reaching_out) == (1, 2, 1)
    now = np.asarray(store.array()[...])
    assert now[40, 40].tolist() == written.labels[35, 35].tolist() == 0
    # Numbers that stood for others elsewhere are not shared with these.
    assert {now[36, 36], now[46, 36]} == {91, 92}
    assert now[75, 75] == 5
    np.testing.assert_array_equal(np.asarray(store.array(1)[...]), now[::2, ::2])


def test_what_changed_meanwhile_is_not_overwritten(store):
    before = np.zeros((10, 10), np.uint32)
    write_part(store, (3, 3), np.full((2, 2), 7))
    with pytest.raises(DataError, match="was changed in this part since it was opened"):
        last(change_part(store, (0, 0), before, np.ones((10, 10), int), never))
    assert np.asarray(store.array()[...]).sum() == 28


@pytest.mark.parametrize(("kind", "full"), [(np.uint8, 255), (np.int16, 32_767), (np.uint64, 2**40 + 1)])
def test_numbers_that_labels_of_another_program_cannot_hold_are_refused(store, kind, full):
    zarr.create_array(str(store.folder / "0"), shape=SHAPE, dtype=kind, chunks=(64, 64), zarr_format=3, overwrite=True)
    array = store.array()
    labels = np.zeros(SHAPE, kind)
    labels[10:20, 10:20], labels[30:40, 30:40] = full, 1
    array[...] = labels
    after = labels.astype(np.int64)
    after[12, 12], after[100:110, 100:110] = 0, full + 1 if kind != np.uint64 else 0
    with pytest.raises(DataError, match=r"no numbers left|cannot be stored"):
        last(change_part(store, (0, 0), labels, after, never))
    np.testing.assert_array_equal(np.asarray(store.array()[...]), labels)


def test_accepted_objects_take_their_place():
    before = np.zeros((20, 30), np.uint32)
    before[2:8, 2:8], before[2:8, 10:16], before[12:18, 2:8] = 7, 8, 9
    labels = np.zeros((20, 30), int)
    # The same object; one that covers most of another; one that takes a row of a third; and one that is not wanted.
    labels[2:8, 2:8], labels[2:8, 10:15], labels[17:19, 2:8], labels[12:18, 20:26] = 1, 2, 3, 4
    after = with_objects(before, labels, [1, 2, 3])
    assert (after[2:8, 2:8] == 7).all()
    assert set(np.unique(after)) == {0, 7, 9, 10, 11}
    assert not after[2:8, 15].any()
    assert (after[12:17, 2:8] == 9).all()
    np.testing.assert_array_equal(with_objects(after, labels, [1, 2, 3]), after)


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_accepted_objects_lie_among_objects_of_large_numbers(kind):
    before = np.zeros((20, 30), kind)
    before[2:8, 2:8], before[2:8, 10:16] = 4_000_000_000, 5
    labels = np.zeros((20, 30), int)
    labels[2:8, 2:7] = 1
    after = with_objects(before, labels, [1])
    assert set(np.unique(after)) == {0, 5, 4_000_000_001}


def test_what_is_painted_while_a_part_is_written_keeps_to_its_object():
    after, written = np.array([[0, 3, 6, 8, 8]]), np.array([[0, 3, 11, 12, 12]])
    # The store does not know the latter two; one has a number that another object has got there.
    assert numbers_now([0, 3, 6, 8, 9, 12], after, written) == [0, 3, 11, 12, 9, 13]
    assert numbers_now([7], np.array([7]), np.array([7])) == [7]
