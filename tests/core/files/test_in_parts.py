"""Images on the disk that are read in parts: OME-Zarr and TIFF, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
import tifffile
import zarr
from store_steps import write_store

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.tiff import list_images, read_image

IMAGE = np.random.default_rng(0).integers(1, 60000, (1, 2, 1, 130, 100)).astype(np.uint16)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_both_versions_are_read_in_parts_and_whole(tmp_path, version):
    path = write_store(tmp_path / "im.ome.zarr", IMAGE, "tczyx", version, levels=2, channels=("dna", "membrane"))
    image = open_image(path)
    assert (image.axes, image.shape, image.dtype, image.ngff) == ("CYX", (2, 130, 100), np.uint16, version)
    assert image.levels == ((2, 130, 100), (2, 65, 50))
    assert (image.spacing, image.unit, image.channel_names) == ((0.5, 0.5), "um", ("dna", "membrane"))
    np.testing.assert_array_equal(image[1, 60:100, :7], IMAGE[0, 1, 0, 60:100, :7])
    np.testing.assert_array_equal(image[..., 99], IMAGE[0, :, 0, :, 99])
    half = open_image(path, 1)
    assert half.spacing == open_image(path / "1").spacing == (1.0, 1.0)
    np.testing.assert_array_equal(half[...], IMAGE[0, :, 0, ::2, ::2])
    picture = read_image(path)
    np.testing.assert_array_equal(picture.array, IMAGE[0, :, 0])
    assert (picture.axes, picture.spacing, picture.channel_names) == ("CYX", (0.5, 0.5), ("dna", "membrane"))
    assert read_image(path, "TYX").axes == "TYX"
    assert read_image(path, "TCZYX").array.shape == IMAGE.shape
    assert list_images(tmp_path) == [path]


def test_an_image_is_opened_again_in_another_process(tmp_path):
    image = open_image(write_store(tmp_path / "im.zarr", IMAGE[0, 0], "zyx", "0.4"))
    again = pickle.loads(pickle.dumps(image))
    assert (again.axes, again.spacing) == (image.axes, image.spacing)
    np.testing.assert_array_equal(again[:50], IMAGE[0, 0, 0, :50])


def test_the_first_of_several_images_is_read_and_said(tmp_path, caplog):
    for name in ("0", "1"):
        write_store(tmp_path / "all.zarr" / name, IMAGE[0, 0, 0])
    zarr.open_group(str(tmp_path / "all.zarr"), mode="a", zarr_format=3)
    # As bioformats2raw describes the images beside them.
    zarr.open_group(str(tmp_path / "all.zarr" / "OME"), mode="w", zarr_format=3)
    np.testing.assert_array_equal(read_image(tmp_path / "all.zarr").array, IMAGE[0, 0, 0])
    assert "holds 2 images; the first, 0, is read" in caplog.text
    assert open_image(tmp_path / "all.zarr").left_out.startswith("holds 2 images; the first, 0, is read")
    (tmp_path / "all.zarr" / "1" / "zarr.json").write_text("{")
    assert open_image(tmp_path / "all.zarr").left_out.startswith("holds 2 images")
    for name in ("1", "OME"):
        shutil.rmtree(tmp_path / "all.zarr" / name)
    assert open_image(tmp_path / "all.zarr").left_out == ""


def test_of_several_images_in_a_tiff_none_is_lost_unsaid(tmp_path):
    planes, said = IMAGE[0, 0, 0].reshape(2, 65, 100), []
    for name, options in (("pages.tif", {}), ("positions.ome.tif", {"ome": True})):
        path = tmp_path / name
        with tifffile.TiffWriter(path, **options) as tif:
            for plane in planes:
                tif.write(plane)
        with pytest.raises(DataError, match=r"holds 2 images of one size \(65 x 100\), and is read only whole; save"):
            open_image(path)
        image = open_image(path, axes="YX")
        np.testing.assert_array_equal(image[...], planes[0])
        assert image.left_out.startswith("holds 2 images; the largest (65 x 100) is read, left out: 65 x 100")
        with tifffile.TiffWriter(path, **options) as tif:
            tif.write(planes[0])
            tif.write(planes[0, :9, :7])
        read_image(path, say=said.append)
        assert said.pop() == f"{open_image(path).left_out}."


def test_labels_of_an_image_are_found_in_it(tmp_path):
    path = write_store(tmp_path / "im.zarr", IMAGE[0, 0, 0])
    labels = (IMAGE[0, 0, 0] > 30000).astype(np.uint32)
    (tmp_path / "im.zarr" / "labels").mkdir()
    group = tmp_path / "im.zarr" / "labels" / "zarr.json"
    for names in (["nuclei"], ["nuclei", "cells"]):
        described = {"ome": {"version": "0.5", "labels": names}}
        group.write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": described}))
        write_store(path / "labels" / names[-1], labels, more={"image-label": {}})
        if len(names) == 1:
            np.testing.assert_array_equal(read_image(path, labels=True).array, labels)
    with pytest.raises(DataError, match=r"several label images \(nuclei, cells\); name one"):
        read_image(path, labels=True)
    np.testing.assert_array_equal(read_image(path / "labels" / "cells", labels=True).array, labels)
    with pytest.raises(DataError, match="group of label images; name one of them: nuclei, cells"):
        open_image(path / "labels")


@pytest.mark.parametrize("options", [{"tile": (64, 64), "compression": "zlib"}, {"compression": "zlib"}, {}])
def test_a_tiff_is_read_in_parts(tmp_path, options):
    path = tmp_path / "im.ome.tif"
    volume = IMAGE[0, :, 0]
    tifffile.imwrite(path, volume, metadata={"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}, **options)
    image = open_image(path)
    assert (image.axes, image.shape) == ("ZYX", volume.shape)
    assert image.spacing == (0.25, 0.25, 0.25)
    np.testing.assert_array_equal(image[1:, 60:70, 5:80], volume[1:, 60:70, 5:80])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image))[0], volume[0])


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize(
    ("named", "given", "spacing", "start"),
    [
        ("zyx", "ZYX", (2, 0.5, 0.25), (20, 5, 2.5)),
        ("zyx", "YZX", (0.5, 2, 0.25), (5, 20, 2.5)),
        ("zyx", "XYZ", (0.25, 0.5, 2), (2.5, 5, 20)),
        ("zyx", "TYX", (0.5, 0.25), (5, 2.5)),
        ("zyx", "YXC", (2, 0.5), (20, 5)),
        ("cyx", "ZYX", (0.25, 0.5, 0.25), (0, 5, 2.5)),
    ],
)
def test_where_axes_are_given_other_letters_each_keeps_its_pixel_size(tmp_path, named, given, spacing, start, moved):
    volume, size = IMAGE[0, :, 0, :20, :30], {"z": 2, "y": 0.5, "x": 0.25, "c": 1}
    store, tiff = write_store(tmp_path / "a.zarr", volume, named), tmp_path / "a.ome.tif"
    described = json.loads((store / "zarr.json").read_text())
    moves = described["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    moves[0]["scale"] = [size[one] for one in named]
    if moved:
        moves.append({"type": "translation", "translation": [10 * size[one] for one in named]})
    (store / "zarr.json").write_text(json.dumps(described))
    sizes = {f"PhysicalSize{one.upper()}": size[one] for one in named if one != "c"}
    tifffile.imwrite(tiff, volume, metadata={"axes": named.upper(), **sizes}, photometric="minisblack")
    for image in (f(path, axes=given) for f in (read_image, open_image) for path in (store, tiff)):
        assert (image.axes, image.spacing) == (given, spacing)
    assert open_image(store, axes=given).origin == (start if moved else None)


def test_levels_of_a_tiff_pyramid_have_pixels_of_their_own(tmp_path):
    path, image = tmp_path / "im.ome.tif", IMAGE[0, 0, 0, :128, :96]
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(image, subifds=1, tile=(32, 32), metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
        tif.write(image[::2, ::2], subfiletype=1, tile=(32, 32))
    half = open_image(path, 1)
    assert (half.levels, half.spacing) == (((128, 96), (64, 48)), (1.0, 1.0))
    np.testing.assert_array_equal(half[3:40, 5:9], image[::2, ::2][3:40, 5:9])
    with pytest.raises(DataError, match=r"has 2 resolution levels .* no level 2"):
        open_image(path, 2)


def test_what_is_no_image_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DataError, match="is no OME-Zarr"):
        read_image(tmp_path / "empty.zarr")
    zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    with pytest.raises(DataError, match="has no multiscales"):
        open_image(tmp_path / "group.zarr")
    plate = zarr.open_group(str(tmp_path / "plate.zarr"), mode="w")
    plate.attrs["ome"] = {"plate": {}}
    with pytest.raises(DataError, match="is a plate; name the image of one of its wells"):
        open_image(tmp_path / "plate.zarr")
    path = write_store(tmp_path / "im.zarr", IMAGE[0, 0, 0], levels=2)
    with pytest.raises(DataError, match=r"has 2 resolution levels \(0 to 1\), no level 5"):
        open_image(path, 5)
    (path / "1").rename(path / "gone")
    assert open_image(path).levels == ((130, 100),)
    with pytest.raises(DataError, match="level '1' is missing; copy the store again"):
        open_image(path, 1)


def test_missing_pieces_are_background_but_not_all_of_them(tmp_path):
    path = write_store(tmp_path / "im.zarr", IMAGE[0, 0, 0])
    (path / "0" / "c" / "0" / "0").unlink()
    assert not read_image(path).array[:64, :64].any()
    for piece in (path / "0" / "c").rglob("*"):
        if piece.is_file():
            piece.unlink()
    for folder in sorted((path / "0" / "c").rglob("*"), reverse=True):
        folder.rmdir()
    (path / "0" / "c").rmdir()
    with pytest.raises(DataError, match="all of its chunks are missing"):
        open_image(path)


def test_a_damaged_piece_is_named(tmp_path):
    path = write_store(tmp_path / "im.zarr", IMAGE[0, 0, 0])
    piece = path / "0" / "c" / "1" / "0"
    piece.write_bytes(piece.read_bytes()[:20])
    with pytest.raises(DataError, match=r"im\.zarr: cannot be read at Y 64:128, X 0:64 .*may be damaged"):
        open_image(path)[60:70, :]


def test_a_piece_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    image, faults = open_image(write_store(tmp_path / "im.zarr", IMAGE[0, 0, 0])), iter([RuntimeError("torn")])
    read = zarr.Array.__getitem__

    def once_torn(array, key):
        for fault in faults:
            raise fault
        return read(array, key)

    monkeypatch.setattr(zarr.Array, "__getitem__", once_torn)
    np.testing.assert_array_equal(image[60:70, :], IMAGE[0, 0, 0, 60:70])


def test_a_level_outside_of_the_store_is_refused(tmp_path):
    write_store(tmp_path / "other.zarr", IMAGE[0, 0, 0])
    path = write_store(tmp_path / "im.zarr", IMAGE[0, 0, 0])
    file = path / "zarr.json"
    file.write_text(file.read_text().replace('"path": "0"', '"path": "../other.zarr/0"'))
    with pytest.raises(DataError, match="outside of the store"):
        open_image(path)


def test_pickles_objects_and_giant_pieces_are_refused_before_they_are_read(tmp_path):
    path = write_store(tmp_path / "im.zarr", IMAGE[0, 0, 0], version="0.4")
    file = path / "0" / ".zarray"
    described = json.loads(file.read_text())
    file.write_text(json.dumps(described | {"filters": [{"id": "pickle", "protocol": 5}]}))
    with pytest.raises(DataError, match=r"'pickle'.*can run code|no array that can be read"):
        open_image(path)
    file.write_text(json.dumps(described | {"dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": None}))
    with pytest.raises(DataError, match=r"no numbers|no array that can be read|can run code"):
        open_image(path)
    file.write_text(json.dumps(described | {"shape": [1 << 20, 1 << 20], "chunks": [1 << 20, 1 << 20]}))
    with pytest.raises(DataError, match="too large to be read in parts"):
        open_image(path)
    file.write_text(json.dumps(described | {"shape": [1 << 30, 1 << 30]}))
    with pytest.raises(DataError, match="do not fit into memory; segment it in blocks"):
        read_image(path)
