"""Holes filled, objects at the border and large ones left out: of every image, frame and volume alike."""

from __future__ import annotations

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import SettingsError, Stopped


def disks(shape: tuple[int, ...], places: dict[tuple[int, ...], tuple[float, float]]) -> np.ndarray:
    """Rings around places, each (inner, outer radius); an inner radius of 0 makes a ball."""
    labels = np.zeros(shape, np.int32)
    grid = np.indices(shape)
    for label, (place, (inner, outer)) in enumerate(places.items(), 1):
        distance = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(grid, place, strict=True)))
        labels[(distance >= inner) & (distance < outer)] = label
    return labels


@pytest.fixture
def predicted(pass_through, perfect_raw):
    """Segmentation of an image that shows exactly these objects."""

    def run(labels: np.ndarray, **settings):
        return pass_through(labels.ndim).predict(perfect_raw(labels), **settings)

    return run


def sizes(found: es.Segmentation) -> list[int]:
    return np.bincount(found.labels.ravel())[1:].tolist()


SCENES = {
    "image": disks((40, 60), {(0, 10): (0, 6), (20, 20): (0, 5), (20, 40): (0, 9), (30, 57): (0, 5)}),
    "volume": disks((16, 30, 40), {(0, 10, 10): (0, 5), (8, 15, 20): (0, 4), (8, 15, 32): (0, 5)}),
}


@pytest.mark.parametrize("scene", SCENES)
def test_objects_at_the_border_of_the_image_are_left_out(predicted, scene) -> None:
    truth = SCENES[scene]
    cut = {int(v) for axis, n in enumerate(truth.shape) for at in (0, n - 1) for v in np.unique(truth.take(at, axis))}
    whole = [label for label in range(1, truth.max() + 1) if label not in cut]
    for found in (
        predicted(truth, drop_border_objects=True),
        predicted(truth).recluster(drop_border_objects=True),
        # In tiles: the border is the image's.
        predicted(truth, drop_border_objects=True, tile=16, tile_overlap=0),
    ):
        assert found.labels.max() == len(found.scores) == len(found.centers) == len(whole)
        for label, center in enumerate(found.centers, 1):
            true = int(truth[tuple(np.round(center).astype(int))])
            assert true in whole
            np.testing.assert_array_equal(found.labels == label, truth == true)


def test_a_volume_of_one_plane_has_no_border_along_z(predicted) -> None:
    truth = SCENES["image"][None]
    assert len(predicted(truth, drop_border_objects=True).scores) == 2


def test_the_largest_size_stands_beside_the_smallest(predicted) -> None:
    found = predicted(SCENES["image"])
    n = sorted(sizes(found))
    for given in ({"max_object_size": n[2]}, {"max_object_size": n[1], "min_object_size": n[0] - 1}):
        most, least = given["max_object_size"], given.get("min_object_size", 0)
        again = found.recluster(**given)
        assert sorted(sizes(again)) == [size for size in n if least < size <= most]
        assert again.labels.max() == len(again.scores)
    assert sizes(found.recluster(max_object_size=n[0]).recluster(max_object_size=0)) == sizes(found)
    with pytest.raises(SettingsError, match="max_object_size"):
        found.recluster(min_object_size=50, max_object_size=50)


@pytest.mark.parametrize("shape", [(48, 48), (40, 40, 40)])
def test_holes_are_filled_but_no_other_object_is_painted_over(predicted, shape) -> None:
    middle = tuple(n // 2 for n in shape)
    aside = (*middle[:-1], middle[-1] + 6)
    truth = disks(shape, {middle: (14, 18), aside: (2, 5)})
    found = predicted(truth, margin_scale=1.5)
    assert len(found.scores) == 2
    filled = found.recluster(fill_holes=True)
    outer, inner = (int(filled.labels[truth == label][0]) for label in (1, 2))
    was = truth > 0
    np.testing.assert_array_equal(filled.labels[was], found.labels[was])
    # The hole of the inner one is its own, the gap between both is the outer one's.
    np.testing.assert_array_equal(filled.labels == inner, disks(shape, {aside: (0, 5)}) > 0)
    np.testing.assert_array_equal(filled.labels > 0, disks(shape, {middle: (0, 18)}) > 0)
    assert outer != inner


def test_a_volume_of_one_plane_has_the_holes_of_an_image(predicted) -> None:
    truth = disks((48, 48), {(24, 24): (7, 10)})
    found = predicted(truth[None], margin_scale=3, fill_holes=True)
    np.testing.assert_array_equal(found.labels[0] > 0, disks((48, 48), {(24, 24): (0, 10)}) > 0)


def test_a_bay_that_the_border_of_the_image_closes_is_no_hole(predicted) -> None:
    truth = disks((30, 30), {(0, 15): (3, 7)})
    found = predicted(truth, margin_scale=3, fill_holes=True)
    np.testing.assert_array_equal(found.labels > 0, truth > 0)


def test_sizes_count_after_filling(predicted) -> None:
    truth = disks((48, 48), {(24, 24): (7, 10)})
    n = int((truth > 0).sum())
    assert predicted(truth, margin_scale=3, max_object_size=n).labels.max() == 1
    assert predicted(truth, margin_scale=3, max_object_size=n, fill_holes=True).labels.max() == 0


def test_numbers_of_a_time_lapse_stay_unique(pass_through, perfect_raw) -> None:
    truth = SCENES["image"]
    movie = np.stack([perfect_raw(truth), perfect_raw(np.flip(truth).copy()), perfect_raw(truth * (truth < 3))])
    found = pass_through(2).predict(movie, "TCYX")
    for again in (
        pass_through(2).predict(movie, "TCYX", drop_border_objects=True),
        found.recluster(drop_border_objects=True),
    ):
        assert [len(frame.scores) for frame in again.frames] == [2, 2, 1]
        np.testing.assert_array_equal(np.unique(again.labels), np.arange(6))
        assert len(again.scores) == len(again.centers) == 5


def test_nothing_left_is_told_with_the_reason(pass_through, perfect_raw) -> None:
    raw = perfect_raw(SCENES["image"] * (SCENES["image"] == 1))
    for image, axes in ((raw, "CYX"), (np.stack([raw] * 2), "TCYX")):
        said = []
        found = pass_through(2).predict(image, axes, drop_border_objects=True, advise=True, on_event=said.append)
        n = len(found.frames) or 1
        assert (len(found.scores), found.n_left_out) == (0, n)
        (text,) = (event.text for event in said if isinstance(event, es.Message) and event.level == "warning")
        assert "left out, for touching the border" in text
        assert found.recluster(drop_border_objects=False).n_left_out == 0


def test_all_of_it_is_off_unless_asked_for(predicted) -> None:
    truth = SCENES["image"]
    found = predicted(truth)
    assert len(found.scores) == truth.max()
    np.testing.assert_array_equal(es.cluster(found.maps), found.labels)
    given = {"drop_border_objects": True, "fill_holes": True, "max_object_size": 100}
    np.testing.assert_array_equal(es.cluster(found.maps, **given), predicted(truth, **given).labels)


def test_filling_can_be_stopped(predicted) -> None:
    found = predicted(SCENES["image"])
    answers = iter([False] * 4)
    with pytest.raises(Stopped):
        found.recluster(fill_holes=True, should_stop=lambda: next(answers, True))


def test_maps_without_pixels_have_no_holes() -> None:
    nothing = np.zeros((0, 5), np.float32)
    maps = es.EmbeddingMaps(np.stack([nothing, nothing]), np.stack([nothing, nothing]), nothing)
    assert es.cluster(maps, fill_holes=True, drop_border_objects=True, max_object_size=9).shape == (0, 5)


def test_a_largest_size_below_the_models_smallest_is_refused_with_where_that_comes_from():
    stored = PredictionConfig(min_object_size=90)
    with pytest.raises(SettingsError, match="the model drops those of 90 or fewer"):
        stored.changed({"max_object_size": 50})
    assert stored.changed({"max_object_size": 50, "min_object_size": 10}).max_object_size == 50
