"""Annotations of other programs become labels, and what cannot be read is said."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.errors import DataError

NUMBERED = (
    b'{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4]]]}, "properties": %b}'
)
RUNS = (
    b'{"images": [{"id": 1, "file_name": "a.tif", "width": 9, "height": 9}], "annotations": '
    b'[{"image_id": 1, "segmentation": {"size": [9, 9], "counts": %b}}]}'
)
NAMES = {"imagej": "a.zip", "geojson": "a.geojson", "coco": "a.json"}


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


def test_coco_polygons_and_plain_run_lengths(tmp_path) -> None:
    content = {
        "images": [
            {"id": 8, "file_name": "x/cells.png", "width": 6, "height": 5},
            {"id": 9, "file_name": "cells.z2.png"},
        ],
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
