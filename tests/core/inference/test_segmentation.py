from __future__ import annotations

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.axes import reorder
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import DataError, SettingsError, Stopped
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.model.model import load_model


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


@pytest.mark.parametrize(
    "stored",
    [
        {"margin_scale": 1.4, "faint_seeds": 0.1, "seed_threshold": 0.95, "min_object_size": 3},
        {"margin_scale": 0.7, "seeds": "local_maxima", "foreground_threshold": 0.6},
    ],
)
@pytest.mark.parametrize("ndim", [2, 3])
def test_cluster_and_recluster_give_the_labels_of_predict(blobs, pass_through, perfect_raw, ndim, stored) -> None:
    _, labels = blobs(ndim)
    model = pass_through(ndim)
    model.config = model.config.model_copy(update={"prediction": PredictionConfig(**stored)})
    raw = perfect_raw(labels)
    raw[-1] += np.random.default_rng(0).normal(0, 3, labels.shape)
    found = model.predict(raw)
    assert found.labels.max() > 0
    assert found.settings == model.config.prediction
    np.testing.assert_array_equal(es.cluster(found.maps, **model.config.prediction.clustering), found.labels)
    np.testing.assert_array_equal(found.recluster().labels, found.labels)
    # From other settings back to the stored ones.
    away = found.recluster(margin_scale=1.0, faint_seeds=0.0, seed_threshold=0.99, seeds="greedy")
    np.testing.assert_array_equal(away.recluster(**model.config.prediction.clustering).labels, found.labels)
    # All of these are settings of predict, too.
    bare = pass_through(ndim).predict(raw, **model.config.prediction.clustering)
    np.testing.assert_array_equal(bare.labels, found.labels)


def test_the_defaults_of_cluster_are_those_of_the_paper(segmented) -> None:
    _, found = segmented(2)
    np.testing.assert_array_equal(es.cluster(found.maps), es.cluster(found.maps, 0.9, 0.5, 0, "greedy"))
    np.testing.assert_array_equal(es.cluster(found.maps), es.cluster(found.maps, faint_seeds=0.0, margin_scale=1.0))


def test_a_typo_in_a_setting_is_one_sentence(segmented) -> None:
    _, found = segmented(2)
    with pytest.raises(SettingsError, match="'greedy' or 'local_maxima'"):
        found.recluster(seeds="local-maxima")


@pytest.mark.parametrize("axes", ["XY", "TXY", "YTX"])
def test_results_come_back_in_the_order_of_the_image(axes, blobs):
    model = load_model("nuclei-2d", device="cpu")
    image = blobs(2)[0][:, :48]
    plain = model.predict(image, "YX")
    frames = image[None] if "T" not in axes else np.stack([image, image[::-1]])
    array = reorder(frames, "TYX", axes) if "T" in axes else image.T
    found = model.predict(array, axes)
    assert found.labels.shape == array.shape
    first = found if "T" not in axes else found.frames[0]
    np.testing.assert_array_equal(reorder(first.labels, axes.replace("T", ""), "YX"), plain.labels)
    seeds = tuple(found.centers.round().astype(int).clip(0).T)
    inside = found.labels[seeds] > 0
    assert inside.mean() > 0.9
    # Centres of an object lie on the labels as they are laid out, before and after thresholds are moved.
    again = found.recluster()
    np.testing.assert_array_equal(again.labels, found.labels)
    np.testing.assert_array_equal(again.centers, found.centers)


@pytest.mark.parametrize("axes", ["XQ", "X", "ZYX", "TYX", "YY", 5, ("Y", "X")])
def test_axes_that_are_not_those_of_the_result_are_refused(segmented, axes) -> None:
    _, found = segmented(2)
    with pytest.raises(DataError, match="Axes"):
        found.turned(axes)
