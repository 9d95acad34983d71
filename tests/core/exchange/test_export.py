"""Files for other programs: each is opened by another reader, and read back it is the same labels."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile
import zarr
from store_steps import write_store

import embedseg_napari as es
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.exchange import ctc
from embedseg_napari.core.files.tiff import read_image

NAMES = {"imagej": "a.zip", "geojson": "a.geojson", "coco": "a.json"}


@pytest.mark.parametrize("kind", NAMES)
def test_labels_come_back_pixel_for_pixel(kind, hard, tmp_path) -> None:
    es.export_labels(hard, tmp_path / NAMES[kind], kind)
    np.testing.assert_array_equal(es.import_labels(tmp_path / NAMES[kind], hard.shape), hard)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 15, 20), "ZYX"), ((3, 15, 20), "TYX"), ((2, 3, 9, 8), "TZYX"), ((9, 2, 8, 3), "YZXT")]
)
def test_volumes_and_movies_come_back(kind, shape, axes, tmp_path) -> None:
    labels = np.random.default_rng(0).integers(0, 6, shape)
    es.export_labels(labels, tmp_path / NAMES[kind], kind, axes)
    np.testing.assert_array_equal(es.import_labels(tmp_path / NAMES[kind], shape, axes), labels)


@pytest.mark.parametrize("kind", ["imagej", "geojson"])
def test_numbers_up_to_seventy_thousand_come_back(kind, many, tmp_path) -> None:
    es.export_labels(many, tmp_path / NAMES[kind], kind)
    np.testing.assert_array_equal(es.import_labels(tmp_path / NAMES[kind], many.shape), many)


@pytest.mark.parametrize("kind", NAMES)
def test_numbers_that_floats_cannot_tell_apart_are_of_two_objects(kind, tmp_path) -> None:
    labels = np.zeros((9, 9), np.uint64)
    labels[1, 1:4], labels[5, 5] = 2**60 + 1, 2**60 + 2
    es.export_labels(labels, tmp_path / NAMES[kind], kind)
    with pytest.warns(es.AssumptionWarning, match="2 objects have numbers that are not within"):
        back = es.import_labels(tmp_path / NAMES[kind], labels.shape)
    np.testing.assert_array_equal(back, np.where(labels > 0, labels - np.uint64(2**60), 0))


def test_roifile_reads_the_rois(hard, tmp_path) -> None:
    roifile = pytest.importorskip("roifile")
    es.export_labels(hard, tmp_path / "a.zip", "imagej")
    rois = roifile.roiread(tmp_path / "a.zip")
    assert sorted(int(roi.name) for roi in rois) == np.unique(hard[hard > 0]).tolist()
    for roi in rois:
        y, x = np.nonzero(hard == int(roi.name))
        assert (roi.left, roi.top, roi.right, roi.bottom) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        parts = roi.coordinates(multi=True)
        assert roi.composite == (len(parts) > 1)
        corners = np.concatenate(parts)
        assert corners.min(0).tolist() == [x.min(), y.min()]


def test_rois_of_stacks_lie_on_their_slices_and_frames(tmp_path) -> None:
    roifile = pytest.importorskip("roifile")
    labels = np.zeros((2, 3, 5, 5), int)
    labels[1, 2, 1:3, 1:3] = 4
    es.export_labels(labels, tmp_path / "a.zip", "imagej", "TZYX")
    (roi,) = roifile.roiread(tmp_path / "a.zip")
    assert (roi.t_position, roi.z_position, roi.position) == (2, 3, 6)


def test_planes_that_imagej_cannot_address_are_refused(tmp_path) -> None:
    labels = np.zeros((2, 32_768), np.uint8)
    labels[0, 0] = 1
    with pytest.raises(DataError, match="coordinates end at 32,767; choose the format geojson"):
        es.export_labels(labels, tmp_path / "a.zip", "imagej")
    assert list(tmp_path.iterdir()) == []


def test_shapely_and_geojson_read_the_features(hard, tmp_path) -> None:
    geojson, geometry = pytest.importorskip("geojson"), pytest.importorskip("shapely.geometry")
    table = es.measure(hard, spacing=(0.5, 0.5))
    es.export_labels(hard, tmp_path / "a.geojson", "geojson", table=table)
    collection = geojson.loads((tmp_path / "a.geojson").read_text())
    assert collection.is_valid, collection.errors()
    for feature in collection["features"]:
        shape, properties = geometry.shape(feature["geometry"]), feature["properties"]
        assert shape.is_valid
        assert shape.area == np.count_nonzero(hard == int(properties["name"]))
        assert properties["objectType"] == "detection"
        assert properties["measurements"]["area_um2"] == pytest.approx(shape.area / 4)


# Of pycocotools itself.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_pycocotools_reads_the_annotations(hard, tmp_path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    es.export_labels(hard, tmp_path / "a.json", "coco")
    read = coco.COCO(str(tmp_path / "a.json"))
    back = np.zeros(hard.shape, np.int64)
    for annotation in read.loadAnns(read.getAnnIds()):
        mask = read.annToMask(annotation) > 0
        assert annotation["area"] == mask.sum()
        y, x = np.nonzero(mask)
        assert annotation["bbox"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        back[mask] = annotation["label"]
    np.testing.assert_array_equal(back, hard)


@pytest.mark.parametrize("name", ["a.ply", "a.stl", "folder"])
def test_trimesh_reads_the_surfaces(name, tmp_path) -> None:
    trimesh = pytest.importorskip("trimesh")
    z, y, x = np.indices((30, 40, 40))
    labels = np.where((z - 15) ** 2 * 4 + (y - 20) ** 2 + (x - 15) ** 2 <= 14**2, 6, 0)
    es.export_labels(labels, tmp_path / name, "mesh", spacing=(2000, 1000, 1000), unit="nm")
    mesh = trimesh.load_mesh(tmp_path / "folder" / "6.ply" if name == "folder" else tmp_path / name)
    assert mesh.is_watertight
    # Positive only if triangles are seen from outside.
    assert mesh.volume == pytest.approx(np.count_nonzero(labels) * 2, rel=0.05)
    assert mesh.centroid.tolist() == pytest.approx([15, 20, 30], abs=0.2)


def test_the_layout_of_the_cell_tracking_challenge(tmp_path) -> None:
    film = np.zeros((5, 6, 7), np.int32)
    film[0:2, 0, 0:3] = film[3:, 0, 0:3] = 80_000
    film[1:3, 4:, 4:] = 12
    es.export_labels(film, tmp_path / "01_RES", "ctc", "TYX", spacing=(0.5, 0.5))
    assert (tmp_path / "01_RES" / "res_track.txt").read_text() == "1 0 1 0\n2 1 2 0\n3 3 4 1\n"
    for t in range(5):
        frame = tifffile.imread(tmp_path / "01_RES" / f"mask00{t}.tif")
        assert frame.dtype == np.uint16
        np.testing.assert_array_equal(frame > 0, film[t] > 0)
    assert np.unique(frame).tolist() == [0, 3]


def test_objects_keep_their_numbers_in_the_layout_of_the_cell_tracking_challenge(tmp_path) -> None:
    film = np.zeros((3, 6, 7), np.int32)
    film[:2, 0, 0:3] = film[1:, 2, 0:3] = 30
    film[(0, 2), 4:, 4:] = 12
    es.export_labels(film, tmp_path / "01_RES", "ctc", "TYX")
    assert (tmp_path / "01_RES" / "res_track.txt").read_text() == "12 0 0 0\n30 0 2 0\n31 2 2 12\n"
    assert np.unique(tifffile.imread(tmp_path / "01_RES" / "mask002.tif")).tolist() == [0, 30, 31]


def test_ids_that_a_store_cannot_hold_are_refused_by_its_own_name(tmp_path) -> None:
    place = tmp_path / "a.ome.zarr"
    with pytest.raises(DataError, match=r"ids up to 4294967296 cannot be stored") as raised:
        es.export_labels(np.full((5, 6), 2**32), place, "ome-zarr")
    assert str(raised.value).startswith(f"{place}: ")
    assert not any(tmp_path.iterdir())


def test_a_segmented_movie_is_exported_frame_by_frame(tmp_path) -> None:
    def found(labels, n, frames=()):
        return es.Segmentation(labels, np.zeros((n, 2)), np.ones(n), PredictionConfig(), frames)

    frames = tuple(found(np.full((5, 6), n), n) for n in (1, 2, 3))
    movie = found(np.stack([one.labels for one in frames]), 3, frames)
    es.export_labels(movie, tmp_path / "movie", "ctc")
    assert sorted(path.name for path in (tmp_path / "movie").glob("mask*")) == [f"mask00{t}.tif" for t in range(3)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("imagej", "a.zip"), ("geojson", "a.geojson"), ("coco", "a.json"), ("ome-tiff", "a.ome.tif")],
)
def test_labels_that_are_read_in_parts_give_the_same_file(kind, name, tmp_path) -> None:
    film = np.random.default_rng(0).integers(0, 9, (3, 12, 14)).astype(np.uint32)
    lazy = zarr.create_array({}, shape=film.shape, dtype=film.dtype, chunks=(2, 5, 5))
    lazy[...] = film
    for folder, labels in (("whole", film), ("parts", lazy)):
        es.export_labels(labels, tmp_path / folder / name, kind, "TYX")
    if kind == "ome-tiff":
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "parts" / name), film)
    else:
        np.testing.assert_array_equal(es.import_labels(tmp_path / "parts" / name, film.shape, "TYX"), film)


def test_a_movie_in_parts_is_a_folder_or_a_store(tmp_path) -> None:
    film = np.random.default_rng(0).integers(0, 3, (3, 12, 1030)).astype(np.uint32)
    lazy = zarr.create_array({}, shape=film.shape, dtype=film.dtype, chunks=(2, 5, 500))
    lazy[...] = film
    es.export_labels(lazy, tmp_path / "film", "ctc", "TYX")
    es.export_labels(film, tmp_path / "film 2", "ctc", "TYX")
    for path in (tmp_path / "film").glob("*.*"):
        if not path.name.startswith("."):
            assert path.read_bytes() == (tmp_path / "film 2" / path.name).read_bytes()
    es.export_labels(lazy, tmp_path / "a.ome.zarr", "ome-zarr", "TYX")
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "a.ome.zarr" / "0"), mode="r")[...], film)


def test_ome_tiff(tmp_path) -> None:
    labels = np.random.default_rng(0).integers(0, 90_000, (3, 8, 9))
    es.export_labels(labels, tmp_path / "a.ome.tif", "ome-tiff", spacing=(2, 1, 1))
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert file.is_ome
    picture = read_image(tmp_path / "a.ome.tif", labels=True)
    np.testing.assert_array_equal(picture.array, labels)
    assert (picture.axes, picture.spacing, picture.unit) == ("ZYX", (2, 1, 1), "um")


@pytest.mark.parametrize(
    ("shape", "axes"), [((70, 90), "YX"), ((3, 40, 50), "ZYX"), ((2, 40, 50), "TYX"), ((2, 3, 20, 20), "TZYX")]
)
def test_ome_zarr_is_valid_and_holds_the_labels(shape, axes, tmp_path) -> None:
    yaozarrs = pytest.importorskip("yaozarrs")
    labels = np.random.default_rng(0).integers(0, 90_000, shape)
    spacing = (2, 0.5, 0.5)[-len(axes.replace("T", "")) :]
    path = tmp_path / "a.ome.zarr"
    es.export_labels(labels, path, "ome-zarr", axes, spacing=spacing)
    yaozarrs.validate_zarr_store(path)
    picture = read_image(path, labels=True)
    np.testing.assert_array_equal(picture.array, labels)
    assert (picture.axes, picture.spacing, picture.unit) == (axes, spacing, "um")
    assert [one.name for one in tmp_path.iterdir()] == ["a.ome.zarr"]
    with pytest.raises(AlreadyExists):
        es.export_labels(labels, path, "ome-zarr", axes)
    es.export_labels(labels[:1], path, "ome-zarr", axes, overwrite=True)
    assert read_image(path, labels=True).array.size == labels[:1].size
    assert [one.name for one in tmp_path.iterdir()] == ["a.ome.zarr"]


@pytest.mark.parametrize(
    ("shape", "axes", "kept"), [((1, 20, 30), "ZYX", "YX"), ((2, 1, 20, 30), "TZYX", "TYX"), ((20, 30, 1), "YXZ", "YX")]
)
def test_a_volume_of_one_plane_keeps_the_pixel_size_of_its_plane(shape, axes, kept, tmp_path) -> None:
    labels = np.random.default_rng(0).integers(0, 9, shape)
    es.export_labels(labels, tmp_path / "a.ome.zarr", "ome-zarr", axes, spacing=(2, 0.5, 0.25))
    picture = read_image(tmp_path / "a.ome.zarr", labels=True)
    np.testing.assert_array_equal(picture.array, labels.squeeze())
    assert (picture.axes, picture.spacing, picture.unit) == (kept, (0.5, 0.25), "um")


def test_the_store_of_an_image_is_not_replaced_by_labels(tmp_path) -> None:
    image = np.arange(600, dtype=np.uint16).reshape(20, 30)
    write_store(tmp_path / "image.ome.zarr", image, "yx")
    with pytest.raises(AlreadyExists, match="holds more than a label image, and is not replaced"):
        es.export_labels(np.ones((20, 30), int), tmp_path / "image.ome.zarr", "ome-zarr", "YX", overwrite=True)
    np.testing.assert_array_equal(read_image(tmp_path / "image.ome.zarr").array, image)
    assert [one.name for one in tmp_path.iterdir()] == ["image.ome.zarr"]


@pytest.mark.parametrize(
    ("labels", "name", "kind", "words"),
    [
        (np.zeros((4, 4), int), "a.zip", "imagej", "holds no objects"),
        (np.ones((4, 4)), "a.zip", "imagej", "whole numbers stored as float64"),
        (np.ones((4, 4), int), "a.zip", "matlab", "no format 'matlab'; choose imagej"),
        (np.ones((4, 4), int), "a.tif", "imagej", "choose .zip"),
        (np.ones((4, 4), int), "a.ply", "mesh", "made of volumes"),
        (np.ones((4, 4), int), "a.obj", "mesh", "choose .ply or .stl or a folder"),
    ],
)
def test_what_does_not_fit_is_refused(labels, name, kind, words, tmp_path) -> None:
    with pytest.raises(DataError, match=words):
        es.export_labels(labels, tmp_path / name, kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind"), [("a.zip", "imagej"), ("a.ome.tif", "ome-tiff"), ("a", "ctc"), ("a", "mesh")]
)
def test_nothing_is_replaced_unasked(name, kind, tmp_path) -> None:
    labels = np.ones((2, 4, 4), int)
    target = tmp_path / name
    if target.suffix:
        target.write_text("kept")
    else:
        target.mkdir()
        (target / "kept.txt").write_text("kept")
    with pytest.raises(AlreadyExists):
        es.export_labels(labels, target, kind)
    es.export_labels(labels, target, kind, overwrite=True)
    assert target.is_file() or (target / "kept.txt").read_text() == "kept"


def test_a_shorter_movie_takes_the_place_of_a_longer_one(tmp_path) -> None:
    film, folder = np.ones((6, 4, 4), np.int32), tmp_path / "film"
    es.export_labels(film, folder, "ctc", "TYX")
    (folder / "notes.txt").write_text("kept")
    (folder / "mask004.tif").write_bytes(b"changed by hand")
    said: list[str] = []
    es.export_labels(film[:3], folder, "ctc", "TYX", overwrite=True, say=said.append)
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert names == {"mask000.tif", "mask001.tif", "mask002.tif", "mask004.tif", "res_track.txt", "notes.txt"}
    assert (folder / "mask004.tif").read_bytes() == b"changed by hand"
    assert len(said) == 1
    assert "1 file that this export did not make (such as mask004.tif)" in said[0]
    # Without a record nothing is known to be our own.
    (folder / ".embedseg-export.json").write_text('{"notes.txt": "?", "../film": 1}')
    es.export_labels(film[:2], folder, "ctc", "TYX", overwrite=True, say=said.append)
    assert (folder / "mask002.tif").exists()
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize(
    ("name", "kind"), [("a.zip", "imagej"), ("a.geojson", "geojson"), ("a", "ctc"), ("a.ome.zarr", "ome-zarr")]
)
@pytest.mark.parametrize(("value", "kept_as", "words"), [(0, int, "holds no objects"), (1, float, "float64 values")])
def test_what_is_not_in_memory_is_refused_as_well(name, kind, value, kept_as, words, tmp_path) -> None:
    lazy = zarr.create_array({}, shape=(3, 12, 14), dtype=kept_as, chunks=(2, 5, 5))
    lazy[...] = value
    with pytest.raises(DataError, match=words):
        es.export_labels(lazy, tmp_path / name, kind, "TYX")
    assert list(tmp_path.iterdir()) == []


def test_a_ply_has_no_room_for_large_numbers(tmp_path) -> None:
    with pytest.raises(DataError, match=r"up to 2,147,483,647, and these go up to 2,147,483,648; .* choose \.stl"):
        es.export_labels(np.full((2, 3, 4), 2**31), tmp_path / "a.ply", "mesh")
    assert list(tmp_path.iterdir()) == []


def test_labels_without_pixels_and_tables_without_objects_are_refused(tmp_path) -> None:
    for take in (es.measure, lambda labels: es.export_labels(labels, tmp_path / "a.zip", "imagej")):
        with pytest.raises(DataError, match="Labels of shape 0 x 5 have no pixels"):
            take(np.zeros((0, 5), int))
    with pytest.raises(DataError, match="column label"):
        es.export_labels(np.ones((4, 4), int), tmp_path / "a.geojson", "geojson", table={"area": np.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_draft_is_not_named_where_a_folder_cannot_be_filled(tmp_path, monkeypatch) -> None:
    def full(path, *_, **__):
        raise DataError(f"{path}: cannot be written (No space left on device).")

    monkeypatch.setattr(ctc, "write_labels", full)
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'film' / 'mask000.tif'}: cannot be written")):
        es.export_labels(np.ones((4, 4), int), tmp_path / "film", "ctc")
    assert list(tmp_path.iterdir()) == []
