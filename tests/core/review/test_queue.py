"""Doubtful places of an image: how they are found, and what is said about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from label_steps import queue_of

from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.core.review.queue import ReviewQueue, find_doubts
from embedseg_napari.core.runs import drain, never


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


def test_a_model_ranks_what_it_finds(blobs, tiny_model_file):
    image, labels = blobs(2)
    queue = drain(find_doubts(tiny_model_file, image[None], np.zeros_like(labels), "cpu", never))
    assert queue.segmentation.labels.shape == labels.shape
    assert [doubt.score for doubt in queue.doubts] == sorted((d.score for d in queue.doubts), reverse=True)


@pytest.mark.usefixtures("slim_network")
def test_a_start_of_one_channel_looks_at_images_of_several(blobs, tmp_path):
    image, labels = blobs(2)
    # Untrained, it is sure of nothing.
    unsure = PredictionConfig(seed_threshold=0.1, foreground_threshold=0.05)
    model = Model(ModelConfig(architecture="unet", n_channels=1, prediction=unsure), build_network("unet", 2, 1))
    path = model.save(tmp_path / "grey.embedseg")
    grey, coloured = (
        drain(find_doubts(path, np.stack([image] * n), np.zeros_like(labels), "cpu", never)) for n in (1, 3)
    )
    assert len(coloured.doubts) == len(grey.doubts) > 0


def test_a_model_that_does_not_find_what_is_annotated_is_to_be_trained_on(blobs, tiny_model_file):
    image, labels = blobs(2)
    queue = drain(find_doubts(tiny_model_file, image[None], labels, "cpu", never))
    assert (queue.n_annotated, queue.n_found) == (6, 0)
    assert queue.sentence(queue.segmentation.labels).startswith(
        "The model finds 0 of 6 annotated objects so far: train on"
    )
    queue.n_found = 3
    assert "annotated objects" not in queue.sentence(queue.segmentation.labels)


def test_a_part_of_an_object_is_no_object_that_was_found(blobs, tiny_model_file, monkeypatch):
    image, truth = blobs(2)
    zeros = np.zeros((2, *truth.shape), np.float32)
    maps = EmbeddingMaps(zeros, zeros + 3, (truth > 0).astype(np.float32))
    centers = np.array([np.argwhere(truth == i).mean(0) for i in range(1, 7)], np.float32)
    found = Segmentation(truth, centers, np.full(6, 0.9, np.float32), PredictionConfig(), kept_maps=maps)

    def run(*args):
        yield from ()
        return found

    monkeypatch.setattr("embedseg_napari.core.inference.predictor.Predictor.run", run)
    labels = np.where(truth == 2, 2, 0).astype(np.int32)
    one = np.nonzero(truth == 1)
    labels[tuple(axis[: len(axis) // 3] for axis in one)] = 1
    queue = drain(find_doubts(tiny_model_file, image[None], labels, "cpu", never))
    # As the comparison after a round counts them.
    assert (queue.n_annotated, queue.n_found) == (2, 1)
