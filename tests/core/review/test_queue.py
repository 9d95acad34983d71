"""What is said about the doubtful places of an image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from label_steps import queue_of

from embedseg_napari.core.review.queue import ReviewQueue


@pytest.mark.parametrize(
    ("n_found", "n_annotated", "words"),
    [
        (0, 0, "1 place to look at, the most doubtful first: press J."),
        (3, 4, "1 place to look at, the most doubtful first: press J."),
        (1, 4, "The model finds 1 of 4 annotated objects so far: train on before looking at 1 doubtful place (J)."),
    ],
)
def test_a_model_that_finds_less_than_half_is_to_be_trained_first(n_found, n_annotated, words):
    queue = queue_of((9, 9), 0.5)
    queue.n_found, queue.n_annotated = n_found, n_annotated
    assert queue.sentence(queue.segmentation.labels) == words


def test_an_image_without_objects_is_not_sent_to_places():
    queue = queue_of((9, 9), 0.5)
    nothing = replace(queue.segmentation, labels=np.zeros((9, 9), np.int32), scores=np.zeros(0, np.float32))
    words = "No object was found in this image. If it shows some, paint a few and train on"
    assert ReviewQueue(nothing, queue.doubts).sentence(nothing.labels) == f"{words}; 1 place may hold one (J)."
    assert ReviewQueue(nothing, []).sentence(nothing.labels) == f"{words}."


def test_the_pixels_of_a_place_are_those_that_it_has_now():
    queue = queue_of((9, 9, 9), 0.5)
    queue.step(labels := np.zeros((9, 9, 9), np.int32))
    found = queue.segmentation.labels == 1
    assert np.array_equal(queue.pixels(labels), np.nonzero(found))
    # It was accepted, and is larger since.
    labels[found], labels[5, 2:5, 2:5] = 4, 4
    assert np.array_equal(queue.pixels(labels), np.nonzero(labels == 4))


def test_the_pixels_of_a_place_without_an_object_are_those_that_were_suspected():
    queue = queue_of((9, 9), 0.5)
    place = np.array([6, 6, 7]), np.array([6, 7, 6])
    queue.doubts = [replace(queue.doubts[0], label=0, kind="missed", pixels=place)]
    queue.step(labels := np.zeros((9, 9), np.int32))
    assert np.array_equal(queue.pixels(labels), place)
