"""Masks of every kind: label images, stacks of planes, movies, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from pair_steps import SHAPES, labels_of, planes_of, save

from embedseg_napari.core.data.pairs import from_arrays, load_folder
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import write_image


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"])
def test_label_images_of_any_integer_type(tmp_path, image, ndim, dtype):
    save(tmp_path, "a.tif", image[ndim], labels_of(ndim, dtype))
    (example,) = load_folder(tmp_path)
    assert (example.name, example.ndim, example.is_planes) == ("a", ndim, False)
    assert example.instances.dtype == np.int32
    np.testing.assert_array_equal(example.instances, labels_of(ndim))
    np.testing.assert_array_equal(example.image, image[ndim][None])
    assert example.image.dtype == np.uint16
    assert example.path == tmp_path / "images" / "a.tif"
    assert example.mask_path == tmp_path / "masks" / "a.tif"


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32"])
def test_stacks_of_planes(tmp_path, image, ndim, dtype):
    save(tmp_path, "a.tif", image[ndim], planes_of(ndim, dtype))
    (example,) = load_folder(tmp_path)
    assert example.is_planes
    assert example.ndim == ndim
    assert example.instances.dtype == bool
    np.testing.assert_array_equal(example.instances, planes_of(ndim).astype(bool))


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_boolean_mask_is_one_object(image, ndim):
    labels = labels_of(ndim) == 3
    np.testing.assert_array_equal(from_arrays([(image[ndim], labels)])[0].instances, labels.astype(np.int32))


@pytest.mark.parametrize("background", [True, False])
def test_ids_beyond_31_bits_are_numbered_anew(background):
    labels = np.array([[0 if background else 5, 2**40], [7, 2**63]], np.uint64)
    (example,) = from_arrays([(np.zeros((2, 2)), labels)])
    first = 0 if background else 1
    np.testing.assert_array_equal(example.instances, np.array([[0, 2], [1, 3]]) + first)


@pytest.mark.parametrize("ndim", [2, 3])
def test_ignore_masks(tmp_path, image, ndim):
    ignore = np.zeros(SHAPES[ndim], np.uint8)
    ignore[..., :5] = 9
    save(tmp_path, "a.tif", image[ndim], labels_of(ndim), ignore)
    save(tmp_path, "b.tif", image[ndim], labels_of(ndim))
    first, second = load_folder(tmp_path)
    np.testing.assert_array_equal(first.ignore, ignore > 0)
    assert first.ignore.dtype == bool
    assert second.ignore is None
    arrays = from_arrays([(image[ndim], labels_of(ndim), ignore), (image[ndim], labels_of(ndim), None)])
    np.testing.assert_array_equal(arrays[0].ignore, ignore > 0)
    assert arrays[1].ignore is None
    with pytest.raises(DataError, match="ignore mask has shape"):
        from_arrays([(image[ndim], labels_of(ndim), ignore[..., 1:])])


def test_a_mask_in_colours_is_refused_however_they_are_stored(tmp_path, image):
    white = (labels_of(2) > 0).astype(np.uint8) * 255
    for number, (stack, planes) in enumerate([(-1, "contig"), (0, "separate")]):
        save(tmp_path / str(number), "a.tif", image[2], None)
        path = tmp_path / str(number) / "masks" / "a.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(path, np.stack([white] * 3, stack), photometric="rgb", planarconfig=planes)
        with pytest.raises(DataError, match="colour picture"):
            load_folder(tmp_path / str(number))


def movie_of(n_frames, *, empty=()):
    """Images and labels (T, Y, X), ids anew in every frame, nothing in some."""
    rng = np.random.default_rng(0)
    labels = np.stack([np.roll(labels_of(2, np.uint16), t, 1) for t in range(n_frames)])
    labels[list(empty)] = 0
    return rng.integers(0, 200, labels.shape).astype(np.uint16), labels


@pytest.mark.parametrize("mask_axes", ["TYX", "ZYX", None])
def test_frames_of_a_movie_are_images_of_their_own(tmp_path, image, mask_axes, caplog):
    images, labels = movie_of(6)
    write_image(tmp_path / "images" / "a.tif", images, "TYX", (0.5, 0.25), "um")
    if mask_axes:
        write_image(tmp_path / "masks" / "a.tif", labels, mask_axes)
    else:
        save(tmp_path, "a.tif", None, labels)
    save(tmp_path, "b.tif", image[2], labels_of(2))
    examples = load_folder(tmp_path)
    assert [example.name for example in examples] == [*(f"a {t}" for t in range(6)), "b"]
    for t in range(6):
        np.testing.assert_array_equal(examples[t].image, images[t][None])
        np.testing.assert_array_equal(examples[t].instances, labels[t])
    assert (examples[0].spacing, examples[0].unit) == ((0.5, 0.25), "um")
    assert ("--axes ZYX" in caplog.text) == (mask_axes == "ZYX")
    (tmp_path / "images" / "b.tif").unlink()
    (tmp_path / "masks" / "b.tif").unlink()
    assert load_folder(tmp_path, axes="ZYX")[0].ndim == 3


def test_movies_of_volumes_and_channels_with_planes_and_unknown_pixels():
    labels = np.stack([labels_of(3, np.uint16) * (t + 1) for t in range(4)])
    image = np.random.default_rng(0).integers(0, 99, (4, 2, *SHAPES[3]))
    ignore = labels == 3
    examples = from_arrays([(image, labels, ignore)], axes="TCZYX", channel=1)
    assert len(examples) == 4
    for t, example in enumerate(examples):
        np.testing.assert_array_equal(example.image, image[t, 1:])
        np.testing.assert_array_equal(example.instances, labels[t])
        np.testing.assert_array_equal(example.ignore, ignore[t])
    planes = np.stack([planes_of(2, np.uint8)] * 4)
    examples = from_arrays([(image[:, 0, 0], planes)], axes="TYX")
    assert len(examples) == 4
    assert all(example.is_planes and example.instances.shape == (2, *SHAPES[2]) for example in examples)


def test_frames_without_labels_are_left_out_and_named(tmp_path, caplog):
    images, labels = movie_of(6, empty=(1, 4))
    write_image(tmp_path / "images" / "a.tif", images, "TYX")
    write_image(tmp_path / "masks" / "a.tif", labels, "TYX")
    assert [example.name for example in load_folder(tmp_path)] == ["a 0", "a 2", "a 3", "a 5"]
    assert "2 of 6 frames are left out" in caplog.text
    # With pixels of unknown class, a frame without objects was looked at.
    write_image(tmp_path / "ignore" / "a.tif", (labels == 3).astype(np.uint8), "TYX")
    assert len(load_folder(tmp_path)) == 6


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        (labels_of(2, np.uint16), "is one image, but .*a.tif has 6 frames"),
        (movie_of(5)[1], "has 5 frames, but .*--axes ZYX"),
        (movie_of(6)[1][:, 1:], "has shape"),
    ],
)
def test_masks_of_other_movies_are_refused(tmp_path, mask, fault):
    write_image(tmp_path / "images" / "a.tif", movie_of(6)[0], "TYX")
    write_image(tmp_path / "masks" / "a.tif", mask, "TYX"[-mask.ndim :])
    with pytest.raises(DataError, match=rf"masks.a\.tif: {fault}"):
        load_folder(tmp_path)


def test_masks_with_frames_for_a_volume_are_refused(tmp_path):
    images, labels = movie_of(6)
    write_image(tmp_path / "images" / "a.tif", images, "ZYX")
    write_image(tmp_path / "masks" / "a.tif", labels, "TYX")
    with pytest.raises(DataError, match="--axes TYX or --axes ZYX"):
        load_folder(tmp_path)
    assert len(load_folder(tmp_path, axes="TYX")) == 6
    (tmp_path / "images" / "a.tif").unlink()
    save(tmp_path, "a.tif", images, None)
    assert len(load_folder(tmp_path)) == 6


@pytest.mark.parametrize("axes", ["XY", "XYZ", "YXZ", "CXY", "XYC"])
def test_masks_are_turned_with_their_images(axes, rng, tmp_path):
    space = axes.replace("C", "")
    shape = tuple({"X": 24, "Y": 16, "Z": 9}[letter] for letter in space)
    labels = rng.integers(0, 3, shape).astype(np.uint16)
    image = labels * 100 + 1
    array = image if "C" not in axes else np.stack([image, image], axis=axes.index("C"))
    planes = np.stack([labels == 1, labels == 2]).astype(np.uint8)
    for folder in ("images", "masks", "ignore"):
        (tmp_path / folder).mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", array, metadata=None)
    tifffile.imwrite(tmp_path / "masks" / "a.tif", labels, metadata=None)
    tifffile.imwrite(tmp_path / "ignore" / "a.tif", (labels == 2).astype(np.uint8), metadata=None)
    turned = "".join(letter for letter in "ZYX" if letter in space)
    for example in (
        load_folder(tmp_path, axes=axes)[0],
        from_arrays([(array, labels, labels == 2)], axes=axes)[0],
    ):
        assert example.instances.shape == tuple(shape[space.index(letter)] for letter in turned)
        np.testing.assert_array_equal(example.image[0], example.instances * 100 + 1)
        np.testing.assert_array_equal(example.ignore, example.instances == 2)
    example = from_arrays([(array, planes)], axes=axes)[0]
    np.testing.assert_array_equal(example.image[0] > 1, example.instances.any(0))
