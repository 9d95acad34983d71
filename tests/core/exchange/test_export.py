"""Files for other programs: each is opened by another reader, and read back it is the same labels."""

from __future__ import annotations

import contextlib
import json
import re
import tracemalloc
import zipfile

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
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps

NUMBERED = (
    b'{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4]]]}, "properties": %b}'
)
RUNS = (
    b'{"images": [{"id": 1, "file_name": "a.tif", "width": 9, "height": 9}], "annotations": '
    b'[{"image_id": 1, "segmentation": {"size": [9, 9], "counts": %b}}]}'
)
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


def test_rois_drawn_in_fiji_become_labels(tmp_path) -> None:
    roifile = pytest.importorskip("roifile")
    square = roifile.ImagejRoi.frompoints([[1, 1], [4, 1], [4, 4], [1, 4]], name="0002-0002")
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, name="cell", left=5, top=1, right=11, bottom=7)
    point = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.POINT, name="p", n_coordinates=1)
    point.integer_coordinates = np.array([[3, 3]], np.int32)
    roifile.roiwrite(tmp_path / "a.zip", [square, oval, point])
    said: list[str] = []
    labels = es.import_labels(tmp_path / "a.zip", (10, 12), say=said.append)
    assert np.unique(labels).tolist() == [0, 1, 2]
    assert (labels == 1).sum() == 9
    assert (labels == 2).sum() == pytest.approx(np.pi * 9, abs=4)
    assert "1 ROIs that have no area" in said[0]


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


def test_geojson_of_other_programs(tmp_path) -> None:
    square = {"type": "Polygon", "coordinates": [[[1, 1], [4.2, 1], [4.2, 4], [1, 4], [1, 1]]]}
    features = [
        {"type": "Feature", "geometry": square, "properties": {"objectType": "annotation", "name": "Tumour"}},
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}},
    ]
    said: list[str] = []
    for content in (features, {"type": "FeatureCollection", "features": features}, features[0], square):
        (tmp_path / "a.geojson").write_text(json.dumps(content))
        labels = es.import_labels(tmp_path / "a.geojson", (6, 6), say=said.append)
        assert (labels[1:4, 1:4] == 1).all()
        assert labels.sum() == 9
    assert len(said) == 2


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


def test_coco_polygons_and_plain_run_lengths(tmp_path) -> None:
    content = {
        "images": [{"id": 8, "file_name": "x/cells.png", "width": 6, "height": 5}, {"id": 9, "file_name": "other.png"}],
        "annotations": [
            {"image_id": 8, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]},
            {"image_id": 8, "segmentation": {"size": [5, 6], "counts": [20, 5, 5]}},
            {"image_id": 9, "segmentation": [[0, 0, 5, 0, 5, 5, 0, 5]]},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    labels = es.import_labels(tmp_path / "a.json", (5, 6), image="cells")
    assert (labels[:2, :2] == 1).all()
    assert (labels[:, 4] == 2).all()
    assert (labels > 0).sum() == 9


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
    ("name", "content", "words"),
    [
        ("a.zip", b"no zip", "cannot be read as a zip of ROIs"),
        ("a.roi", b"Iout" + bytes(20), "is no ROI that can be read"),
        ("a.geojson", b"{", "is no valid JSON"),
        ("a.geojson", b"3", "is no GeoJSON that can be read"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": []}', "holds no polygon"),
        ("a.json", b'{"annotations": [{}], "images": []}', "is no COCO file"),
        ("a.txt", b"", "annotations are read from"),
        (
            "a.geojson",
            b'{"type": "Polygon", "coordinates": [[[50, 50], [60, 50], [60, 60], [50, 50]]]}',
            "None of the objects covers a pixel",
        ),
        ("a.geojson", b'{"type": "Polygon", "coordinates": [[[0, 0], [1e308, 0], [-1e308, 9]]]}', "beyond all images"),
        ("a.geojson", b"[%b, %b]" % (NUMBERED % b'{"label": 4294967295}', NUMBERED % b"{}"), "no larger one is left"),
        # Lengths whose sum overflows to nothing.
        ("a.json", RUNS % b"[0, 4611686018427387904, 0, 4611686018427387904]", "is no COCO file"),
        ("a.json", RUNS % b"[0, 9223372036854775807, 0, 9223372036854775807, 0, 2]", "is no COCO file"),
    ],
)
def test_annotations_that_cannot_be_read(name, content, words, tmp_path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        es.import_labels(tmp_path / name, (9, 9))


def test_a_long_name_of_digits_is_a_name(tmp_path) -> None:
    (tmp_path / "a.geojson").write_bytes(NUMBERED % (b'{"name": "%b"}' % (b"1" * 5000)))
    assert es.import_labels(tmp_path / "a.geojson", (9, 9)).max() == 1


def test_an_outline_that_goes_up_and_down_is_filled_in_bounded_memory(tmp_path) -> None:
    # 2,000 teeth as high as the image cross each of its rows: sixteen million crossings.
    height, n = 4000, 4000
    corners = [[at % 20, height * (at % 2)] for at in range(n)] + [[30, height], [30, 0]]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    tracemalloc.start()
    labels = es.import_labels(tmp_path / "a.geojson", (height, 40))
    assert tracemalloc.get_traced_memory()[1] < 1 << 30
    tracemalloc.stop()
    assert labels[:, 20:30].all()
    assert not labels[:, 30:].any()


def test_damaged_rois_raise_nothing_else(tmp_path) -> None:
    es.export_labels(np.ones((4, 4), int), tmp_path / "a.zip", "imagej")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        content = archive.read("1.roi")
    for end in range(0, len(content), 7):
        (tmp_path / "b.roi").write_bytes(content[:end])
        with contextlib.suppress(DataError):
            es.import_labels(tmp_path / "b.roi", (4, 4))


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


def squares(*corners: int) -> list[list[list[int]]]:
    """A ring for each square of 4 x 4 pixels, by its upper left corner."""
    return [[[at, at], [at + 4, at], [at + 4, at + 4], [at, at + 4], [at, at]] for at in corners]


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "MultiPolygon", "coordinates": [[ring] for ring in squares(1, 3)]},
        {
            "type": "GeometryCollection",
            "geometries": [{"type": "Polygon", "coordinates": [ring]} for ring in squares(1, 3)],
        },
    ],
)
def test_pieces_that_overlap_have_no_hole(geometry, tmp_path) -> None:
    wanted = np.zeros((9, 9), int)
    wanted[1:5, 1:5] = wanted[3:7, 3:7] = 1
    (tmp_path / "a.geojson").write_text(json.dumps(geometry))
    np.testing.assert_array_equal(es.import_labels(tmp_path / "a.geojson", (9, 9)), wanted)
    polygons = [np.ravel(ring).tolist() for ring in squares(1, 3)]
    (tmp_path / "a.json").write_bytes(RUNS.replace(b'{"size": [9, 9], "counts": %b}', json.dumps(polygons).encode()))
    np.testing.assert_array_equal(es.import_labels(tmp_path / "a.json", (9, 9)), wanted)


def test_collections_in_collections_are_read(tmp_path) -> None:
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": None}
        for ring in squares(0, 4)
    ]
    inner = {"type": "FeatureCollection", "features": features[1:]}
    nothing = {"type": "Feature", "geometry": None, "properties": {}}
    content = {"type": "FeatureCollection", "features": [features[0], inner, nothing]}
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    said: list[str] = []
    assert np.unique(es.import_labels(tmp_path / "a.geojson", (9, 9), say=said.append)).tolist() == [0, 1, 2]
    assert len(said) == 1
    assert "1 features without an area" in said[0]


def test_crowds_and_boxes_of_coco_are_left_out(tmp_path) -> None:
    square = [[1, 1, 4, 1, 4, 4, 1, 4]]
    annotations = [
        {"image_id": 1, "segmentation": square, "label": True},
        {"image_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9, 0, 9]], "iscrowd": 1},
        {"image_id": 1, "bbox": [1, 1, 3, 3]},
    ]
    images = [{"id": 1, "file_name": "a.tif", "width": 9, "height": 9}]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    said: list[str] = []
    assert es.import_labels(tmp_path / "a.json", (9, 9), say=said.append).sum() == 9
    assert len(said) == 1
    assert "2 annotations that outline no single object" in said[0]


@pytest.mark.parametrize("kind", NAMES)
def test_numbers_that_labels_cannot_have_are_told(kind, tmp_path) -> None:
    labels = np.zeros((5, 6), np.int64)
    labels[1:3, 1:3], labels[4, 4] = 7, 2**40
    es.export_labels(labels, tmp_path / NAMES[kind], kind)
    said: list[str] = []
    back = es.import_labels(tmp_path / NAMES[kind], labels.shape, say=said.append)
    assert np.unique(back).tolist() == [0, 7, 8]
    assert len(said) == 1
    assert "1 objects have numbers that are not within 1 to 4,294,967,295" in said[0]


def test_a_ply_has_no_room_for_large_numbers(tmp_path) -> None:
    with pytest.raises(DataError, match=r"up to 2,147,483,647, and these go up to 2,147,483,648; .* choose \.stl"):
        es.export_labels(np.full((2, 3, 4), 2**31), tmp_path / "a.ply", "mesh")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", NAMES)
def test_what_lies_on_another_frame_is_not_put_on_a_single_image(kind, tmp_path) -> None:
    film = np.zeros((3, 9, 9), int)
    film[0, 1:3, 1:3], film[2, 4:8, 4:8] = 1, 2
    es.export_labels(film, tmp_path / NAMES[kind], kind, "TYX")
    said: list[str] = []
    assert np.unique(es.import_labels(tmp_path / NAMES[kind], (9, 9), say=said.append)).tolist() == [0, 1]
    assert "1 outlines lie on slices or frames that the image does not have" in said[0]
    film[0] = 0
    es.export_labels(film, tmp_path / NAMES[kind], kind, "TYX", overwrite=True)
    with pytest.raises(DataError, match="None of the objects lies on a slice or frame that the image has"):
        es.import_labels(tmp_path / NAMES[kind], (9, 9))


def test_it_is_told_where_nothing_names_a_slice(tmp_path) -> None:
    es.export_labels(np.ones((9, 9), int), tmp_path / "a.geojson", "geojson")
    said: list[str] = []
    assert es.import_labels(tmp_path / "a.geojson", (3, 9, 9), say=said.append)[0].all()
    assert said == [
        f"{tmp_path / 'a.geojson'}: Nothing says on which slice or frame the objects lie; they are on the first."
    ]
    es.import_labels(tmp_path / "a.geojson", (1, 9, 9), say=said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.geojson", '[{"type": "Feature", "geometry": [1]}]', "a geometry is no table"),
        ("a.geojson", '{"features": [null]}', "a feature is no table"),
        ("a.geojson", '{"type": "Polygon", "coordinates": [1, 2]}', "corners are no lists of numbers"),
        ("a.json", '{"images": [5], "annotations": []}', "an image is no table"),
        ("a.json", '{"images": [{"id": 1}], "annotations": [5]}', "an annotation is no table"),
        ("a.json", '{"images": [{"id": 1}], "annotations": [{}]}', "'image_id' is missing"),
        ("a.json", RUNS.replace(b'{"size": [9, 9], "counts": %b}', b"[[1, 2, 3]]").decode(), "x and y by turns"),
        ("a.json", RUNS.replace(b'{"size": [9, 9], "counts": %b}', b'"abc"').decode(), "a segmentation is no table"),
        ("a.json", (RUNS % b'[1], "x": 1}, "iscrowd": {"a": 1').decode(), "1 annotations that"),
    ],
)
def test_what_is_wrong_in_a_file_is_said(name, content, words, tmp_path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        es.import_labels(tmp_path / name, (9, 9))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((0, 5), "has no pixels"),
        ((-1, 5), "has no pixels"),
        ((10**9, 10**9), "larger than the memory"),
        ((2.5, 5), "no shape of an image"),
        ("ab", "no shape of an"),
    ],
)
def test_shapes_that_no_image_has(shape, words, tmp_path) -> None:
    es.export_labels(np.ones((4, 4), int), tmp_path / "a.zip", "imagej")
    with pytest.raises(DataError, match=words):
        es.import_labels(tmp_path / "a.zip", shape)


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


@pytest.fixture
def crossing():
    """Planes (K, Y, X) of two bars that cross, a piece apart with a hole, and an empty one."""
    planes = np.zeros((4, 20, 24), np.uint8)
    planes[0, 8:12], planes[1, :, 9:13], planes[3, 1:6, 1:6], planes[3, 3, 3] = 1, 7, 255, 0
    return planes


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("ndim", [2, 3])
def test_objects_that_share_pixels_are_outlined_whole(kind, ndim, crossing, tmp_path) -> None:
    planes = crossing if ndim == 2 else np.stack([crossing, np.zeros_like(crossing), crossing[:, ::-1]], axis=1)
    es.export_labels(planes, tmp_path / NAMES[kind], kind, planes=True)
    # Each alone, as what shares pixels cannot be read back into one label image.
    expected = {label: plane > 0 for label, plane in enumerate(planes, 1) if plane.any()}
    assert sorted(expected) == [1, 2, 4]
    for label, mask in outlined(tmp_path / NAMES[kind], kind, planes.shape[1:]).items():
        np.testing.assert_array_equal(mask, expected.pop(label))
    assert not expected


def outlined(path, kind, shape):
    """The objects of a file, each by itself, by the number that it has there."""
    if kind == "imagej":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        number = {name: int(re.match(r"\d+", name)[0]) for name in members}
    else:
        content = json.loads(path.read_text())
        features = content["features" if kind == "geojson" else "annotations"]
        members = dict(enumerate(features))
        number = {
            name: one["properties"]["label"] if kind == "geojson" else one["label"] for name, one in members.items()
        }
        if kind == "coco":
            assert len(content["images"]) == (1 if len(shape) == 2 else shape[0])
    found = {}
    for label in set(number.values()):
        own = [one for name, one in members.items() if number[name] == label]
        alone = path.with_name(f"alone{path.suffix}")
        if kind == "imagej":
            with zipfile.ZipFile(alone, "w") as archive:
                for index, one in enumerate(own):
                    archive.writestr(f"{index}.roi", one)
        elif kind == "geojson":
            alone.write_text(json.dumps({"type": "FeatureCollection", "features": own}))
        else:
            alone.write_text(json.dumps({**content, "annotations": own}))
        found[label] = es.import_labels(alone, shape) > 0
    return found


def test_a_segmentation_keeps_what_its_objects_share(tmp_path) -> None:
    seed_map = np.zeros((24, 24), np.float32)
    seed_map[10:14], seed_map[:, 10:14] = 0.8, 0.8
    seed_map[12, 2], seed_map[2, 12] = 0.99, 0.98
    margins = np.zeros((2, 24, 24), np.float32)
    margins[:, 12, 2], margins[:, 2, 12] = (2.5, 40), (40, 2.5)
    settings = PredictionConfig(seed_threshold=0.9, foreground_threshold=0.5, min_object_size=3, faint_seeds=0)
    found = Segmentation.collect(EmbeddingMaps(np.zeros_like(margins), margins, seed_map), settings)
    es.export_labels(found, tmp_path / "a.geojson", "geojson", planes=True)
    for label, mask in outlined(tmp_path / "a.geojson", "geojson", (24, 24)).items():
        np.testing.assert_array_equal(mask, found.planes[label - 1])


@pytest.mark.parametrize(
    ("planes", "kind", "said"),
    [
        (np.ones((2, 8, 8), np.uint8), "mesh", "one number for each"),
        (np.ones((8, 8), np.uint8), "coco", "have the axes"),
        (np.arange(128).reshape(2, 8, 8), "coco", "holds several numbers"),
        (np.zeros((2, 8, 8), np.uint8), "coco", "no objects"),
    ],
)
def test_what_is_no_planes_is_refused(planes, kind, said, tmp_path) -> None:
    with pytest.raises(DataError, match=said):
        es.export_labels(planes, tmp_path / ("a.json" if kind == "coco" else "a.ply"), kind, planes=True)
    assert not list(tmp_path.iterdir())
