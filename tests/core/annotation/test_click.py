"""An object under a click, found by maps or by the image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from embedseg_napari.core.annotation.click import Surroundings, latest_objects, maps_serve, object_under, sizes_of
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.errors import AnnotationError
from embedseg_napari.core.maps import EmbeddingMaps

RADIUS = 6


def discs(ndim: int) -> np.ndarray:
    """Three balls in a row, the second and third touching."""
    shape = (20,) * (ndim - 2) + (40, 60)
    grid = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for number, x in enumerate((10, 28, 40), 1):
        middle = (10,) * (ndim - 2) + (20, x)
        inside = sum((axis - at) ** 2 for axis, at in zip(grid, middle, strict=True)) <= RADIUS**2
        labels[inside & (labels == 0)] = number
    return labels


def perfect_maps(labels: np.ndarray) -> EmbeddingMaps:
    """Every pixel of an object points to its middle; seediness is greatest there."""
    offsets = np.zeros((labels.ndim, *labels.shape), np.float32)
    seed_map = np.zeros(labels.shape, np.float32)
    for number in range(1, labels.max() + 1):
        at = np.array(np.nonzero(labels == number))
        away = at.mean(1, keepdims=True) - at
        offsets[(slice(None), *at)] = away
        seed_map[tuple(at)] = 1 - 0.3 * np.linalg.norm(away, axis=0) / RADIUS
    return EmbeddingMaps(offsets, np.full_like(offsets, 3.0), seed_map)


def around(labels: np.ndarray, *, knows: bool = True, maps: EmbeddingMaps | None = None) -> Surroundings:
    image = 100.0 * (labels > 0) + np.random.default_rng(0).normal(0, 3, labels.shape)
    extent = (2 * RADIUS,) * labels.ndim
    return Surroundings(image[None], extent, maps=(maps or perfect_maps(labels)) if knows else None)


def line(*points: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(axis) for axis in zip(*points, strict=True))


def overlap(labels: np.ndarray, found, numbers: list[int]) -> float:
    mask = np.zeros(labels.shape, bool)
    mask[found.pixels] = True
    truth = np.isin(labels, numbers)
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_any_pixel_of_an_object_gives_the_object(ndim: int, knows: bool, number: int) -> None:
    labels = discs(ndim)
    places = np.argwhere(labels == number)
    for place in places[:: len(places) // 7]:
        found = object_under(around(labels, knows=knows), [line(tuple(place))])
        assert found.is_known == knows
        assert tuple(place) in set(zip(*found.pixels, strict=True))
        # Brightness and shape alone are sure of less, above all in a volume.
        assert overlap(labels, found, [number]) > (0.99 if knows else {2: 0.7, 3: 0.65}[ndim])


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_click_on_a_faint_rim_gives_the_object_and_not_a_crumb(ndim: int) -> None:
    labels = discs(ndim)
    maps = perfect_maps(labels)
    # The two outermost pixels to the left of the first ball are hardly seen.
    rim = tuple(int(i) for i in np.argwhere(labels == 1)[np.argwhere(labels == 1)[:, -1].argmin()])
    for x in (rim[-1], rim[-1] + 1):
        maps.seed_map[..., x] = 0.02
    found = object_under(around(labels, maps=maps), [line(rim)])
    assert found.is_known
    assert rim in set(zip(*found.pixels, strict=True))
    assert overlap(labels, found, [1]) > 0.8


def test_maps_that_know_nothing_leave_it_to_the_image() -> None:
    labels = discs(2)
    blank = EmbeddingMaps(
        *(np.zeros((2, *labels.shape), np.float32) for _ in range(2)), np.zeros(labels.shape, np.float32)
    )
    found = object_under(around(labels, maps=blank), [line((20, 12))])
    assert not found.is_known
    assert overlap(labels, found, [1]) > 0.8


def test_dark_objects_are_found_by_the_image_too() -> None:
    labels = discs(2)
    seen = around(labels, knows=False)
    found = object_under(Surroundings(-seen.image, seen.extent), [line((20, 9))])
    assert overlap(labels, found, [1]) > 0.8


def test_a_second_stroke_adds_what_lies_under_it() -> None:
    labels = discs(2)
    found = object_under(around(labels), [line((20, 28)), line((20, 38), (20, 39), (20, 40))])
    assert overlap(labels, found, [2, 3]) > 0.99


def test_a_stroke_outside_cuts() -> None:
    labels = discs(2)
    joined = np.where(labels == 3, 2, labels)
    maps = perfect_maps(joined)
    maps.margins[:] = 9
    maps.seed_map[joined > 0] += 0.5
    seen = around(labels, maps=maps)
    assert overlap(labels, object_under(seen, [line((20, 27))]), [2, 3]) > 0.9
    cut = object_under(seen, [line((20, 27))], [line(*((y, x) for x in (40, 41) for y in range(15, 26)))])
    assert overlap(labels, cut, [2]) > 0.75
    assert not {(20, 40), (20, 41)} & set(zip(*cut.pixels, strict=True))


def test_annotated_objects_stay_as_they_are() -> None:
    labels = discs(2)
    annotated = np.where(labels == 3, 7, 0)
    annotated[0] = BACKGROUND
    annotated[16:20, 26] = 8
    found = object_under(around(labels), [line((20, 28))], annotated=annotated)
    assert not np.isin(annotated[found.pixels], [7, 8]).any()
    with pytest.raises(AnnotationError, match="annotated there"):
        object_under(around(labels), [line((20, 40))], annotated=annotated)


@pytest.mark.parametrize("place", [(0, 0), (39, 59), (0, 59)])
@pytest.mark.parametrize("knows", [True, False])
def test_a_click_on_background_at_a_corner_gives_no_error(place: tuple[int, int], knows: bool) -> None:
    found = object_under(around(discs(2), knows=knows), [line(place)])
    assert place in set(zip(*found.pixels, strict=True))


def test_an_even_image_gives_something_no_larger_than_two_objects() -> None:
    found = object_under(Surroundings(np.zeros((1, 50, 50)), (10, 10)), [line((25, 25))])
    assert 1 <= len(found.pixels[0]) <= 4 * 10 * 10


def test_pixels_that_are_no_numbers_hide_nothing() -> None:
    labels = discs(2)
    seen = around(labels, knows=False)
    seen.image[0, 20, 12], seen.image[0, 0, 0] = np.nan, np.inf
    assert overlap(labels, object_under(seen, [line((20, 9))]), [1]) > 0.8


def test_objects_without_a_step_in_brightness_are_found_by_their_edges() -> None:
    labels = discs(2)
    inner = ndimage.binary_erosion(labels == 1, iterations=2)
    ring = (labels == 1) & ~inner
    image = 100.0 * ring + np.random.default_rng(0).normal(0, 3, labels.shape)
    found = object_under(Surroundings(image[None], (12, 12)), [line((20, 10))])
    assert overlap(labels, found, [1]) > 0.6


def test_nothing_left_of_an_object_is_an_error() -> None:
    with pytest.raises(AnnotationError, match="Nothing is left"):
        object_under(around(discs(2)), [line((20, 28))], [line(*((20, x) for x in range(20, 36)))])


@pytest.mark.parametrize("ndim", [2, 3])
def test_maps_serve_where_they_find_what_is_annotated(ndim: int) -> None:
    labels = discs(ndim)
    annotated = np.where(labels == 1, 4, np.where(labels == 3, 9, 0))
    annotated[0, 0] = BACKGROUND
    objects = latest_objects(annotated)
    assert [len(one[0]) for one in objects] == [(labels == 1).sum(), (labels == 3).sum()]
    assert maps_serve(around(labels), objects)
    # They are sure of objects, but not of these.
    assert not maps_serve(around(labels, maps=perfect_maps(np.roll(labels, 9, -1))), objects)
    assert maps_serve(around(labels, maps=perfect_maps(np.roll(labels, 9, -1))), [])


def test_what_is_painted_on_one_plane_is_taken_to_be_as_deep_as_wide() -> None:
    plane = tuple(np.array(axis) for axis in np.nonzero(np.ones((1, 8, 8))))
    whole = tuple(np.array(axis) for axis in np.nonzero(np.ones((3, 8, 8))))
    assert sizes_of([plane], (2.0, 1.0, 1.0)).mean == (4.0, 8.0, 8.0)
    assert sizes_of([plane]).mean == (8.0, 8.0, 8.0)
    assert sizes_of([whole], (2.0, 1.0, 1.0)).mean == (3.0, 8.0, 8.0)
    upright = tuple(np.array(axis) for axis in np.nonzero(np.ones((4, 1, 16))))
    assert sizes_of([upright], (4.0, 1.0, 1.0)).mean == (4.0, 16.0, 16.0)
    assert sizes_of([upright[::-1]]).mean == (16.0, 8.0, 4.0)
    assert sizes_of([tuple(np.array(axis) for axis in np.nonzero(np.ones((4, 1, 1))))]).mean == (4.0, 1.0, 1.0)
    assert not sizes_of([]).mean
