"""Blocks find what one pass over the whole image finds, pixel for pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from large_steps import blob_model, blobs, numbered, record_for, run_blocks, same_but_for_numbers

from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.large.run_folder import RunFolder
from embedseg_napari.core.runs import drain

WHOLE = 4096


def in_one_piece(model, frames, **changes):
    """Labels T(Z)YX of an untiled pass."""
    settings = model.config.prediction.changed(changes | {"tile": (WHOLE,) * model.config.ndim})
    axes = "TCZYX" if model.config.ndim == 3 else "TCYX"
    found = drain(Predictor(model, settings).run(frames, axes))
    return found.labels


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"faint_seeds": 0.0, "margin_scale": 1.0},
        {"drop_border_objects": True},
        {"max_object_size": 120},
        {"seeds": "local_maxima"},
        {"tta": True},
        {"fill_holes": True, "faint_seeds": 0.0},
    ],
    ids=lambda settings: " ".join(settings) or "default",
)
def test_blocks_of_an_image(tmp_path, settings):
    model = blob_model(2, **settings)
    frames = blobs((205, 262), 180)[None, None]
    record = record_for(model, frames, (72, 96), (40, 40))
    folder = RunFolder(tmp_path)
    run_blocks(model, frames, record, folder)
    labels, numbering = numbered(record, folder)
    whole = in_one_piece(model, frames)
    assert whole.max() > 50
    assert same_but_for_numbers(labels, whole)
    assert labels.max() == numbering.n_objects == whole.max()
    seams = numbering.seams()
    assert seams.n_at_seams > 8
    assert seams.n_agreed == seams.n_at_seams
    assert (seams.n_orphans, seams.n_cut) == (0, 0)


@pytest.mark.parametrize(("shape", "n"), [((13, 66, 72), 50), ((1, 120, 130), 100)])
def test_blocks_of_a_volume_and_of_frames(tmp_path, shape, n):
    model = blob_model(3)
    frames = np.stack([blobs(shape, n, seed)[None] for seed in range(2)])
    record = record_for(model, frames, (16, 40, 40), (16, 24, 24))
    run_blocks(model, frames, record, RunFolder(tmp_path))
    labels, numbering = numbered(record, RunFolder(tmp_path))
    assert same_but_for_numbers(labels, in_one_piece(model, frames))
    assert numbering.seams().n_agreed == numbering.seams().n_at_seams > 3


def test_objects_larger_than_the_halo_widen_it(tmp_path):
    model = blob_model(2, margin_scale=3.0)
    frames = blobs((256, 256), 40, radius=(6.0, 9.0))[None, None]
    record = record_for(model, frames, (64, 64), (8, 8))
    run_blocks(model, frames, record, RunFolder(tmp_path))
    labels, _ = numbered(record, RunFolder(tmp_path))
    assert same_but_for_numbers(labels, in_one_piece(model, frames))


def test_without_a_halo_the_report_tells_and_no_object_vanishes(tmp_path):
    model = blob_model(2, faint_seeds=0.0)
    frames = blobs((256, 256), 300)[None, None]
    margin = (0, 0)
    record = record_for(model, frames, (64, 64), (0, 0), margin=margin)
    run_blocks(model, frames, record, RunFolder(tmp_path))
    labels, numbering = numbered(record, RunFolder(tmp_path))
    seams = numbering.seams()
    assert seams.n_agreed == seams.n_at_seams or seams.n_doubles or seams.n_cut
    assert len(np.unique(labels)) - 1 == numbering.n_objects
    assert math.isclose((labels > 0).mean(), (in_one_piece(model, frames) > 0).mean(), rel_tol=0.1)


def test_blocks_of_nothing_but_background_are_skipped(tmp_path):
    model = blob_model(2)
    frames = np.full((1, 1, 256, 512), 100, np.uint16)
    frames[0, 0, :, :160] = blobs((256, 160), 120)
    record = record_for(model, frames, (64, 64), (24, 24))
    folder = RunFolder(tmp_path)
    run_blocks(model, frames, record, folder)
    assert sum(map(folder.is_background, range(len(record.grid)))) >= 12
    labels, _ = numbered(record, folder)
    assert same_but_for_numbers(labels, in_one_piece(model, frames))
