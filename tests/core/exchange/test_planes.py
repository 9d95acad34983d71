"""Labels of a part of an image, as formats of planes have them: on the image."""

from __future__ import annotations

import json

import numpy as np
import pytest

import embedseg_napari as es
from embedseg_napari.core.exchange.planes import Within
from embedseg_napari.core.files.tiff import read_image

NAMES = {"imagej": "a.zip", "geojson": "a.geojson", "coco": "a.json"}
SIZES = {"T": 5, "Z": 4, "Y": 17, "X": 13}
START = {"T": 2, "Z": 1, "Y": 6, "X": 4}


def part_of_an_image(axes: str) -> tuple[np.ndarray, np.ndarray, Within]:
    """Labels of a part, the same in the whole, and where they lie."""
    whole = np.zeros([SIZES[letter] for letter in axes], np.int32)
    part = np.random.default_rng(0).integers(0, 5, [2 + (letter in "YX") * 5 for letter in axes])
    start = {letter: START[letter] for letter in axes}
    whole[tuple(slice(start[a], start[a] + n) for a, n in zip(axes, part.shape, strict=True))] = part
    return part, whole, Within(start, {letter: SIZES[letter] for letter in axes})


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "TZYX", "XYT"])
def test_the_objects_of_a_part_lie_on_their_image(kind, axes, tmp_path) -> None:
    part, whole, within = part_of_an_image(axes)
    es.export_labels(part, tmp_path / NAMES[kind], kind, axes, within=within)
    np.testing.assert_array_equal(es.import_labels(tmp_path / NAMES[kind], whole.shape, axes), whole)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(("axes", "lacks"), [("TYX", "T"), ("ZYX", "Z"), ("TZYX", "T"), ("TZYX", "TZ")])
def test_labels_that_lack_an_axis_lie_on_their_frame_and_slice(kind, axes, lacks, tmp_path) -> None:
    part, whole, within = part_of_an_image(axes)
    first = part[tuple(0 if letter in lacks else slice(None) for letter in axes)]
    own = "".join(letter for letter in axes if letter not in lacks)
    es.export_labels(first, tmp_path / NAMES[kind], kind, own, within=within)
    expected = np.zeros_like(whole)
    place = tuple(START[letter] if letter in lacks else slice(None) for letter in axes)
    expected[place] = whole[place]
    np.testing.assert_array_equal(es.import_labels(tmp_path / NAMES[kind], whole.shape, axes), expected)


def test_the_box_of_an_object_of_a_part_is_that_in_its_image(tmp_path) -> None:
    part, _, within = part_of_an_image("YX")
    es.export_labels((part == 3).astype(int), tmp_path / "a.json", "coco", "YX", within=within)
    (found,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    y, x = np.nonzero(part == 3)
    assert found["bbox"] == [4 + x.min(), 6 + y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


def test_formats_of_pixels_say_where_the_part_begins_and_frames_keep_their_number(tmp_path) -> None:
    part, _, within = part_of_an_image("TYX")
    said: list[str] = []
    for kind, name in (("ome-tiff", "a.ome.tif"), ("ctc", "a"), ("imagej", "a.zip")):
        es.export_labels(part, tmp_path / name, kind, "TYX", within=within, say=said.append)
    assert said == 2 * ["This format holds the labels alone; they begin at frame 2, y 6, x 4 of their image."]
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif", labels=True).array, part)
    assert sorted(one.name for one in (tmp_path / "a").glob("mask*")) == ["mask002.tif", "mask003.tif"]
    assert (tmp_path / "a" / "res_track.txt").read_text().splitlines()[0].split()[1:3] == ["2", "3"]
