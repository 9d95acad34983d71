"""Previews: made once, updated in place, laid over the image they are of."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import LayerList

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data import normalization
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.core.events import PreviewReady
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.jobs.training_pairs import ArrayPair, Region
from embedseg_napari.viewer.layers import FOUND, RESULT, is_users, is_users_or_found
from embedseg_napari.viewer.preview.embeddings import EMBEDDINGS, MARGINS, TRUTH
from embedseg_napari.viewer.preview.placement import trained_images
from embedseg_napari.viewer.preview.preview import IMAGE, LABELS, SEED_MAP, SEEDS, TrainingView

USUAL = NormalizationConfig()


def predicted(example, n=2) -> PreviewReady:
    """Return the event a network would cause."""
    shape = example.image.shape[1:]
    labels = np.zeros(shape, np.int32)
    labels[..., :4, :4] = 1
    centers = np.zeros((n, len(shape)), np.float32)
    image = example.image.astype(np.float32)
    zeros = np.zeros((len(shape), *shape), np.float32)
    maps = EmbeddingMaps(zeros, zeros + 3, zeros[0])
    return PreviewReady(example.name, image, maps, labels, centers, np.ones(n, np.float32), 1)


@pytest.mark.usefixtures("whole_window")
@pytest.mark.parametrize("ndim", [2, 3])
def test_preview_lies_over_its_layer_and_is_updated_in_place(viewer, blobs, ndim):
    image, _ = blobs(ndim)
    layer = viewer.add_image(image, scale=(3.0, 2.0, 2.0)[-ndim:], translate=(5.0, 7.0, 9.0)[-ndim:], name="cells")
    view = TrainingView(viewer)
    view.watch(layer, "ZYX"[-ndim:])
    view.begin()
    example = view.example(None, USUAL)
    assert not example.instances.any()
    view.show(predicted(example))
    names = [SEED_MAP, LABELS, SEEDS]
    made = [viewer.layers[name] for name in names]
    for one in made:
        np.testing.assert_allclose(one.scale, layer.scale)
        np.testing.assert_allclose(one.translate, layer.translate)
        assert not is_users(one)
    # The layer the user works on stays chosen.
    assert viewer.layers.selection.active == layer
    view.show(predicted(view.example(None, USUAL), n=5))
    assert [viewer.layers[name] for name in names] == made
    assert len(viewer.layers[SEEDS].data) == 5
    assert len(viewer.layers) == 4
    view.show(predicted(view.example(None, USUAL), n=0))
    assert len(viewer.layers[SEEDS].data) == 0


@pytest.fixture
def no_parts(monkeypatch):
    """No part of napari's list of layers is taken: it would listen to each of them, which takes a fifth of a second."""

    def refuse(layers, found):
        raise AssertionError(f"a list that listens to {len(found)} layers")

    monkeypatch.setattr(LayerList, "__newlike__", refuse)


def test_of_a_large_image_the_part_in_view_is_shown(viewer):
    image = np.arange(2000 * 1500, dtype=np.float32).reshape(2000, 1500)
    layer = viewer.add_image(image, scale=(0.5, 0.5))
    view = TrainingView(viewer)
    view.watch(layer, "YX")
    getattr(viewer, "scene", viewer).camera.center = (0, 800.0, 300.0)
    view.update_part()
    example = view.example(None, USUAL)
    whole = normalize(image[None], USUAL)
    np.testing.assert_array_equal(example.image, whole[:, 1344:1856, 344:856])
    view.show(predicted(example))
    np.testing.assert_allclose(viewer.layers[LABELS].translate, (672, 172))


def test_of_a_time_lapse_the_frame_in_view_is_shown(viewer, blobs):
    image, _ = blobs(2)
    layer = viewer.add_image(np.stack([image, 2 * image, 3 * image]))
    view = TrainingView(viewer)
    view.watch(layer, "TYX")
    viewer.dims.set_point(0, 2)
    view.update_part()
    example = view.example(None, USUAL)
    np.testing.assert_array_equal(example.image, normalize(3 * image[None], USUAL))
    view.show(predicted(example))
    assert viewer.layers[LABELS].ndim == 2


@pytest.mark.parametrize("is_large", [False, True])
def test_a_part_is_as_bright_as_in_the_whole_image_which_is_measured_once(viewer, monkeypatch, is_large):
    image = np.full((600, 700), np.nan, np.float32)
    # All that lies in view is dark, or nothing.
    image[:, 600:] = np.random.default_rng(0).uniform(50, 1000, (600, 100))
    image[300:, :600] = np.random.default_rng(1).uniform(0, 20, (300, 600))
    frames = np.stack([image, 2 * image])
    whole, measured, original = normalize(frames[1][None], USUAL), [], normalization.measure_scaling
    for place in ("data.normalization", "large.whole_image"):
        monkeypatch.setattr(
            f"embedseg_napari.core.{place}.measure_scaling", lambda *args: measured.append(1) or original(*args)
        )
    if is_large:
        monkeypatch.setattr("embedseg_napari.viewer.preview.brightness.SAMPLE", 1000)
    layer = viewer.add_image(frames, axis_labels=("t", "y", "x"))
    view = TrainingView(viewer)
    view.watch(layer, "TYX")
    viewer.dims.set_point(0, 1)
    for left in (0, 44):
        getattr(viewer, "scene", viewer).camera.center = (0, 300.0, left + 256.0)
        view.update_part()
        example = view.example(None, USUAL)
        assert example.is_normalized
        np.testing.assert_allclose(example.image, whole[:, 44:556, left : left + 512], atol=1e-5)
        assert example.image.max() < 0.1
    assert len(measured) == 1


@pytest.mark.parametrize("is_normalized", [False, True])
def test_a_held_out_image_is_normalised_once_and_as_a_whole(viewer, is_normalized):
    image = np.arange(600 * 600, dtype=np.float32).reshape(1, 600, 600)
    held_out = Example("cells", image, np.zeros((600, 600), np.int32), is_normalized=is_normalized)
    example = TrainingView(viewer).example(held_out, USUAL)
    assert example.is_normalized
    whole = image if is_normalized else normalize(image, USUAL)
    np.testing.assert_array_equal(example.image, whole[:, 44:556, 44:556])


def test_without_a_layer_a_held_out_image_is_shown(viewer, blobs):
    [held_out] = from_arrays([blobs(2)])
    view = TrainingView(viewer)
    view.begin()
    view.show(predicted(view.example(held_out, USUAL)))
    np.testing.assert_array_equal(viewer.layers[IMAGE].data, normalize(held_out.image, USUAL)[0])


def test_a_held_out_image_gives_way_to_one_that_is_open(layer_viewer, blobs):
    [held_out] = from_arrays([blobs(2)])
    view = TrainingView(layer_viewer)
    view.begin()
    view.show(predicted(view.example(held_out, USUAL)))
    assert view.is_of_held_out
    source = layer_viewer.add_image(held_out.image[0], name="open")
    view.watch(source, "YX")
    view.begin()
    view.show(predicted(view.example(held_out, USUAL)))
    assert IMAGE not in layer_viewer.layers
    assert not view.is_of_held_out
    view.end()
    assert [layer.name for layer in layer_viewer.layers] == ["open"]


def test_layers_that_were_removed_stay_away_until_the_next_training(viewer, blobs):
    [held_out] = from_arrays([blobs(2)])
    view = TrainingView(viewer)
    view.show(predicted(view.example(held_out, USUAL)))
    del viewer.layers[SEEDS]
    viewer.layers[LABELS].name = "mine"
    view.show(predicted(view.example(held_out, USUAL)))
    assert SEEDS not in viewer.layers
    assert LABELS not in viewer.layers
    view.begin()
    view.show(predicted(view.example(held_out, USUAL)))
    assert SEEDS in viewer.layers


def test_a_removed_source_gives_way_to_the_held_out_image(viewer, blobs):
    [held_out] = from_arrays([blobs(2)])
    layer = viewer.add_image(held_out.image[0])
    view = TrainingView(viewer)
    view.watch(layer, "YX")
    viewer.layers.remove(layer)
    view.update_part()
    assert view.example(held_out, USUAL).name == held_out.name


def test_switched_off_nothing_is_predicted(viewer, blobs):
    view = TrainingView(viewer, is_on=False)
    assert view.example(from_arrays([blobs(2)])[0], USUAL) is None


def test_the_truth_is_shown_beside_a_preview_and_never_given_to_it(layer_viewer, blobs):
    image, labels = blobs(2)
    layer, truth = layer_viewer.add_image(image), layer_viewer.add_labels(labels)
    view = TrainingView(layer_viewer)
    view.embeddings.switch(True)
    view.watch(layer, "YX", None, truth)
    view.begin("centroid")
    example = view.example(None, USUAL)
    assert not example.instances.any()
    assert "next preview" in view.embedding_hint()
    view.show(predicted(example))
    assert "next preview" not in view.embedding_hint()
    np.testing.assert_array_equal(layer_viewer.layers[TRUTH].data, labels)
    assert len(layer_viewer.layers[MARGINS].data) == view.n_objects == labels.max()
    marks = layer_viewer.layers[EMBEDDINGS]
    first = marks.data[np.asarray(marks.features["what"]) == "center"][0]
    np.testing.assert_allclose(first, np.argwhere(labels == 1).mean(0))
    assert "◆" in view.embedding_hint()


def test_of_a_time_lapse_the_truth_of_the_frame_in_view_is_shown(layer_viewer, blobs):
    image, labels = blobs(2)
    layer = layer_viewer.add_image(np.stack([image] * 3))
    truth = layer_viewer.add_labels(np.stack([labels, np.where(labels == 2, 2, 0), labels]))
    view = TrainingView(layer_viewer)
    view.embeddings.switch(True)
    view.watch(layer, "TYX", None, truth)
    layer_viewer.dims.set_point(0, 1)
    view.begin()
    view.show(predicted(view.example(None, USUAL)))
    assert np.unique(layer_viewer.layers[TRUTH].data).tolist() == [0, 2]


def test_why_no_embeddings_are_shown_is_said(layer_viewer, blobs):
    image, labels = blobs(2)
    layer, other = layer_viewer.add_image(image), layer_viewer.add_image(image, name="other")
    truth = layer_viewer.add_labels(labels)
    view = TrainingView(layer_viewer)
    view.embeddings.switch(True)
    view.watch(layer, "YX", None, truth)
    view.begin()
    view.show(predicted(view.example(None, USUAL)))
    assert TRUTH in layer_viewer.layers

    # An image whose objects are not known takes the marks of the other one away.
    view.watch(other, "YX")
    view.show(predicted(view.example(None, USUAL)))
    assert TRUTH not in layer_viewer.layers
    assert "No true objects are known for other" in view.embedding_hint()

    truth.data = np.zeros_like(labels)
    view.watch(layer, "YX", None, truth)
    view.show(predicted(view.example(None, USUAL)))
    assert "No labelled object" in view.embedding_hint()

    truth.data = np.ones((8, 8), np.int32)
    view.update_part()
    assert "No true objects are known" in view.embedding_hint()

    view.is_on = False
    assert "switch it on" in view.embedding_hint()


@pytest.mark.parametrize("is_planes", [False, True])
def test_a_held_out_image_brings_its_truth(layer_viewer, blobs, is_planes):
    image, labels = blobs(2)
    masks = np.stack([labels == one for one in range(1, labels.max() + 1)]) if is_planes else labels
    [held_out] = from_arrays([(image, masks)])
    view = TrainingView(layer_viewer)
    view.begin()
    view.show(predicted(view.example(held_out, USUAL)))
    assert TRUTH not in layer_viewer.layers
    view.embeddings.switch(True)
    example = view.example(held_out, USUAL)
    assert not example.instances.any()
    view.show(predicted(example))
    np.testing.assert_array_equal(layer_viewer.layers[TRUTH].data, labels)


TURNED = {"scale": (2.0, 3.0), "translate": (50.0, 70.0), "rotate": 30, "shear": [0.2]}
AFFINE = [[1.0, 0.1, 5.0], [0.0, 2.0, 7.0], [0.0, 0.0, 1.0]]


def same_place(one, other, pixel, other_pixel) -> None:
    np.testing.assert_allclose(one.data_to_world(pixel), other.data_to_world(other_pixel), atol=1e-6)


def test_a_preview_follows_a_layer_that_is_turned_and_moved_meanwhile(layer_viewer, blobs):
    image, _ = blobs(2)
    layer = layer_viewer.add_image(image)
    view = TrainingView(layer_viewer)
    view.watch(layer, "YX")
    view.begin()
    view.show(predicted(view.example(None, USUAL)))
    for options in (TURNED, {"affine": AFFINE}, {"units": ("um", "um")}):
        for name, value in options.items():
            setattr(layer, name, value)
        view.update_part()
        view.show(predicted(view.example(None, USUAL)))
        for name in (SEED_MAP, LABELS, SEEDS):
            for pixel in ((0, 0), (10, 3), (40, 60)):
                same_place(layer_viewer.layers[name], layer, pixel, pixel)
            assert layer_viewer.layers[name].units == layer.units


@pytest.mark.parametrize("kind", ["image", "region", "frame"])
def test_a_held_out_part_of_a_layer_lies_on_it(layer_viewer, blobs, kind):
    image, labels = blobs(2)
    axes, regions = "YX", ()
    if kind == "frame":
        image, labels, axes = np.stack([image, image]), np.stack([labels, labels]), "TYX"
    elif kind == "region":
        corners = np.array([[9.5, 19.5], [9.5, 59.5], [49.5, 59.5], [49.5, 19.5]])
        regions = (Region(corners, is_box=True), Region(corners - 5, is_box=True))
    layer = layer_viewer.add_image(image, affine=np.array(AFFINE) if kind != "frame" else None)
    pair = ArrayPair("cells", image, labels, axes, None, None, regions)
    view = TrainingView(layer_viewer)
    view.begin(trained=trained_images([(pair, layer, axes)]))
    held_out = pair.examples()[0]
    view.show(predicted(view.example(held_out, USUAL)))
    # What is shown already is not shown twice.
    assert IMAGE not in layer_viewer.layers
    found = layer_viewer.layers[LABELS]
    corner = (10, 20) if kind == "region" else (0, 0)
    for pixel in ((0, 0), (7, 11)):
        there = found.data_to_world(pixel)
        np.testing.assert_allclose(
            layer.world_to_data((0,) * (layer.ndim - 2) + there)[-2:], np.add(pixel, corner), atol=1e-6
        )
    layer_viewer.layers.remove(layer)
    view.show(predicted(view.example(held_out, USUAL)))
    assert IMAGE in layer_viewer.layers


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_held_out_image_of_a_folder_covers_nothing_that_is_open(layer_viewer, blobs, ndim):
    mine = [
        layer_viewer.add_image(np.zeros((300, 200)), scale=(2, 2), translate=(-30, 40)),
        layer_viewer.add_labels(np.zeros((10, 500), int), rotate=20),
    ]
    layer_viewer.add_points()
    view = TrainingView(layer_viewer)
    view.begin()
    [held_out] = from_arrays([blobs(ndim)], axes="ZYX"[-ndim:])
    for _ in range(2):
        view.show(predicted(view.example(held_out, USUAL)))
        right = max(layer.extent.world[1, -1] for layer in mine)
        for name in (IMAGE, SEED_MAP, LABELS):
            assert layer_viewer.layers[name].extent.world[0, -1] > right
        mine.append(layer_viewer.add_image(np.zeros((20, 900))))


def test_previews_go_when_the_training_ends_and_can_be_kept_before_and_after(layer_viewer, blobs):
    image, labels = blobs(2)
    layer, truth = layer_viewer.add_image(image, name="cells"), layer_viewer.add_labels(labels)
    view = TrainingView(layer_viewer)
    view.embeddings.switch(True)
    view.watch(layer, "YX", None, truth)
    view.begin()
    assert view.keep() == 0
    view.show(predicted(view.example(None, USUAL)))
    n = len(layer_viewer.layers) - 2
    assert view.keep() == n
    kept = list(layer_viewer.layers)[2 + n :]
    assert all(one.metadata[RESULT] == FOUND and "cells" in one.name for one in kept)
    assert all(is_users_or_found(one) for one in kept)
    del layer_viewer.layers[SEEDS]
    view.show(predicted(view.example(None, USUAL), n=5))
    view.end()
    assert list(layer_viewer.layers) == [layer, truth, *kept]
    assert view.keep() == n - 1
    found = next(one for one in layer_viewer.layers if one.name == "labels of cells at step 1")
    found.data_setitem((np.array([0]), np.array([0])), 9)
    # A new training begins anew, and takes nothing away that was kept.
    before = list(layer_viewer.layers)
    view.begin()
    assert view.keep() == 0
    view.show(predicted(view.example(None, USUAL)))
    assert layer_viewer.layers[LABELS].data[0, 0] == 1
    view.end()
    assert list(layer_viewer.layers) == before


@pytest.mark.filterwarnings("ignore:Contours are not displayed")
def test_in_3d_labels_step_back_before_what_the_network_sees_and_come_back(layer_viewer, blobs):
    image, labels = blobs(3)
    layer, truth = layer_viewer.add_image(image), layer_viewer.add_labels(labels, opacity=0.8)
    faint = layer_viewer.add_labels(labels, opacity=0.1)
    view = TrainingView(layer_viewer)
    view.embeddings.switch(True)
    view.watch(layer, "ZYX", None, truth)
    view.begin()
    view.show(predicted(view.example(None, USUAL)))
    marks = [layer_viewer.layers[name] for name in (LABELS, SEEDS, EMBEDDINGS, MARGINS, TRUTH)]
    assert {mark.blending for mark in marks} == {"translucent_no_depth"}
    assert truth.opacity == 0.8
    layer_viewer.dims.ndisplay = 3
    assert truth.opacity < 0.4
    assert faint.opacity == 0.1
    layer_viewer.dims.ndisplay = 2
    assert (truth.opacity, faint.opacity) == (0.8, 0.1)
    layer_viewer.dims.ndisplay = 3
    late = layer_viewer.add_labels(labels, opacity=0.9)
    view.show(predicted(view.example(None, USUAL)))
    assert late.opacity < 0.4
    # What the user sets meanwhile stays.
    late.opacity = 0.5
    view.end()
    assert (truth.opacity, faint.opacity, late.opacity) == (0.8, 0.1, 0.5)
