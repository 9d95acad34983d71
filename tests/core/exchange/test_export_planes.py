"""Objects that share pixels are exported whole, in the formats that outline each by itself."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps

NAMES = {"imagej": "a.zip", "geojson": "a.geojson", "coco": "a.json"}


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
