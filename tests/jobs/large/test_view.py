"""A part of a large image, seen as its blocks see it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zarr
from large_steps import blobs, write_store

from embedseg_napari.core.errors import AlreadyExists, SettingsError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.lazy_image import LazyImage
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.large.plan import LargeJob
from embedseg_napari.jobs.large.run import BlockFinished, BlocksShown
from embedseg_napari.jobs.large.run import predict_large as run
from embedseg_napari.jobs.large.view import segment_part

MODEL = "nuclei-2d"
IMAGE = blobs((100, 250), 40, radius=(4.0, 7.0))


@pytest.fixture
def job(tmp_path):
    store = write_store(tmp_path / "cells.ome.zarr", IMAGE)
    return LargeJob(store, MODEL, "cpu", {"precision": "float32"}, block=64)


def labels_of(job, name="embedseg"):
    return zarr.open_array(str(job.image / "labels" / name / "0"), mode="r")[...]


def same_objects(one, other):
    """Whether the objects of one image that do not touch its ends are those of the other."""
    ends = np.unique([*one[0], *one[-1], *one[:, 0][: one.shape[1]], *one[:, -1]])
    for label in np.setdiff1d(np.unique(one), [0, *ends]):
        there = np.unique(other[one == label])
        if len(there) != 1 or not np.array_equal(other == there[0], one == label):
            return False
    return True


def test_the_objects_of_a_part_are_those_of_the_whole(job):
    drain(run(job, never))
    part = drain(segment_part(job, (16, 64), (100, 200), 0, never))
    assert part.labels.shape == (84, 136)
    assert len(part.scores) > 5
    assert same_objects(part.labels, labels_of(job)[16:100, 64:200])
    again = part.recluster(seed_threshold=0.95)
    assert len(again.scores) <= len(part.scores)


def test_a_model_of_another_scale_is_refused_as_in_blocks(job):
    job = LargeJob(job.image, MODEL, "cpu", {"scale": 0.5})
    with pytest.raises(SettingsError, match="which is not done in blocks"):
        drain(segment_part(job, (0, 0), (64, 64), 0, never))


def as_array(image, path):
    return LazyImage(image, "YX", path, open_image, (64, 64))


def test_an_array_is_segmented_into_a_new_store_and_known_again(job, tmp_path):
    drain(run(job, never))
    place = tmp_path / "new.ome.zarr"
    image = as_array(IMAGE, tmp_path / "array")
    mine = LargeJob(image, MODEL, "cpu", {"precision": "float32"}, block=64, output=place)
    done = drain(run(mine, never))
    assert done.labels == place
    np.testing.assert_array_equal(zarr.open_array(str(place / "0"), mode="r")[...], labels_of(job))
    assert drain(run(mine, never)).n_objects == done.n_objects
    other = as_array(IMAGE[::-1].copy(), tmp_path / "array")
    with pytest.raises(AlreadyExists, match="another model or other settings"):
        drain(run(LargeJob(other, MODEL, "cpu", {"precision": "float32"}, block=64, output=place), never))
    with pytest.raises(SettingsError, match="need the file of an image"):
        drain(run(LargeJob(image, MODEL, "cpu", {}, output=place, workers=2), never))


def test_blocks_that_others_did_are_shown_when_a_viewer_goes_on(job):
    seen = []
    drain(run(job, lambda: len(seen) >= 3), lambda e: seen.append(e) if isinstance(e, BlockFinished) else None)
    assert not labels_of(job).any()
    events = []
    viewed = replace(job, preview=True)
    drain(run(viewed, lambda: any(isinstance(e, BlockFinished) for e in events)), events.append)
    assert [e.n_blocks for e in events if isinstance(e, BlocksShown)]
    assert labels_of(job)[:64, :128].any()
