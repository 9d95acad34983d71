"""Which images of a folder stand out, and why."""

from __future__ import annotations

import numpy as np

from embedseg_napari.core.report.entry import N_BINS, Entry, Objects, objects_of, quantile
from embedseg_napari.core.report.outliers import LEAST_IMAGES, outliers


def entry(n: int = 20, size: float | None = 100.0, score: float | None = 0.95, bright: float = 50, border: int = 2):
    sizes = np.zeros(N_BINS, np.int32)
    objects = Objects(n, min(border, n), size if n else None, sizes)
    return Entry("image", objects, score if n else None, bright)


def usual(n: int = 10) -> list[Entry]:
    return [entry(18 + i % 5, 95 + i, 0.94 + i / 1000, 48 + i % 4) for i in range(n)]


def test_each_way_to_stand_out_is_named_with_what_is_usual():
    for odd, what in (
        (entry(n=200), "many objects"),
        (entry(n=6, border=0), "few objects"),
        (entry(size=9), "small objects"),
        (entry(size=2000), "large objects"),
        (entry(score=0.7), "unsure"),
        (entry(bright=3), "dark"),
        (entry(bright=900), "bright"),
        (entry(border=18), "many objects at the border"),
    ):
        found = outliers([*usual(), odd])
        assert list(found) == [10], what
        assert [reason.what for reason in found[10]] == [what]
        assert "images have" in found[10][0].words
    (reason,) = outliers([*usual(), entry(n=200)])[10]
    assert reason.words.startswith("200 objects; half of the images have 19 to 22 (robust z ")


def test_what_stands_out_most_comes_first():
    found = outliers([*usual(), entry(n=60), entry(n=4000, bright=900)])
    assert list(found) == [11, 10]
    assert [reason.what for reason in found[11]] == ["many objects", "bright"]
    assert abs(found[11][0].z) >= abs(found[11][1].z)


def test_images_that_are_nearly_alike_do_not_stand_out():
    assert outliers([entry() for _ in range(20)] + [entry(n=21, size=101, score=0.951, bright=50.1)]) == {}


def test_a_surer_image_is_none_to_look_at():
    assert outliers([*usual(), entry(score=1.0), entry(border=0)]) == {}


def test_few_images_are_not_compared():
    assert outliers([entry()] * (LEAST_IMAGES - 2) + [entry(n=900)]) == {}
    assert outliers([entry()] * (LEAST_IMAGES - 1) + [entry(n=900)]) != {}


def test_an_image_without_objects_stands_out_where_most_have_some():
    found = outliers([*usual(20), entry(n=0)])
    assert [reason.what for reason in found[20]] == ["no objects"]
    half = [*usual(10), *(entry(n=0) for _ in range(10))]
    assert not any(reason.what == "no objects" for reasons in outliers(half).values() for reason in reasons)


def test_images_below_zero_and_unknown_values_are_compared_as_far_as_they_can_be():
    shifted = [entry(bright=-5 + i % 3) for i in range(10)]
    assert [reason.what for reason in outliers([*shifted, entry(bright=60)])[10]] == ["bright"]
    assert outliers([*usual(), Entry("unread", None, None, None)]) == {}


def test_objects_of_labels_frames_and_planes():
    labels = np.zeros((20, 30), np.uint16)
    labels[0:4, 5:10], labels[10:14, 10:20], labels[15:20, 0:2] = 1, 2, 3
    found = objects_of([labels], "YX")
    assert (found.n, found.n_at_border, found.median_size) == (3, 2, 20.0)
    assert found.sizes.sum() == 3
    movie = objects_of([np.stack([labels, np.where(labels, labels + 3, 0)])], "TYX")
    assert (movie.n, movie.n_at_border) == (6, 4)
    planes = objects_of([(labels == 2).astype(np.uint8), (labels > 0).astype(np.uint8)], "YX")
    assert (planes.n, planes.n_at_border) == (2, 1)
    # A volume of one plane is not all border.
    assert objects_of([labels[None]], "ZYX").n_at_border == 2
    nothing = objects_of([np.zeros((4, 4), np.uint8)], "YX")
    assert (nothing.n, nothing.median_size) == (0, None)


def test_a_histogram_gives_sizes_back_to_about_a_tenth():
    labels = np.repeat(np.arange(1, 101), 50).reshape(100, 50)
    assert abs(quantile(objects_of([labels], "YX").sizes, 0.5) / 50 - 1) < 0.2
