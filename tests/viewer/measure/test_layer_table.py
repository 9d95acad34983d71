"""What is known of a layer's objects goes with those that are as they were found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyqtgraph")

from measure_steps import measure

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.inference.added_region import Placed, add_region
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.viewer import provenance
from embedseg_napari.viewer.layers import FOUND, RESULT


def segmentation(labels: np.ndarray, scores: list[float], margin: float) -> Segmentation:
    """What a run found."""
    maps = EmbeddingMaps(
        np.zeros((2, *labels.shape), np.float32),
        np.full((2, *labels.shape), margin, np.float32),
        np.zeros(labels.shape, np.float32),
    )
    centers = np.array([np.argwhere(labels == i + 1).mean(0) for i in range(len(scores))], np.float32)
    return Segmentation(labels, centers, np.array(scores), PredictionConfig(), kept_maps=maps)


def known(table: pd.DataFrame, name: str) -> list[float]:
    """A column, of the objects alone."""
    return pd.DataFrame(table).dropna(subset="num_pixels")[name].tolist()


def test_a_stroke_takes_score_and_margin_from_its_object_alone(panel, viewer, qtbot, tmp_path) -> None:
    found = np.array([[0, 1, 1, 3], [2, 2, 0, 3]], np.int32)
    labels = viewer.add_labels(found.copy(), name="image labels", metadata={RESULT: FOUND})
    labels.features = pd.DataFrame({"index": [1, 2, 3], "score": [0.9, 0.7, 0.8], "size": [2, 2, 2]})
    provenance.remember(labels, segmentation(found, [0.9, 0.7, 0.8], 2), tmp_path / "m.embedseg")
    measure(panel, qtbot)
    assert panel.table["score"].tolist() == [0.9, 0.7, 0.8]
    assert panel.table["margin_px"].tolist() == [2, 2, 2]
    labels.brush_size = 1
    labels.paint((1, 2), 2)
    measure(panel, qtbot)
    np.testing.assert_array_equal(panel.table["score"], [0.9, np.nan, 0.8])
    for name, values in (("score", [0.9, np.nan, 0.8]), ("margin_px", [2, np.nan, 2])):
        np.testing.assert_array_equal(known(labels.features, name), values)
    # Nothing is as it was found.
    labels.data = np.roll(found, 1, axis=1)
    measure(panel, qtbot)
    assert not {"score", "margin_px"} & {*panel.table, *labels.features}
    labels.data = found.copy()
    measure(panel, qtbot)
    assert known(labels.features, "score") == [0.9, 0.7, 0.8]


def test_a_region_that_was_segmented_anew_leaves_the_others_theirs(panel, viewer, qtbot, tmp_path) -> None:
    old, new = np.zeros((6, 12), np.int32), np.zeros((6, 6), np.int32)
    old[1:4, 1:4], old[1:4, 8:11], new[1:5, 2:5] = 1, 2, 1
    before = Placed(segmentation(old, [0.9, 0.7], 2), (0, 0))
    part = Placed(segmentation(new, [0.8], 3), (0, 6))
    both = add_region(before, part)
    labels = viewer.add_labels(both.segmentation.labels.copy(), name="image labels", metadata={RESULT: FOUND})
    provenance.remember(labels, both.segmentation, tmp_path / "m.embedseg", (before, part, both))
    measure(panel, qtbot)
    np.testing.assert_allclose(panel.table["score"], [0.9, 0.8])
    assert panel.table["margin_px"].tolist() == [2, 3]
    assert provenance.maps_of(labels) is None


def test_scores_of_a_table_go_with_objects_of_another_size(panel, viewer, qtbot) -> None:
    labels = viewer.add_labels(np.array([[0, 4, 4], [2, 2, 9]]), name="objects")
    labels.features = pd.DataFrame({"index": [2, 4], "score": [0.9, 0.8], "size": [2, 2]})
    labels.brush_size = 1
    labels.paint((0, 0), 4)
    for _ in range(2):
        measure(panel, qtbot)
        np.testing.assert_array_equal(known(labels.features, "score"), [0.9, np.nan, np.nan])
    labels.brush_size = 1
    labels.paint((1, 0), 0)
    measure(panel, qtbot)
    assert np.isnan(known(labels.features, "score")).all()
