"""Planes of one object each, as files."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.folders import FilePair
from embedseg_napari.core.evaluation.label_pair import read_pair
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.plane_stack import are_planes, each_plane, is_plane_file, write_planes
from embedseg_napari.core.files.tiff import read_image, write_labels


@pytest.fixture
def planes(rng):
    return rng.random((4, 3, 20, 30)) > 0.7


@pytest.mark.parametrize("ndim", [2, 3])
def test_planes_are_read_as_they_were_written(planes, tmp_path, ndim):
    own = planes if ndim == 3 else planes[:, 0]
    spacing = (2.0, 0.5, 0.25)[-ndim:]
    write_planes(tmp_path / "a.tif", iter(own), 4, own.shape[1:], "ZYX"[-ndim:], spacing, "um")
    read = read_image(tmp_path / "a.tif", labels=True)
    np.testing.assert_array_equal(read.array, own)
    assert (read.axes, read.spacing, read.unit) == ("C" + "ZYX"[-ndim:], pytest.approx(spacing), "um")
    assert are_planes(read)
    for one, plane in zip(each_plane(open_image(tmp_path / "a.tif")), own, strict=True):
        np.testing.assert_array_equal(one, plane)


def test_no_object_is_one_empty_plane(tmp_path):
    write_planes(tmp_path / "a.tif", iter([]), 0, (20, 30), "YX")
    assert not read_image(tmp_path / "a.tif", labels=True).array.any()
    assert len(list(each_plane(open_image(tmp_path / "a.tif")))) == 1
    assert is_plane_file(tmp_path / "a.tif")


def test_planes_come_one_by_one(tmp_path):
    """None is asked for before the one before it was written and let go."""
    alive = []

    class Counted(np.ndarray):
        def __del__(self):
            alive.remove(id(self))

    def each():
        for _ in range(5):
            plane = np.zeros((64, 64), bool).view(Counted)
            alive.append(id(plane))
            yield plane
            del plane
            assert len(alive) <= 1

    write_planes(tmp_path / "a.tif", each(), 5, (64, 64), "YX")
    assert tifffile.imread(tmp_path / "a.tif").shape == (5, 64, 64)


def test_an_existing_file_stays_and_a_stop_leaves_nothing(planes, tmp_path):
    (tmp_path / "a.tif").write_text("precious")
    with pytest.raises(DataError, match="exists already"):
        write_planes(tmp_path / "a.tif", iter(planes), 4, planes.shape[1:], "ZYX")
    assert (tmp_path / "a.tif").read_text() == "precious"

    def broken():
        yield planes[0]
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        write_planes(tmp_path / "b.tif", broken(), 4, planes.shape[1:], "ZYX")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_what_a_file_says_counts_where_numbers_do_not_tell(tmp_path):
    """Objects in several pieces, each on top of the one before: by their numbers alone they are a volume."""
    disc = np.hypot(*(np.mgrid[:40, :40] - 20)) < 9
    own = np.stack([disc, disc, np.roll(disc, 1, 0)])
    tifffile.imwrite(tmp_path / "true.tif", own.astype(np.uint8), photometric="minisblack")
    tifffile.imwrite(tmp_path / "plain.tif", own.astype(np.uint8), photometric="minisblack")
    write_planes(tmp_path / "marked.tif", iter(own), 3, (40, 40), "YX")
    for name, expected in (("plain.tif", False), ("marked.tif", True)):
        pair = FilePair("a", tmp_path / "true.tif", tmp_path / name, None)
        (one,), note = read_pair(pair)
        assert one.are_planes is expected
        assert bool(note) is not expected
    assert next((row.tp, row.fp, row.fn) for row in one.match()) == (3, 0, 0)


def test_a_single_plane_of_a_volume_is_scored_as_labels(tmp_path):
    volume = np.zeros((6, 20, 20), np.uint16)
    volume[1:4, 2:9, 2:9] = 1
    write_labels(tmp_path / "true.tif", volume, "ZYX")
    write_planes(tmp_path / "found.tif", iter([volume > 0]), 1, volume.shape, "ZYX")
    (one,), _ = read_pair(FilePair("a", tmp_path / "true.tif", tmp_path / "found.tif", None))
    assert (one.ndim, next(row.tp for row in one.match())) == (3, 1)
