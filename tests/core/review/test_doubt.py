from __future__ import annotations

import numpy as np
import pytest

from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.config import ObjectSizes, PredictionConfig
from embedseg_napari.core.data.objects import measure_objects
from embedseg_napari.core.errors import SettingsError, Stopped
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.review.contested import contested_shares
from embedseg_napari.core.review.doubt import image_doubt, rank_doubt

SETTINGS = PredictionConfig(seed_threshold=0.5, foreground_threshold=0.5)


def maps_of(labels, seediness=0.95):
    """Maps in which every pixel of an object points at its centre, with margins of a few pixels."""
    table = measure_objects(labels, "centroid")
    rows = np.searchsorted(table.ids, labels)
    centers = np.round(table.centers)[np.minimum(rows, len(table.ids) - 1)]
    offsets = np.moveaxis(centers, -1, 0) - np.indices(labels.shape)
    offsets = np.where(labels > 0, offsets, 0).astype(np.float32)
    seed_map = np.where(labels > 0, seediness, 0.05).astype(np.float32)
    return EmbeddingMaps(offsets, np.full_like(offsets, 4.0), seed_map)


def squares(n=9, side=10, pitch=20, depth=0):
    """Squares (or cubes, `depth` planes high) in a grid; labels in array order, as clustering finds them."""
    rows = int(np.ceil(np.sqrt(n)))
    labels = np.zeros((rows * pitch, rows * pitch), np.int32)
    for index in range(n):
        y, x = (pitch * i + 5 for i in divmod(index, rows))
        labels[y : y + side, x : x + side] = index + 1
    return np.pad(np.repeat(labels[None], depth, 0), ((2, 2), (0, 0), (0, 0))) if depth else labels


def segmented(labels, seediness=0.95):
    return Segmentation.collect(maps_of(labels, seediness), SETTINGS)


def of_label(doubts, segmentation, labels, number):
    """The doubt about the object that `labels` calls `number`."""
    found = segmentation.labels[labels == number][0]
    return next(doubt for doubt in doubts if doubt.label == found)


def mean_others(doubts, one, reason):
    return np.mean([doubt.reasons[reason] for doubt in doubts if doubt is not one and doubt.kind == "object"])


@pytest.mark.parametrize("depth", [0, 6])
def test_weak_seed_comes_first(depth):
    labels = squares(depth=depth)
    segmentation = segmented(labels, np.where(labels == 5, 0.6, 0.95))
    doubts = rank_doubt(segmentation)
    assert len(doubts) == 9
    assert [doubt.score for doubt in doubts] == sorted((doubt.score for doubt in doubts), reverse=True)
    first = doubts[0]
    assert first is of_label(doubts, segmentation, labels, 5)
    assert first.reasons["seed"] == pytest.approx(0.8, abs=1e-5)
    assert first.reasons["body"] == pytest.approx(0.4, abs=1e-5)
    where = np.argwhere(labels == 5)
    assert np.abs(np.array(first.center) - where.mean(0)).max() <= 1
    assert [(s.start, s.stop) for s in first.box] == list(zip(where.min(0), where.max(0) + 1, strict=True))


def test_an_object_whose_centre_is_beyond_the_border_is_looked_at_where_it_is():
    labels = np.zeros((5, 20, 20), np.int32)
    labels[3:, 5:12, 5:12] = 1
    maps = maps_of(labels)
    maps.offsets[0][labels > 0] += 3
    segmentation = Segmentation.collect(maps, SETTINGS)
    assert segmentation.centers[0][0] > 5
    (doubt,) = rank_doubt(segmentation)
    assert doubt.center[0] == 4


@pytest.mark.parametrize("as_labels", [False, True])
def test_object_that_another_view_splits_comes_first(as_labels):
    labels = squares()
    other = labels.copy()
    other[(labels == 4) & (np.indices(labels.shape)[1] < 10)] = 10
    other[labels == 7] = 0
    segmentation = segmented(labels)
    doubts = rank_doubt(segmentation, [other if as_labels else maps_of(other), labels])
    split, lost = (of_label(doubts, segmentation, labels, number) for number in (4, 7))
    assert doubts[:2] == [lost, split]
    assert lost.reasons["views"] == pytest.approx(0.5)
    assert split.reasons["views"] == pytest.approx(0.25)
    assert all(doubt.reasons["views"] == 0 for doubt in doubts[2:])
    assert "views" not in rank_doubt(segmentation)[0].reasons


def test_sizes_are_compared_with_each_other_or_with_a_reference():
    labels = squares()
    labels[(labels == 3) & (np.indices(labels.shape)[0] > 6)] = 0
    segmentation = segmented(labels)
    doubts = rank_doubt(segmentation)
    assert doubts[0] is of_label(doubts, segmentation, labels, 3)
    assert doubts[0].reasons["size"] == 1
    assert mean_others(doubts, doubts[0], "size") == 0
    # Against a reference of objects as small as this one, the others are too large.
    small = ObjectSizes(n_objects=9, mean=(2.0, 10.0), std=(0.2, 1.0), mean_size=20.0)
    doubts = rank_doubt(segmentation, reference_sizes=small)
    third = of_label(doubts, segmentation, labels, 3)
    assert third.reasons["size"] < 0.1 < mean_others(doubts, third, "size")


def test_few_objects_say_nothing_about_sizes():
    labels = squares(3)
    labels[(labels == 3) & (np.indices(labels.shape)[0] > 26)] = 0
    assert {doubt.reasons["size"] for doubt in rank_doubt(segmented(labels))} == {0.0}


@pytest.mark.parametrize("depth", [0, 6])
def test_pixels_that_point_into_a_neighbour_are_contested(depth):
    labels = squares(depth=depth)
    maps = maps_of(labels)
    segmentation = Segmentation.collect(maps, SETTINGS)
    assert contested_shares(segmentation).tolist() == [0.0] * 9
    # A third of object 2 points into object 1, but stays its own.
    part = (labels == 2) & (np.indices(labels.shape)[-1] < 28)
    maps.offsets[-1][part] -= 20
    claimed = contested_shares(segmentation)
    row = segmentation.labels[labels == 1][0] - 1
    n_one, n_part = np.count_nonzero(labels == 1), np.count_nonzero(part)
    assert claimed[row] == pytest.approx(n_part / (n_one + n_part))
    assert np.delete(claimed, row).tolist() == [0.0] * 8


def test_pixels_inside_two_margins_are_contested_for_both():
    labels = np.zeros((20, 30), np.int32)
    labels[5:15, 5:10], labels[5:15, 10:15] = 1, 2
    # Objects' pixels point at x = 7 and 12, margins are 4: the first half also lies inside the second object's.
    centers, scores = np.array([[10, 7], [10, 10]], np.float32), np.ones(2, np.float32)
    assert contested_shares(Segmentation(labels, centers, scores, SETTINGS, (), maps_of(labels))).tolist() == [1, 0.5]
    centers[1] = 10, 12
    assert contested_shares(Segmentation(labels, centers, scores, SETTINGS, (), maps_of(labels))).tolist() == [0, 0]


@pytest.mark.parametrize("depth", [0, 6])
def test_foreground_without_an_object_is_missed(depth):
    labels = squares(depth=depth)
    truth = labels.copy()
    segmentation = segmented(labels)
    missed = (labels == 6).nonzero()
    # Object 6 lights up in the seed map, but no seed is strong enough; a rim around 2 is no object.
    maps = maps_of(truth)
    rim = np.indices(labels.shape)[-1] == np.max(np.nonzero(labels == 2)[-1]) + 1
    maps.seed_map[rim & (np.roll(labels, 1, -1) == 2)] = 0.45
    maps.seed_map[truth == 6] = 0.45
    segmentation = Segmentation.collect(maps, SETTINGS)
    found = [doubt for doubt in rank_doubt(segmentation) if doubt.kind == "missed"]
    assert len(found) == 1
    (one,) = found
    assert one.label == 0
    assert 0 < one.score < 1
    assert one.reasons["missed"] == pytest.approx(0.45, abs=1e-5)
    # The corners of what is found are rounded off.
    inside = np.zeros(labels.shape, bool)
    inside[one.pixels] = True
    assert inside[labels == 6].mean() > 0.8
    assert not inside[labels != 6].any()
    assert np.abs(np.array(one.center) - np.mean(missed, axis=1)).max() <= 0.5
    assert inside[tuple(map(int, one.center))]
    assert inside[one.box].sum() == inside.sum()


@pytest.mark.parametrize("depth", [0, 6])
@pytest.mark.parametrize("n_found", [9, 0])
def test_ground_that_a_model_knows_little_of_is_no_place_but_objects_in_it_are(depth, n_found):
    labels = squares(depth=depth)
    maps = maps_of(labels, np.where(labels <= n_found, 0.95, 0.35).astype(np.float32))
    maps.seed_map[labels == 0] = 0.35
    assert {doubt.kind for doubt in rank_doubt(Segmentation.collect(maps, SETTINGS))} <= {"object"}
    maps.seed_map[labels == 6] = 0.55
    settings = SETTINGS.model_copy(update={"seed_threshold": 0.7})
    missed = [doubt for doubt in rank_doubt(Segmentation.collect(maps, settings)) if doubt.kind == "missed"]
    assert len(missed) == 1
    assert (labels[missed[0].pixels] == 6).all()


def test_what_is_annotated_is_not_asked_again():
    labels = squares()
    maps = maps_of(labels)
    maps.seed_map[labels == 6] = 0.45
    segmentation = Segmentation.collect(maps, SETTINGS)
    annotation = np.zeros(labels.shape, np.int32)
    annotation[labels == 1] = 77
    annotation[labels == 2] = BACKGROUND
    annotation[labels == 6] = BACKGROUND
    annotation[(labels == 3) & (np.indices(labels.shape)[0] < 7)] = 78
    doubts = rank_doubt(segmentation, annotation=annotation)
    assert {doubt.kind for doubt in doubts} == {"object"}
    asked = {doubt.label for doubt in doubts}
    assert asked == {segmentation.labels[labels == number][0] for number in (3, 4, 5, 7, 8, 9)}


def test_more_doubtful_image_comes_first():
    labels = squares()
    sure, unsure = (rank_doubt(segmented(labels, seediness)) for seediness in (0.99, 0.6))
    assert 0 <= image_doubt(sure) < image_doubt(unsure) <= 1
    nothing = rank_doubt(Segmentation.collect(maps_of(labels, 0.1), SETTINGS))
    assert nothing == []
    assert image_doubt(sure) < image_doubt(nothing) < 1


def test_maps_are_needed():
    labels = squares()
    segmentation = segmented(labels)
    with pytest.raises(SettingsError, match="frame"):
        rank_doubt(Segmentation.stack([segmentation, segmentation]))
    with pytest.raises(SettingsError, match="keep_maps"):
        rank_doubt(Segmentation.collect(maps_of(labels), SETTINGS, keep_maps=False))


def test_clustering_of_views_can_be_stopped():
    labels = squares()
    with pytest.raises(Stopped):
        rank_doubt(segmented(labels), [maps_of(labels)], should_stop=lambda: True)


def test_what_is_left_out_on_request_is_not_missed():
    labels = squares()
    labels[:, :5] = np.where(np.any(labels[:, 5:15], axis=1)[:, None], labels[:, 5:6], 0)
    size = int((labels == 2).sum())
    found = segmented(labels)
    for given in ({"drop_border_objects": True}, {"max_object_size": size}):
        fewer = found.recluster(**given)
        assert len(fewer.scores) == 6
        assert {doubt.kind for doubt in rank_doubt(fewer)} == {"object"}
