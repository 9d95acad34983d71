"""Layers become the arrays that training reads."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes
from store_steps import write_store

from embedseg_napari.core.axes import result_axes
from embedseg_napari.core.data.on_disk import FromDisk
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.stores.labels import create_labels
from embedseg_napari.jobs.training_pairs import read_dataset, read_pairs
from embedseg_napari.jobs.training_recipe import read_pair
from embedseg_napari.viewer.labelled_images import pair_from_layers
from embedseg_napari.viewer.layers import SEGMENTED
from embedseg_napari.viewer.result_layers import spatial_frame


@pytest.mark.parametrize("ndim", [2, 3])
def test_image_and_labels_become_an_example(blobs, ndim):
    image, labels = blobs(ndim)
    scale = (2.0, 0.5, 0.5)[-ndim:]
    layer = Image(image, name="cells", scale=scale, units="um")
    [example] = pair_from_layers(layer, Labels(labels)).examples()
    assert example.name == "cells"
    np.testing.assert_array_equal(example.image[0], image)
    np.testing.assert_array_equal(example.instances, labels)
    assert example.spacing == scale
    assert example.unit == "um"


def planes_of(labels):
    return np.stack([labels == number for number in range(1, labels.max() + 1)]).astype(np.uint8)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_planes_of_one_object_each_are_learned_from(blobs, ndim, turned):
    image, labels = blobs(ndim)
    planes = planes_of(labels)
    axes = "zyx"[-ndim:]
    layer = Image(image, axis_labels=tuple(axes))
    if turned:
        layer, planes = Image(image.T, axis_labels=tuple(axes[::-1])), np.moveaxis(planes, 0, -1).T
    [example] = pair_from_layers(layer, Labels(planes)).examples()
    assert example.is_planes
    np.testing.assert_array_equal(example.instances, planes_of(labels) != 0)


def test_planes_in_the_frames_of_a_movie(blobs):
    image, labels = blobs(2)
    planes = np.stack([planes_of(labels), 0 * planes_of(labels), planes_of(labels)])
    movie = Image(np.stack([image] * 3), name="movie", axis_labels=("t", "y", "x"))
    examples = pair_from_layers(movie, Labels(planes)).examples()
    assert [example.name for example in examples] == ["movie 0", "movie 2"]
    assert all(example.is_planes for example in examples)


@pytest.mark.parametrize("shape_type", ["rectangle", "polygon"])
def test_a_region_of_planes(blobs, shape_type):
    image, labels = blobs(2)
    box = np.array([[10, 8], [10, 39], [41, 39], [41, 8]], float)
    shapes = Shapes([box], shape_type=shape_type)
    [example] = pair_from_layers(Image(image), Labels(planes_of(labels)), shapes).examples()
    assert example.is_planes
    assert example.instances.shape[1:] == example.image.shape[1:] == (32, 32)
    assert (example.ignore is None) == (shape_type == "rectangle")


def test_labels_of_several_images_are_no_planes(blobs):
    image, labels = blobs(2)
    with pytest.raises(DataError, match="plane 0 holds several numbers"):
        pair_from_layers(Image(image), Labels(np.stack([labels, labels]))).examples()
    with pytest.raises(DataError, match="choose the labels that were drawn on this image"):
        pair_from_layers(Image(image), Labels(np.stack([labels, labels])[..., :-1]))


@pytest.mark.parametrize("axes", ["YX", "CYX", "YXC", "ZYX", "TYX"])
def test_labels_that_were_found_in_a_part_are_learned_from_with_that_part(axes):
    shape = [{"T": 3, "C": 2, "Z": 4, "Y": 50, "X": 60}[letter] for letter in axes]
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    image = Image(values, name="cells", axis_labels=tuple(axes.lower()), scale=[0.5] * len(axes))
    bounds = {"T": (1, 2), "Z": (0, 4), "Y": (10, 30), "X": (20, 45)}
    start, stop = zip(*(bounds[letter] for letter in result_axes(axes)), strict=True)
    frame = spatial_frame(image, axes).at(start)
    found = frame.array(np.ones(np.subtract(stop, start), int))
    labels = Labels(found, name="found", metadata={SEGMENTED: str(image.unique_id)}, **frame.options())
    cut = values[tuple(slice(*bounds.get(letter, (None,))) for letter in axes)]
    cut = np.moveaxis(cut, axes.index("C"), 0) if "C" in axes else cut
    box = np.array([[12.0, 22.0], [12.0, 31.0], [21.0, 31.0], [21.0, 22.0]]) / 2
    drawn = Shapes([box], axis_labels=("y", "x"))
    for shapes, inside, corner in ((None, (...,), (10, 20)), (drawn, (..., slice(2, 12), slice(2, 12)), (12, 22))):
        if shapes is not None and axes == "YXC":
            # Shapes lie on the last axes of an image.
            continue
        pair = pair_from_layers(image, labels, shapes)
        [example] = pair.examples()
        np.testing.assert_array_equal(example.image.squeeze(), cut[inside].squeeze())
        assert example.instances.shape == example.image.shape[1:]
        assert set(pair.corners().values()) == {corner}


def test_labels_that_may_be_of_a_part_say_what_image_they_need(blobs):
    image, labels = blobs(2)
    with pytest.raises(DataError, match=r"drawn on this image, or an image of the part that they cover"):
        pair_from_layers(Image(image, name="cells"), Labels(labels[:20, :30]))
    with pytest.raises(DataError, match=r"drawn on this image($|;|\.)"):
        pair_from_layers(Image(image[:20, :30], name="cells"), Labels(labels))


def test_a_layer_that_says_nothing_has_no_pixel_size(blobs):
    image, labels = blobs(2)
    [example] = pair_from_layers(Image(image), Labels(labels)).examples()
    assert example.spacing is None


def test_painting_on_does_not_reach_a_running_training(blobs):
    image, labels = blobs(2)
    layer = Labels(labels)
    [example] = pair_from_layers(Image(image), layer).examples()
    layer.data[:] = 0
    assert example.instances.any()


def test_frames_without_labels_are_left_out(blobs):
    image, labels = blobs(2)
    empty = np.zeros_like(labels)
    images, truths = Image(np.stack([image] * 3), name="movie"), Labels(np.stack([labels, empty, labels]))
    images.axis_labels = ("t", "y", "x")
    examples = pair_from_layers(images, truths).examples()
    assert [example.name for example in examples] == ["movie 0", "movie 2"]
    assert all(example.ndim == 2 for example in examples)
    images.axis_labels = ("z", "y", "x")
    [volume] = pair_from_layers(images, truths).examples()
    assert volume.ndim == 3


def test_frames_and_regions_of_a_layer_belong_together(blobs):
    image, labels = blobs(2)
    movie = Image(np.stack([image] * 3), name="movie", axis_labels=("t", "y", "x"))
    boxes = [np.array([[y, 8], [y, 39], [y + 20, 39], [y + 20, 8]], float) for y in (5, 30)]
    for layer, truth, shapes in (
        (movie, Labels(np.stack([labels] * 3)), None),
        (Image(image, name="movie"), Labels(labels), Shapes(boxes, shape_type="rectangle")),
    ):
        examples = pair_from_layers(layer, truth, shapes).examples()
        assert len(examples) > 1
        assert {example.origin for example in examples} == {"movie"}


def test_axis_labels_decide_how_a_stack_is_read(blobs):
    image, labels = blobs(2)
    images = Image(np.stack([image] * 2), axis_labels=("t", "y", "x"))
    assert len(pair_from_layers(images, Labels(np.stack([labels] * 2))).examples()) == 2


def test_channels_are_kept_or_one_is_chosen(blobs):
    image, labels = blobs(2)
    layer = Image(np.stack([image, 2 * image]))
    [both] = pair_from_layers(layer, Labels(labels)).examples()
    assert both.image.shape[0] == 2
    [one] = pair_from_layers(layer, Labels(labels), channel=1).examples()
    np.testing.assert_array_equal(one.image[0], 2 * image)


@pytest.mark.parametrize("n_frames", [0, 2])
@pytest.mark.parametrize("is_file", [False, True])
def test_a_grey_image_in_colours_is_refused_as_it_is_in_a_folder(blobs, tmp_path, n_frames, is_file):
    image, labels = (np.stack([one] * n_frames) if n_frames else one for one in blobs(2))
    colours, axes = np.stack([image.astype(np.uint8)] * 3, -1), "TYXC"[not n_frames :]
    write_image(tmp_path / "he.tif", colours, axes, is_colour=True, keep_order=True)
    write_labels(tmp_path / "labels.tif", labels, axes[:-1])
    layer = Image(colours, rgb=True, name="he", axis_labels=tuple(axes[:-1].lower()))

    def pair(channel=None):
        if not is_file:
            return pair_from_layers(layer, Labels(labels), channel=channel)
        files = (str(tmp_path / name) for name in ("he.tif", "labels.tif"))
        return read_pair(*files, axes, spacing=None, unit=None, channel=channel)

    with pytest.raises(DataError, match="is a grey image saved as RGB"):
        pair().examples()
    one = pair(channel=0).examples()[-1]
    np.testing.assert_array_equal(one.image[0], colours[-1, ..., 0] if n_frames else colours[..., 0])


def test_equal_channels_that_are_no_colours_may_be_learned_from(blobs):
    image, labels = blobs(2)
    [example] = pair_from_layers(Image(np.stack([image] * 3)), Labels(labels)).examples()
    assert len(example.image) == 3


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_rectangle_cuts_image_and_labels(blobs, ndim):
    image, labels = blobs(ndim)
    scale = (3.0, 2.0, 2.0)[-ndim:]
    box = np.array([[10, 8], [10, 39], [41, 39], [41, 8]], float)
    shapes = Shapes([box], shape_type="rectangle", scale=(2.0, 2.0))
    [example] = pair_from_layers(Image(image, scale=scale), Labels(labels), shapes).examples()
    np.testing.assert_array_equal(example.image[0], image[..., 10:42, 8:40])
    np.testing.assert_array_equal(example.instances, labels[..., 10:42, 8:40])
    assert example.ignore is None


def test_a_free_outline_ignores_what_it_leaves_out(blobs):
    image, labels = blobs(2)
    shapes = Shapes([np.array([[0, 0], [0, 40], [40, 0]], float)], shape_type="polygon")
    [example] = pair_from_layers(Image(image), Labels(labels), shapes).examples()
    assert not example.ignore[2, 2]
    assert example.ignore[-2, -2]


TURNED = np.array([[31, 5], [5, 31], [31, 57], [57, 31]], float)
UPRIGHT = np.array([[11, 11], [11, 51], [51, 51], [51, 11]], float)


@pytest.mark.parametrize(
    ("kind", "corners", "turn", "share"),
    [
        ("rectangle", UPRIGHT, 0, 1),
        ("rectangle", UPRIGHT, 0.2, 1),
        ("rectangle", TURNED, 0, 1 / 2),
        ("rectangle", UPRIGHT, 45, 1 / 2),
        ("ellipse", UPRIGHT, 0, np.pi / 4),
        ("ellipse", TURNED, 0, np.pi / 4),
        ("ellipse", UPRIGHT, 45, np.pi / 4),
    ],
)
def test_what_a_shape_leaves_out_of_its_box_teaches_nothing(blobs, kind, corners, turn, share):
    image, labels = blobs(2)
    # Turned around the middle of the shape, with the image below.
    middle, angle = np.array([31.0, 31.0]), np.deg2rad(turn)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    layer = Image(image, rotate=matrix, translate=middle - matrix @ middle)
    [example] = pair_from_layers(layer, Labels(labels), Shapes([corners], shape_type=kind)).examples()
    if share == 1:
        assert example.ignore is None
        assert example.image.shape[1:] == (41, 41)
    else:
        assert abs((~example.ignore).mean() - share) < 0.06
        assert not example.ignore[tuple(n // 2 for n in example.ignore.shape)]
        assert example.ignore[[0, 0, -1, -1], [0, -1, 0, -1]].all()


def test_faults_are_said_in_a_sentence(blobs):
    image, labels = blobs(2)
    with pytest.raises(DataError, match="shape 64 x 64"):
        pair_from_layers(Image(image), Labels(labels[:32]))
    with pytest.raises(DataError, match="no shape yet"):
        pair_from_layers(Image(image), Labels(labels), Shapes())
    outside = Shapes([np.array([[100, 100], [120, 100], [120, 120], [100, 120]], float)], shape_type="rectangle")
    with pytest.raises(DataError, match="no region lies on the image"):
        pair_from_layers(Image(image), Labels(labels), outside).examples()


def test_a_value_that_stands_for_unknown_is_no_object(blobs):
    image, labels = blobs(2)
    labels = np.where(labels == 1, 255, labels)
    pair = pair_from_layers(Image(image), Labels(labels))
    (example,) = read_pairs((pair,), ignore_label=255)
    assert 255 not in example.instances
    np.testing.assert_array_equal(example.ignore, labels == 255)


def test_images_held_out_that_have_masks_need_no_labels_of_that_name(blobs, tmp_path, monkeypatch):
    image, labels = blobs(2)
    path = write_store(tmp_path / "train" / "images" / "a.ome.zarr", image, "yx", "0.4")
    create_labels(path, open_image(path), name="truth", block=(64, 64)).write((slice(None),) * 2, labels)
    for folder, write, array in (("images", write_image, image), ("masks", write_labels, labels)):
        (tmp_path / "val" / folder).mkdir(parents=True)
        write(tmp_path / "val" / folder / "a.tif", array, "YX")
    # What the working directory holds is not meant.
    write_store(tmp_path / "truth", np.where(labels == 1, labels, 0), "yx")
    monkeypatch.chdir(tmp_path)
    for (example,) in read_dataset(tmp_path, labels="truth"):
        np.testing.assert_array_equal(example.instances > 0, labels > 0)


@pytest.mark.parametrize("lies_here", [False, True])
def test_named_labels_are_also_those_of_the_images_held_out(blobs, tmp_path, monkeypatch, lies_here):
    image, labels = blobs(2)
    others = np.where(labels == 1, labels, 0)
    for part in ("train", "val"):
        path = write_store(tmp_path / part / "images" / "a.ome.zarr", image, "yx", "0.4")
        for name, found in (("truth", labels), ("other", others)):
            create_labels(path, open_image(path), name=name, block=(64, 64)).write((slice(None),) * 2, found)
        (tmp_path / part / "masks").mkdir()
        write_labels(tmp_path / part / "masks" / "a.tif", others, "YX")
    if lies_here:
        # What the working directory holds is not meant.
        (tmp_path / "truth").write_text("")
        monkeypatch.chdir(tmp_path)
    for place in (None, tmp_path / "val"):
        for (example,) in read_dataset(tmp_path, validation=place, labels="truth"):
            np.testing.assert_array_equal(example.instances > 0, labels > 0)


def test_held_out_images_take_the_memory_that_the_others_leave(blobs, tmp_path):
    image, labels = blobs(2)
    for part in ("train", "val"):
        for folder, write, array in (("images", write_image, image), ("masks", write_labels, labels)):
            (tmp_path / part / folder).mkdir(parents=True)
            write(tmp_path / part / folder / "a.tif", array, "YX")
    needed = float(image.size * (image.itemsize + 4 + 8))
    for times, is_stored in ((1.1, True), (2.1, False)):
        training, held_out = read_dataset(tmp_path, disk=FromDisk(times * needed))
        assert not isinstance(training[0], StoredExample)
        assert isinstance(held_out[0], StoredExample) == is_stored
