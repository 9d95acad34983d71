from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import SettingsError, Stopped
from embedseg_napari.core.inference.segmentation import Segmentation


@pytest.fixture
def segmented(blobs, pass_through, perfect_raw):
    def run(ndim: int, **settings):
        _, labels = blobs(ndim)
        return labels, pass_through(ndim).predict(perfect_raw(labels), **settings)

    return run


def same_objects(found: np.ndarray, truth: np.ndarray) -> bool:
    """Equal up to the order of the labels."""
    pairs = np.unique(np.stack([found.ravel(), truth.ravel()]), axis=1)
    return (
        len(pairs.T) == len(np.unique(found)) == len(np.unique(truth))
        and ((pairs == 0).all(0) == (pairs == 0).any(0)).all()
    )


@pytest.mark.parametrize("ndim", [2, 3])
def test_perfect_maps_give_back_the_labels(segmented, ndim: int) -> None:
    labels, found = segmented(ndim)
    assert found.labels.dtype == np.int32
    assert same_objects(found.labels, labels)
    n = labels.max()
    assert found.centers.shape == (n, ndim)
    assert found.scores.shape == (n,)
    for i, center in enumerate(found.centers):
        members = np.argwhere(found.labels == i + 1)
        np.testing.assert_allclose(center, members.mean(0), atol=0.6)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-6)), rtol=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_recluster_changes_only_what_is_given(segmented, ndim: int) -> None:
    labels, found = segmented(ndim, seed_threshold=0.8, foreground_threshold=0.4)
    sizes = np.bincount(found.labels.ravel())[1:]
    limit = int(np.sort(sizes)[1])
    larger = found.recluster(min_object_size=limit)
    assert larger.labels.max() == (sizes > limit).sum() < labels.max()
    assert (larger.settings.seed_threshold, larger.settings.foreground_threshold) == (0.8, 0.4)
    assert larger.maps is found.maps
    assert np.array_equal(larger.recluster(min_object_size=0).labels, found.labels)
    assert found.recluster(seed_threshold=0.999).labels.max() == 0


def test_wrong_threshold_is_a_sentence(segmented) -> None:
    _, found = segmented(2)
    with pytest.raises(SettingsError, match="seed_threshold"):
        found.recluster(seed_threshold=1.5)


def test_recluster_can_be_stopped(segmented) -> None:
    _, found = segmented(2)
    with pytest.raises(Stopped):
        found.recluster(should_stop=lambda: True)


def test_time_lapse_reclusters_frame_by_frame(segmented) -> None:
    _, found = segmented(2)
    both = Segmentation.stack([found, found.recluster(seed_threshold=0.999)])
    assert both.labels.shape == (2, *found.labels.shape)
    again = both.recluster(seed_threshold=0.5)
    assert np.array_equal(again.labels[1], found.labels)
    assert [len(frame.scores) for frame in again.frames] == [len(found.scores)] * 2
    assert set(again.centers[:, 0]) == {0, 1}
    with pytest.raises(SettingsError, match="frames"):
        _ = both.maps


def test_maps_that_were_not_kept_are_a_sentence(segmented) -> None:
    _, found = segmented(2)
    without = Segmentation.collect(found.maps, PredictionConfig(), keep_maps=False)
    with pytest.raises(SettingsError, match="keep_maps"):
        without.recluster(seed_threshold=0.5)
