"""Images and their masks, from folders and from arrays."""

from __future__ import annotations

import logging
import unicodedata

import numpy as np
import pytest
import tifffile
from pair_steps import SHAPES, labels_of, save
from PIL import Image

from embedseg_napari.core.data.checks import check_examples
from embedseg_napari.core.data.on_disk import FromDisk
from embedseg_napari.core.data.pairs import find_dataset, from_arrays, load_folder
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.region import Part
from embedseg_napari.core.files.tiff import write_image


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("where", ["first", "last", "second"])
@pytest.mark.parametrize("named", [True, False])
def test_channels_are_found_and_put_first(tmp_path, ndim, channels, where, named):
    array = np.random.default_rng(0).integers(0, 99, (channels, *SHAPES[ndim])).astype(np.uint16)
    position = {"first": 0, "last": ndim, "second": 1}[where]
    space = "YX" if ndim == 2 else "ZYX"
    axes = f"{space[:position]}C{space[position:]}"
    save(tmp_path, "a.tif", np.moveaxis(array, 0, position), labels_of(ndim))
    (example,) = load_folder(tmp_path, axes=axes if named else None)
    np.testing.assert_array_equal(example.image, array)
    (example,) = load_folder(tmp_path, axes=axes if named else None, channel=1)
    np.testing.assert_array_equal(example.image, array[1:2])
    (example,) = load_folder(tmp_path, axes=axes if named else None, channel="mean")
    np.testing.assert_allclose(example.image, array.mean(0, keepdims=True), rtol=1e-6)
    with pytest.raises(DataError, match=r"a\.tif.*no channel 7"):
        load_folder(tmp_path, channel=7)


def test_guessed_axes_are_said(tmp_path, image, caplog):
    save(tmp_path, "a.tif", image[3], labels_of(3))
    with caplog.at_level(logging.INFO):
        load_folder(tmp_path)
    assert "read as ZYX" in caplog.text


@pytest.mark.parametrize("ndim", [2, 3])
def test_spacing_of_the_file_unless_given(tmp_path, image, ndim):
    spacing = (2.0, 0.5, 0.25)[-ndim:]
    for part, array in (("images", image[ndim]), ("masks", labels_of(ndim, np.uint16))):
        write_image(tmp_path / part / "a.tif", array, "ZYX"[-ndim:], spacing, "um")
    (example,) = load_folder(tmp_path)
    assert (example.spacing, example.unit) == (spacing, "um")
    (example,) = load_folder(tmp_path, spacing=(3,) * ndim)
    assert example.spacing == (3.0,) * ndim
    with pytest.raises(DataError, match="needs one value"):
        load_folder(tmp_path, spacing=(1.0,) * (ndim + 1))
    with pytest.raises(DataError, match="positive"):
        load_folder(tmp_path, spacing=(0.0,) * ndim)


def test_files_come_in_natural_order_and_ome_belongs_to_the_ending(tmp_path, image):
    for name in ("t10.tif", "t2.tif"):
        save(tmp_path, name, image[2], labels_of(2))
    write_image(tmp_path / "images" / "t1.ome.tif", image[2].astype(np.int32), "YX")
    write_image(tmp_path / "masks" / "t1.tif", labels_of(2), "YX")
    assert [example.name for example in load_folder(tmp_path)] == ["t1", "t2", "t10"]


def test_both_layouts(tmp_path, image):
    save(tmp_path / "flat", "a.tif", image[2], labels_of(2))
    assert find_dataset(tmp_path / "flat") == (tmp_path / "flat", None)
    save(tmp_path / "split" / "train", "a.tif", image[2], labels_of(2))
    assert find_dataset(tmp_path / "split") == (tmp_path / "split" / "train", None)
    save(tmp_path / "split" / "val", "a.tif", image[2], labels_of(2))
    assert find_dataset(str(tmp_path / "split")) == (tmp_path / "split" / "train", tmp_path / "split" / "val")
    for folder, fault in ((tmp_path / "none", "no such folder"), (tmp_path, "found neither")):
        with pytest.raises(DataError, match=fault) as caught:
            find_dataset(folder)
        assert str(folder) in str(caught.value)


def test_a_mask_or_an_image_that_is_alone_is_named(tmp_path, image):
    save(tmp_path, "a.tif", image[2], labels_of(2))
    save(tmp_path, "b.tif", image[2], None)
    save(tmp_path, "c.tif", image[2], None)
    with pytest.raises(DataError, match=r"images.b\.tif: there is no mask.*2 images"):
        load_folder(tmp_path)
    for name in ("b.tif", "c.tif"):
        save(tmp_path, name, None, labels_of(2))
    assert len(load_folder(tmp_path)) == 3
    save(tmp_path, "d.tif", None, labels_of(2))
    with pytest.raises(DataError, match=r"masks.d\.tif: there is no image"):
        load_folder(tmp_path)
    (tmp_path / "masks" / "d.tif").unlink()
    save(tmp_path, "e.tif", None, None, labels_of(2))
    with pytest.raises(DataError, match=r"ignore.e\.tif: there is no image"):
        load_folder(tmp_path)


def test_folders_without_anything_to_read(tmp_path, image):
    with pytest.raises(DataError, match="no folder images"):
        load_folder(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="no folder masks"):
        load_folder(tmp_path)
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match="no images that can be read"):
        load_folder(tmp_path)
    (tmp_path / "images" / "a.mrc").touch()
    with pytest.raises(DataError, match=r"save it as \.tif"):
        load_folder(tmp_path)


def test_images_of_other_formats_are_not_passed_over_in_silence(tmp_path, image, caplog):
    save(tmp_path, "a.tif", image[2], labels_of(2))
    (tmp_path / "images" / "b.mrc").touch()
    (tmp_path / "images" / "c.tif").symlink_to(tmp_path / "nowhere")
    assert len(load_folder(tmp_path)) == 1
    assert "2 images left out, such as b.mrc" in caplog.text


def test_pictures_of_every_computer_are_images_and_masks(tmp_path, image):
    save(tmp_path, "a.tif", image[2], None)
    (tmp_path / "masks").mkdir(exist_ok=True)
    Image.fromarray(labels_of(2).astype(np.uint16)).save(tmp_path / "masks" / "a.png")
    (example,) = load_folder(tmp_path)
    np.testing.assert_array_equal(example.instances, labels_of(2))


def test_two_files_of_one_name_are_an_error(tmp_path, image):
    save(tmp_path, "a.tif", image[2], labels_of(2))
    save(tmp_path, "a.tiff", image[2], labels_of(2))
    with pytest.raises(DataError, match="same name"):
        load_folder(tmp_path)


def colour(*values):
    return np.stack([np.full(SHAPES[2], value, np.uint8) for value in values], -1)


FAULTS = {
    "float mask": (np.zeros(SHAPES[2]), labels_of(2).astype(np.float32), r"masks.a\.tif.*float32.*16-bit"),
    "fractions": (np.zeros(SHAPES[2]), labels_of(2) + 0.5, r"masks.a\.tif.*probability"),
    "mask of NaN": (np.zeros(SHAPES[2]), np.full(SHAPES[2], np.nan), r"masks.a\.tif.*float64"),
    "negative": (np.zeros(SHAPES[2]), labels_of(2) - 1, r"masks.a\.tif.*negative"),
    "sizes": (np.zeros(SHAPES[2]), labels_of(2)[:-1], r"masks.a\.tif.*\(23, 30\).*\(24, 30\)"),
    "turned": (np.zeros(SHAPES[2]), labels_of(2).T.copy(), "swapped"),
    "sizes 3D": (np.zeros(SHAPES[3]), labels_of(3)[1:], r"masks.a\.tif.*\(5, 24, 30\).*\(6, 24, 30\)"),
    "mask in colour": (np.zeros(SHAPES[2]), colour(0, 0, 9), r"masks.a\.tif.*colour"),
    "labels for planes": (np.zeros(SHAPES[2]), labels_of(3), r"masks.a\.tif.*plane 0 holds several"),
    "complex": (np.zeros(SHAPES[2], np.complex64), labels_of(2), r"images.a\.tif.*complex64"),
    "grey as RGB": (colour(7, 7, 7), labels_of(2), r"images.a\.tif.*grey.*--channel 0"),
    "one colour": (
        colour(0, 7, 0),
        labels_of(2),
        r"images.a\.tif.*one colour.*--channel 1 \(in napari, under Ch",
    ),
    "grey as RGBA": (colour(7, 7, 7, 255), labels_of(2), r"images.a\.tif.*grey.*--channel 0"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_faults_name_the_file(tmp_path, kind):
    image, mask, fault = FAULTS[kind]
    save(tmp_path, "a.tif", image, mask)
    with pytest.raises(DataError, match=fault):
        load_folder(tmp_path)
    with pytest.raises(DataError, match="image 0"):
        from_arrays([(image, mask)])


def test_colour_pictures_with_colours_have_three_channels(tmp_path):
    save(tmp_path, "a.tif", colour(1, 2, 3), None, photometric="rgb")
    save(tmp_path, "a.tif", None, labels_of(2))
    assert load_folder(tmp_path)[0].image.shape == (3, *SHAPES[2])
    save(tmp_path, "a.tif", colour(7, 7, 7), None, photometric="rgb")
    assert load_folder(tmp_path, channel=0)[0].image.shape == (1, *SHAPES[2])


def test_masks_that_count_instead_of_labels_of_a_name_are_told(tmp_path, image):
    save(tmp_path, "a.tif", image[2], labels_of(2))
    told = []
    assert len(load_folder(tmp_path, labels="nuclie", tell=lambda *words: told.append(words))) == 1
    assert "labels called 'nuclie'; the masks in masks/ count" in told[0][1]


def test_files_pair_whatever_their_endings_capitals_and_accents(tmp_path, image):
    for part, names in (
        ("images", ("One.TIF", unicodedata.normalize("NFC", "Präparat.tif"), "b.ome.tiff")),
        ("masks", ("one.tiff", unicodedata.normalize("NFD", "Präparat.tif"), "B.tif")),
        ("ignore", ("ONE.ome.tif", unicodedata.normalize("NFD", "präparat.tif"))),
    ):
        for name in names:
            array = {"images": image[2], "masks": labels_of(2, np.uint16), "ignore": np.eye(24, 30, dtype=np.uint8)}
            save(tmp_path, name, *(array[part] if part == other else None for other in array))
    examples = load_folder(tmp_path)
    assert sorted((one.name, one.ignore is not None) for one in examples) == [
        ("One", True),
        ("Präparat", True),
        ("b", False),
    ]
    save(tmp_path, "b.tif", image[2], None)
    with pytest.raises(DataError, match="same name"):
        load_folder(tmp_path)


def test_bad_arrays():
    image = np.zeros(SHAPES[2])
    for pairs, fault in (
        ([], "no images"),
        ([(image,)], "is no pair"),
        ([(image, None)], "lacks its labels"),
        ([(None, image)], "lacks its image"),
        ([(np.zeros((0, 5)), np.zeros((0, 5), int))], "no pixels"),
        ([(np.zeros(5), np.zeros(5, int))], "no image"),
    ):
        with pytest.raises(DataError, match=fault):
            from_arrays(pairs)


def test_arrays_keep_names_and_examples_pass_through(image):
    made = from_arrays([(image[2], labels_of(2))], names=["first"], spacing=(1, 2))
    assert (made[0].name, made[0].spacing) == ("first", (1.0, 2.0))
    assert from_arrays(made)[0] is made[0]


def test_the_users_arrays_are_left_alone(image):
    labels = labels_of(2)
    before = image[2].copy(), labels.copy()
    (example,) = from_arrays([(image[2], labels)])
    check_examples([example])
    np.testing.assert_array_equal(image[2], before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n", "ndim", "is_planes"),
    [
        ("dsb2018", 441, 2, False),
        ("bbbc010", 50, 2, True),
        ("usiigaci", 45, 2, False),
        ("bbbc050", 55, 3, False),
        ("gonuclear", 3, 3, False),
    ],
)
def test_real_sets_pass_the_checks(shared_data, name, n, ndim, is_planes):
    folder, _ = find_dataset(shared_data(name))
    examples = load_folder(folder)
    assert len(examples) == n
    assert {(e.ndim, e.is_planes, len(e.image)) for e in examples} == {(ndim, is_planes, 1)}
    warnings = check_examples(examples)
    assert any("several pieces" in text for text in warnings) == (name in ("usiigaci", "bbbc010"))
    assert any("how large their voxels are" in text for text in warnings) == (ndim == 3)


@pytest.mark.parametrize("limit", [1.0, None])
def test_alpha_that_hides_nothing_is_no_channel_in_memory_or_on_the_disk(tmp_path, rng, limit):
    labels = np.zeros((60, 80), np.uint16)
    labels[10:20, 10:30] = 1
    image = rng.integers(0, 255, (60, 80, 4)).astype(np.uint8)
    image[..., 3] = 255
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", image, photometric="rgb")
    tifffile.imwrite(tmp_path / "masks" / "a.tif", labels)
    (example,) = load_folder(tmp_path, from_disk=FromDisk(limit))
    assert isinstance(example, StoredExample) == (limit is not None)
    (mean,) = load_folder(tmp_path, from_disk=FromDisk(limit), channel="mean")
    whole = Part((0, 0), (60, 80))
    found, grey = (one.image if limit is None else one.image.read(whole) for one in (example, mean))
    np.testing.assert_array_equal(found, np.moveaxis(image[..., :3], -1, 0))
    np.testing.assert_allclose(grey[0], image[..., :3].mean(-1), rtol=1e-5)
