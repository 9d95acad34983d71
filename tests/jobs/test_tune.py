from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.runs import drain
from embedseg_napari.jobs.tune import tune


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
