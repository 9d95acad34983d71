"""The image that labels lie on; labels that name no axes have its axes."""

from __future__ import annotations

import numpy as np
from napari.layers import Image, Labels

from embedseg_napari.viewer.layers import SEGMENTED, picture_of
from embedseg_napari.viewer.neighbours import image_under, name_as_its_image


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


def test_the_image_under_labels_has_their_pixels_and_perhaps_channels() -> None:
    labels = Labels(np.zeros((4, 8, 9), int), axis_labels=("t", "y", "x"))
    frame, other = Image(np.zeros((8, 9))), Image(np.zeros((4, 8, 8)))
    colours = Image(np.zeros((4, 8, 9, 3), np.uint8), rgb=True)
    movie = Image(np.zeros((4, 8, 9)), axis_labels=("t", "y", "x"))
    too_many = Image(np.zeros((1, 1, 1, 4, 8, 9)))
    assert image_under(labels, [too_many, frame, other]) is None
    assert image_under(labels, [frame, other, movie, colours]) is movie
    assert image_under(labels, [frame, colours, movie]) is colours


def test_the_image_that_labels_were_found_in_comes_before_others_of_its_size() -> None:
    first, second = Image(np.zeros((8, 9))), Image(np.zeros((8, 9)))
    labels = Labels(np.zeros((8, 9), int), metadata={SEGMENTED: str(second.unique_id)})
    assert image_under(labels, [first, second]) is second
    assert image_under(labels, [first]) is first
