"""The image that labels lie on; labels that name no axes have its axes."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

from embedseg_napari.viewer.layers import (
    ANNOTATION,
    AT_FRAME,
    CHANNEL_OF,
    PART_OF,
    SEGMENTED,
    TIME_POINT,
    picture_of,
)
from embedseg_napari.viewer.neighbours import image_under, lie_apart, name_as_its_image


def test_labels_remember_the_axes_of_an_image_of_their_shape() -> None:
    labels = Labels(np.zeros((4, 8, 9), int))
    others = [
        Image(np.zeros((4, 8, 9))),
        Image(np.zeros((4, 8, 8)), axis_labels=("z", "y", "x")),
        Image(np.zeros((4, 8, 9)), axis_labels=("c", "y", "x")),
    ]
    name_as_its_image(labels, others)
    assert picture_of(labels).axes_guessed
    name_as_its_image(labels, [*others, Image(np.zeros((4, 8, 9)), axis_labels=("t", "y", "x"))])
    assert picture_of(labels).axes == "TYX"


def test_labels_that_name_their_axes_keep_them() -> None:
    labels = Labels(np.zeros((4, 8, 9), int), axis_labels=("z", "y", "x"))
    name_as_its_image(labels, [Image(np.zeros((4, 8, 9)), axis_labels=("t", "y", "x"))])
    assert picture_of(labels).axes == "ZYX"


def test_planes_of_one_object_each_are_no_frames_of_an_image_of_their_shape() -> None:
    masks = Labels(np.zeros((4, 8, 9), int), axis_labels=("n", "y", "x"))
    name_as_its_image(masks, [Image(np.zeros((4, 8, 9)), axis_labels=("t", "y", "x"))])
    assert masks.axis_labels == ("n", "y", "x")


def test_the_image_under_labels_has_their_pixels_and_perhaps_channels() -> None:
    labels = Labels(np.zeros((4, 8, 9), int), axis_labels=("t", "y", "x"))
    frame, other = Image(np.zeros((8, 9))), Image(np.zeros((4, 8, 8)))
    colours = Image(np.zeros((4, 8, 9, 3), np.uint8), rgb=True)
    movie = Image(np.zeros((4, 8, 9)), axis_labels=("t", "y", "x"))
    too_many = Image(np.zeros((1, 1, 1, 4, 8, 9)))
    assert image_under(labels, [too_many, frame, other]) is None
    assert image_under(labels, [frame, other, movie, colours]) is movie
    assert image_under(labels, [frame, colours, movie]) is colours


@pytest.mark.parametrize(
    ("axes", "shape", "of"),
    [
        ("nyx", (5, 8, 9), {"yx", "cyx", "rgb", None}),
        ("nyx", (4, 8, 9), {"yx", "cyx", "rgb", None}),
        ("nzyx", (5, 4, 8, 9), {"zyx"}),
        ("tnyx", (4, 5, 8, 9), {"tyx"}),
        ("nyx", (5, 9, 8), set()),
        ("nxy", (5, 9, 8), set()),
    ],
)
def test_planes_of_one_object_each_lie_on_the_one_image_of_each(axes, shape, of) -> None:
    images = {
        "yx": Image(np.zeros((8, 9)), axis_labels="yx"),
        "cyx": Image(np.zeros((3, 8, 9)), axis_labels="cyx"),
        "zyx": Image(np.zeros((4, 8, 9)), axis_labels="zyx"),
        "tyx": Image(np.zeros((4, 8, 9)), axis_labels="tyx"),
        "rgb": Image(np.zeros((8, 9, 3), np.uint8), rgb=True),
        None: Image(np.zeros((8, 9))),
    }
    masks = Labels(np.ones(shape, int), axis_labels=axes)
    assert {name for name, image in images.items() if image_under(masks, [image])} == of


def test_of_images_of_one_size_planes_of_one_object_each_are_of_the_one_they_are_named_after() -> None:
    images = [Image(np.zeros((8, 9)), name=name) for name in ("worms1", "worms2", "worms3")]
    masks = Labels(np.ones((5, 8, 9), int), axis_labels="nyx", name="worms2 masks")
    assert image_under(masks, images).name == "worms2"


def test_labels_of_a_part_lie_on_the_image_that_they_were_found_in() -> None:
    image, other = Image(np.zeros((8, 9)), name="image"), Image(np.zeros((8, 9)), name="part")
    found = {SEGMENTED: str(image.unique_id)}
    assert image_under(Labels(np.ones((4, 5), int), name="part", translate=(4, 3), metadata=found), [other, image])
    for place in ({"metadata": found, "translate": (5, 3)}, {"translate": (4, 3)}):
        assert image_under(Labels(np.ones((4, 5), int), name="part", **place), [other, image]) is None


def test_labels_of_a_frame_that_was_tried_out_lie_on_its_movie() -> None:
    movie = Image(np.zeros((3, 8, 9)), axis_labels="tyx")
    found = {SEGMENTED: str(movie.unique_id)}
    one, other = (Labels(np.ones((8, 9), int), metadata={**found, AT_FRAME: at}) for at in (0, 2))
    assert image_under(one, [movie]) is image_under(other, [movie]) is movie
    assert image_under(Labels(np.ones((8, 9), int), metadata=found), [movie]) is None
    # They are of other frames.
    assert lie_apart(one, other, [movie])
    frame, true = labels_of(TIME_POINT, f"{movie.unique_id} 2")
    assert not lie_apart(true, other, [movie, frame])
    assert lie_apart(true, one, [movie, frame])


def test_the_image_that_labels_were_found_in_comes_before_others_of_its_size() -> None:
    first, second = Image(np.zeros((8, 9))), Image(np.zeros((8, 9)))
    labels = Labels(np.zeros((8, 9), int), metadata={SEGMENTED: str(second.unique_id)})
    assert image_under(labels, [first, second]) is second
    assert image_under(labels, [first]) is first


def test_the_image_that_labels_annotate_comes_before_others_of_its_size() -> None:
    first, second = Image(np.zeros((8, 9))), Image(np.zeros((8, 9)))
    labels = Labels(np.zeros((8, 9), int), metadata={ANNOTATION: str(second.unique_id)})
    assert image_under(labels, [first, second]) is second


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("he1-truth", "he1"),
        ("HE 2 mask", "he 2"),
        ("he_2_wide_masks", "he 2 wide"),
        ("plate_3_masks", "plate 3 raw"),
        # Nothing is said by these.
        ("he10-truth", "he"),
        ("plate", "plate 4 raw"),
        ("truth", "he"),
        ("", "he"),
    ],
)
def test_of_images_of_one_size_that_whose_name_the_labels_bear_is_theirs(name, of) -> None:
    names = ["he", "he1", "he 2", "he 2 wide", "plate 4 raw", "plate 3 raw"]
    images = [Image(np.zeros((8, 9)), name=one) for one in names]
    assert image_under(Labels(np.zeros((8, 9), int), name=name), images).name == of


def test_files_tell_as_well_whose_labels_are() -> None:
    images = [Image(np.zeros((8, 9)), name="Image", metadata={"path": f"{name}.ome.tif"}) for name in ("he1", "he2")]
    labels = Labels(np.zeros((8, 9), int), name="ROI", metadata={"path": "folder/he2.ome.tif"})
    assert image_under(labels, images) is images[1]


def test_the_place_of_labels_tells_more_than_their_name() -> None:
    images = [
        Image(np.zeros((8, 8)), name=name, translate=at) for name, at in (("a", (4, 1)), ("b", (4, 9)), ("b c", (4, 9)))
    ]
    labels = Labels(np.zeros((8, 8), int), name="a", translate=(4, 9))
    assert image_under(labels, images) is images[1]


def labels_at(*start, of="image", scale=0.5, **options):
    start = np.multiply(start, scale)
    return Labels(
        np.ones((8,) * len(start), int),
        translate=start,
        scale=(scale,) * len(start),
        metadata={SEGMENTED: of} if of else {},
        **options,
    )


def test_parts_of_one_image_lie_apart_where_they_do_not_begin_at_one_pixel() -> None:
    first = labels_at(0, 0)
    assert lie_apart(first, labels_at(0, 3), [])
    assert not lie_apart(first, labels_at(0, 0.1), [])
    # What belongs to no image may just be without its place.
    assert not lie_apart(first, labels_at(0, 3, of=None), [])
    assert lie_apart(labels_at(0, 2, of=None), labels_at(0, 3, of=None), [])
    assert not lie_apart(labels_at(0, 2), labels_at(0, 3, scale=1), [])


def test_parts_that_are_annotated_lie_apart_as_well() -> None:
    parts = [Image(np.zeros((8, 8)), metadata={PART_OF: {"image": "large"}}) for _ in range(2)]
    one, other = (
        Labels(np.ones((8, 8), int), translate=(0, at), metadata={ANNOTATION: str(part.unique_id)})
        for at, part in zip((0, 3), parts, strict=True)
    )
    assert lie_apart(one, other, parts)
    assert not lie_apart(one, Labels(np.ones((8, 8), int)), parts)


def labels_of(mark, of, where=ANNOTATION):
    """An image that was taken out of another one, and labels of it."""
    image = Image(np.zeros((8, 8)), metadata={mark: of})
    return image, Labels(np.ones((8, 8), int), metadata={where: str(image.unique_id)})


def part(start, **of):
    return {"image": None, "store": None, "start": start, **of}


@pytest.mark.parametrize(
    ("mark", "one", "other", "is_apart"),
    [
        (TIME_POINT, "m 0", "m 5", True),
        (TIME_POINT, "m 5", "m 5", False),
        (TIME_POINT, "m 0", "n 5", False),
        (CHANNEL_OF, "m 0", "m 1", False),
        (PART_OF, part([0, 2, 2], image="m"), part([5, 2, 2], image="m"), True),
        (PART_OF, part([5, 2, 2], image="m"), part([5, 2, 2], image="m"), False),
        (PART_OF, part([0, 2, 2], store="m.zarr"), part([5, 2, 2], image="m", store="m.zarr"), True),
        (PART_OF, part([2, 2], image="m"), part([2, 2], image="m"), False),
    ],
)
def test_labels_of_two_frames_lie_apart(mark, one, other, is_apart) -> None:
    (first, true), (second, found) = labels_of(mark, one), labels_of(mark, other, SEGMENTED)
    assert lie_apart(true, found, [first, second, true, found]) is is_apart


def test_a_frame_and_a_part_of_another_one_lie_apart() -> None:
    first, true = labels_of(TIME_POINT, "m 0")
    second, found = labels_of(PART_OF, part([5, 0, 0], image="m"))
    assert lie_apart(true, found, [first, second])


def test_axes_are_told_apart_by_their_names() -> None:
    one = labels_at(1, 2, 3, axis_labels="zyx")
    assert not lie_apart(one, labels_at(3, 2, 1, axis_labels="xyz"), [])
    assert lie_apart(one, labels_at(1, 2, 3, axis_labels="xyz"), [])
    channels = labels_at(0, 5, 0, 0, axis_labels="tcyx")
    assert not lie_apart(channels, labels_at(0, 0, 0, axis_labels="tyx"), [])
