"""What is read of images that stay on the disk, and said of them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from store_steps import write_store
from stored_steps import MEMORY, picture, settings, store

from embedseg_napari.core.config import NormalizationConfig
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.region import Part
from embedseg_napari.core.training.crops.stored_source import normalized
from embedseg_napari.core.training.reading import from_disk
from embedseg_napari.core.training.trainer import train


def colour_slide(folder, image):
    """A tiled RGB TIFF with labels, of 900 x 1000 pixels."""
    labels = np.zeros(image.shape[:2], np.int32)
    labels[100:120, 100:120] = 1
    for part, array, options in (("images", image, {"photometric": "rgb"}), ("masks", labels, {})):
        folder.joinpath(part).mkdir()
        tifffile.imwrite(folder / part / "a.tif", array, tile=(64, 64), **options)
    return load_folder(folder, from_disk=from_disk(settings(2, MEMORY), None))


@pytest.mark.parametrize("glass", [0, 255])
def test_a_colour_slide_is_known_wherever_it_shows_colour(tmp_path, glass):
    image = np.full((900, 1000, 3), glass, np.uint8)
    image[:300] = np.random.default_rng(0).integers(0, 255, (300, 1000, 3))
    (one,) = colour_slide(tmp_path, image)
    assert isinstance(one, StoredExample)
    assert one.image.shape == (3, 900, 1000)


def test_a_grey_slide_saved_in_colours_is_refused(tmp_path):
    image = np.repeat(np.random.default_rng(0).integers(0, 255, (900, 1000, 1), np.uint8), 3, 2)
    with pytest.raises(DataError, match="is a grey image saved as RGB"):
        colour_slide(tmp_path, image)


def test_a_slide_that_shows_nothing_where_it_is_looked_at_is_no_grey_image(tmp_path):
    image = np.full((900, 1000, 3), 255, np.uint8)
    image[:8] = np.random.default_rng(0).integers(0, 255, (8, 1000, 3))
    assert colour_slide(tmp_path, image)[0].image.shape[0] == 3


def test_what_one_channel_lacks_is_seen_in_another(tmp_path):
    image, labels = picture(2)
    image = np.stack([image.astype(np.float32)] * 2)
    image[1, :90] = np.nan
    write_store(tmp_path / "images" / "a.ome.zarr", image, "cyx", chunk=40)
    write_store(tmp_path / "masks" / "a.ome.zarr", labels, chunk=40)
    (one,) = load_folder(tmp_path, from_disk=from_disk(settings(2, MEMORY), None))
    values = normalized(one.image, NormalizationConfig())[0].read(Part((0, 0), (180, 212)))
    np.testing.assert_array_equal(values, normalize(image, NormalizationConfig()))
    assert values[0, :90].any()


def test_another_label_image_is_taken_by_its_name_or_place(tmp_path):
    labels = picture(2)[1]
    path = store(tmp_path / "a.ome.zarr")
    write_store(path / "labels" / "other", labels, chunk=64, more={"image-label": {}})
    elsewhere = write_store(tmp_path / "b.ome.zarr", labels, chunk=64)
    config = settings(2, MEMORY)
    for name in ("other", elsewhere):
        (one,) = load_folder(path, labels=name, from_disk=from_disk(config, None))
        assert isinstance(one, StoredExample)
        assert len(one.objects.ids) == len(np.unique(labels)) - 1
    train(path, settings(2, MEMORY), validation=path, labels="other", progress=False, device="cpu")
    with pytest.raises(DataError, match=r"no label image 'none'"):
        load_folder(path, labels="none", from_disk=from_disk(config, None))


def no_labels(path):
    (path / "labels" / "zarr.json").unlink()


def other_shape(path):
    write_store(path / "labels" / "truth", picture(2)[1][:100], chunk=40)


def float_labels(path):
    write_store(path / "labels" / "truth", picture(2)[1] + 0.5, chunk=40)


def half_written(path):
    for chunk in (path / "labels" / "truth" / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(chunk.read_bytes()[:20])


def without_level(path):
    for file in sorted((path / "0").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (path / "0").rmdir()


def negative(path):
    write_store(path / "labels" / "truth", picture(2)[1] - 1, chunk=40)


def one_number(path):
    write_store(path / "labels" / "truth", (picture(2)[1] > 0).astype(np.uint8), chunk=40)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_labels, "no label image in labels/"),
        (other_shape, r"100 x 212 pixels, but its image .*a\.ome\.zarr has 180 x 212"),
        (float_labels, "fractions, stored as float64"),
        (half_written, "truth: cannot be read at"),
        (without_level, "resolution level '0' is missing"),
        (negative, "holds negative numbers"),
        (one_number, "looks like a binary mask"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, spoil, words):
    path = store(tmp_path / "a.ome.zarr")
    spoil(path)
    with pytest.raises(DataError, match=words):
        train(path, settings(2, MEMORY), progress=False, device="cpu", output=tmp_path / "m.embedseg")
    assert not (tmp_path / "m.embedseg").exists()


def test_missing_chunks_are_counted(tmp_path):
    path = store(tmp_path / "a.ome.zarr")
    (path / "0" / "c" / "0" / "0").unlink()
    said = []
    load_folder(path, from_disk=from_disk(settings(2, MEMORY), None), tell=lambda where, words: said.append(words))
    assert any("1 of its 30 chunks are not on the disk" in words for words in said)


def test_of_several_images_in_a_file_all_are_learned_from_or_it_is_told(tmp_path):
    image, labels = picture(2)
    for part, array in (("images", image), ("masks", labels)):
        (tmp_path / part).mkdir()
        with tifffile.TiffWriter(tmp_path / part / "pages.tif") as tif:
            for page in (array, array[::-1]):
                tif.write(page)
        for number in range(2):
            write_store(tmp_path / part / "several.zarr" / str(number), array)
        (tmp_path / part / "several.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    said = []
    read = load_folder(
        tmp_path, from_disk=from_disk(settings(2, MEMORY), None), tell=lambda *words: said.append(" ".join(words))
    )
    assert sorted((one.name, isinstance(one, StoredExample)) for one in read) == [
        ("pages 0", False),
        ("pages 1", False),
        ("several", True),
    ]
    for part in ("images", "masks"):
        place = tmp_path / part / "several.zarr"
        assert any(f"{place} holds 2 images; the first, 0, is read" in words for words in said)
