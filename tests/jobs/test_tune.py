from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.errors import AlreadyExists
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.events import Message
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.model.model_file import read_model_config
from embedseg_napari.core.networks.erfnet import BranchedERFNet
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.tune import store_settings, tune


def test_the_scores_are_those_of_the_objects_shown(blobs) -> None:
    """Also where margins are scaled and faint seeds start objects."""
    _, labels = blobs(2)
    grid = np.indices(labels.shape, dtype=np.float32)
    seed_map = np.where(labels > 0, 0.7, 0.0).astype(np.float32)
    for label in range(1, labels.max() + 1):
        seed_map[tuple(np.argwhere(labels == label).mean(0).round().astype(int))] = 0.95 if label > 1 else 0.86
    maps = EmbeddingMaps(np.zeros_like(grid), np.full_like(grid, 3.0), seed_map)
    settings = PredictionConfig(margin_scale=1.5, faint_seeds=0.05)
    segmentation = Segmentation.collect(maps, settings)
    assert len(segmentation.scores) == labels.max()
    tuning = drain(tune([(segmentation, labels, None)], Path("model.embedseg"), lambda: False))
    shown = np.mean([row.ap for row in match(labels, segmentation.labels)])
    assert tuning.thresholds.score_of((0.9, 0.5)) == pytest.approx(shown)
    best = np.mean([row.ap for row in match(labels, tuning.segmentation.labels)])
    assert tuning.thresholds.score == pytest.approx(best)


def test_settings_replace_no_other_model_unasked_and_a_new_file_is_called_after_itself(tmp_path) -> None:
    source, other = (Model(ModelConfig(name=name), BranchedERFNet(2, 1)).save(tmp_path / name) for name in ("a", "b"))
    precious, changes = other.read_bytes(), {"seed_threshold": 0.6}
    for target in (other, other.with_suffix("")):
        with pytest.raises(AlreadyExists, match=r"b\.embedseg: exists already"):
            store_settings(source, target, changes)
    assert other.read_bytes() == precious
    for target, name, may_replace in ((source, "a", False), (tmp_path / "c", "c", False), (other, "b", True)):
        written = read_model_config(store_settings(source, target, changes, overwrite=may_replace))
        assert (written.name, written.prediction.seed_threshold) == (name, 0.6)


def faint(labels) -> Segmentation:
    """What was found of objects whose seeds are too faint for the usual threshold, and the maps of them."""
    grid = np.indices(labels.shape, dtype=np.float32)
    offsets = np.zeros_like(grid)
    for label in range(1, labels.max() + 1):
        inside = labels == label
        offsets[:, inside] = np.argwhere(inside).mean(0)[:, None] - grid[:, inside]
    seed_map = np.where(labels > 0, 0.75, 0.1).astype(np.float32)
    return Segmentation.collect(EmbeddingMaps(offsets, np.full_like(grid, 3.0), seed_map), PredictionConfig())


@pytest.mark.parametrize("ignored", [False, True])
def test_frames_that_nobody_has_labelled_are_left_out(blobs, ignored) -> None:
    _, labels = blobs(2)
    one, nothing = faint(labels), np.zeros_like(labels)
    alone = drain(tune([(one, labels, None)], Path("model.embedseg"), never)).thresholds
    assert alone.best != alone.start
    movie, truth = Segmentation.stack([one] * 4), np.stack([labels, *[nothing] * 3])
    unknown = np.broadcast_to(np.array([False, True, True, True])[:, None, None], truth.shape) if ignored else None
    said = []
    tuning = drain(tune([(movie, truth, unknown)], Path("model.embedseg"), never), said.append)
    assert (tuning.thresholds.best, tuning.thresholds.score) == (alone.best, alone.score)
    assert "3 of 4 frames are left out: they have no labels." in [one.text for one in said if isinstance(one, Message)]
    # What is left out of the search is found all the same.
    assert all(len(frame.scores) == labels.max() for frame in tuning.segmentation.frames)


def test_a_frame_of_which_somebody_has_said_that_nothing_is_there_counts(blobs) -> None:
    _, labels = blobs(2)
    movie, truth = Segmentation.stack([faint(labels)] * 2), np.stack([labels, np.zeros_like(labels)])
    left_out, counted = (
        drain(tune([(movie, truth, unknown)], Path("model.embedseg"), never)).thresholds
        for unknown in (None, np.zeros(truth.shape, bool))
    )
    assert (left_out.score, counted.score) == (1, 0.5)
