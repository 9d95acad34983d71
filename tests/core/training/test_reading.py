"""Images that a training is given."""

from __future__ import annotations

import numpy as np

from embedseg_napari.core.data.on_disk import FromDisk
from embedseg_napari.core.training.reading import read_held_out, read_images


def test_arrays_held_out_share_no_name_with_those_trained_on():
    movie = [(np.random.default_rng(0).random((3, 20, 20)), np.ones((3, 20, 20), np.int32))]
    training, held_out = (read(movie, {"axes": "TYX"}, FromDisk()) for read in (read_images, read_held_out))
    assert len(training) == len(held_out) == 3
    assert not {one.name for one in training} & {one.name for one in held_out}
    assert not {one.origin for one in training} & {one.origin for one in held_out}
