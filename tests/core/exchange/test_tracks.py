"""Tracks as folders of other programs."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

import embedseg_napari as es
from embedseg_napari.core.errors import AlreadyExists, DataError, Stopped
from embedseg_napari.core.exchange import ome_zarr
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.tracking.corrections import CorrectedTracks
from embedseg_napari.core.tracking.tracks import TrackedLabels


@pytest.fixture
def movie() -> np.ndarray:
    """One object divides in frame 2, another one stays; numbers change from frame to frame."""
    movie = np.zeros((6, 40, 60), np.uint16)
    movie[:, 25:35, 40:50] = [[[7]], [[1]], [[3]], [[1]], [[9]], [[9]]]
    movie[:2, 5:15, 5:25] = [[[1]], [[2]]]
    movie[2:, 5:15, 4:14] = [[[1]], [[2]], [[2]], [[2]]]
    movie[2:, 5:15, 16:26] = [[[2]], [[3]], [[3]], [[3]]]
    return movie


def test_the_layout_of_the_challenge(movie, tmp_path) -> None:
    tracks = es.track(movie, spacing=(0.5, 0.5))
    es.write_tracks(tracks, movie, tmp_path / "out")
    assert (tmp_path / "out/res_track.txt").read_text() == "1 0 1 0\n2 0 5 0\n3 2 5 1\n4 2 5 1\n"
    frames = np.stack([tifffile.imread(tmp_path / f"out/mask{t:03}.tif") for t in range(6)])
    assert set(np.unique(frames[:, 25:35, 40:50])) == {2}
    assert np.array_equal(frames > 0, movie > 0)
    with (tmp_path / "out/tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["parent"] for row in rows[4:7]] == ["1", "1", "0"]
    assert not (tmp_path / "out/corrections.json").exists()


def test_table_and_layout_of_the_challenge_have_the_numbers_of_the_tracks(movie, tmp_path) -> None:
    """Also where links were corrected, which leaves numbers out, and where a track has a gap, which is two there."""
    movie[3, 25:35, 40:50] = 0
    corrected = CorrectedTracks(es.track(movie))
    corrected.link(corrected.tracks.row_of(1, 2), corrected.tracks.row_of(2, 1))
    tracks = corrected.tracks
    es.write_tracks(tracks, movie, tmp_path / "out")
    rows = [line.split() for line in (tmp_path / "out/res_track.txt").read_text().splitlines()]
    seen = {row.id for row in tracks.rows()}
    assert seen == {1, 2, 4}
    after_gap = {row[0] for row in rows} - {str(number) for number in seen}
    assert [(row[1], row[2], row[3]) for row in rows if row[0] in after_gap] == [("4", "5", "2")]
    with (tmp_path / "out/tracks.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    parents = {row[0]: row[3] for row in rows}
    for row in table:
        frame = tifffile.imread(tmp_path / f"out/mask{int(row['frame']):03}.tif")
        assert np.unique(frame[movie[int(row["frame"])] == int(row["label"])]).tolist() == [int(row["track"])]
        assert parents[row["track"]] == row["parent"]


def test_numbers_too_large_for_the_challenge_begin_at_1_in_the_table_too(movie, tmp_path) -> None:
    tracks = es.track(movie)
    es.write_tracks(replace(tracks, track=tracks.track + 70_000), movie, tmp_path / "out")
    assert (tmp_path / "out/res_track.txt").read_text() == "1 0 1 0\n2 0 5 0\n3 2 5 1\n4 2 5 1\n"
    with (tmp_path / "out/tracks.csv").open(newline="") as file:
        assert {row["track"] for row in csv.DictReader(file)} == {"1", "2", "3", "4"}


def test_a_graph_and_its_labels(movie, tmp_path) -> None:
    tracks = es.track(movie, movie * 2.0, spacing=(0.5, 0.25))
    es.write_tracks(tracks, movie, tmp_path / "out", "geff")
    graph = zarr.open_group(tmp_path / "out/tracks.geff", mode="r")
    said = graph.attrs["geff"]
    assert [axis["name"] for axis in said["axes"]] == ["t", "y", "x"]
    assert [axis.get("scale") for axis in said["axes"]] == [None, 0.5, 0.25]
    assert {axis.get("scaled_unit") for axis in said["axes"]} == {None, "micrometer"}
    edges = graph["edges/ids"][...]
    track = graph["nodes/props/track/values"][...]
    assert sorted((int(track[a]), int(track[b])) for a, b in edges if track[a] != track[b]) == [(1, 3), (1, 4)]
    assert len(edges) == len(tracks) - 2
    assert graph["nodes/props/intensity_mean_0/values"][0] == movie[0, 5, 5] * 2
    labels = read_image(tmp_path / "out" / "labels.ome.zarr", labels=True, say=lambda _: None)
    assert np.array_equal(labels.array > 0, movie > 0)
    assert labels.spacing == (0.5, 0.25)


@pytest.mark.parametrize("ndim", [2, 3])
def test_frames_larger_than_a_block_of_the_graphs_labels(tmp_path, monkeypatch, ndim) -> None:
    """No block then holds all objects of its frame."""
    monkeypatch.setitem(ome_zarr.BLOCK, ndim, 32)
    movie = np.zeros((3, *(40,) * (ndim - 2), 70, 80), np.uint16)
    movie[..., 5:15, 5:15], movie[..., 50:65, 50:75], movie[-1, ..., 40:45, 5:10] = 7, 3, 9
    tracks = es.track(movie)
    es.write_tracks(tracks, movie, tmp_path / "out", "geff")
    labels = read_image(tmp_path / "out" / "labels.ome.zarr", labels=True, say=lambda _: None).array
    assert np.array_equal(labels, TrackedLabels(movie, tracks)[...])
    with pytest.raises(DataError, match="linked"):
        es.write_tracks(tracks, np.where(movie == 9, 0, movie), tmp_path / "other", "geff")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_library_of_the_format_reads_the_graph(movie, tmp_path) -> None:
    # In no environment of this project: on Python 3.11 it wants an older numcodecs than Zarr is tested with.
    geff = pytest.importorskip("geff")
    from geff.validate.structure import validate_structure

    tracks = es.track(movie)
    es.write_tracks(tracks, movie, tmp_path / "out", "geff")
    validate_structure(tmp_path / "out/tracks.geff")
    graph, _ = geff.read(tmp_path / "out/tracks.geff")
    assert graph.number_of_edges() == len(tracks) - 2


def test_what_is_there_stays(movie, tmp_path) -> None:
    tracks = es.track(movie)
    (tmp_path / "out").mkdir()
    with pytest.raises(AlreadyExists, match="exists already"):
        es.write_tracks(tracks, movie, tmp_path / "out")
    with pytest.raises(DataError, match="choose ctc or geff"):
        es.write_tracks(tracks, movie, tmp_path / "other", "xml")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_labels_that_were_not_linked_are_refused_and_nothing_is_written(tmp_path) -> None:
    movie = np.zeros((3, 20, 30), np.uint16)
    movie[:, 2:8, 2:8], movie[:, 12:18, 20:26] = 1, 2
    tracks = es.track(movie)
    for other in (movie[:2], movie * 0, np.where(movie == 2, 0, movie)):
        with pytest.raises(DataError, match="linked"):
            es.write_tracks(tracks, other, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["ctc", "geff"])
def test_nothing_is_left_where_saving_is_stopped(movie, tmp_path, format) -> None:
    tracks, asked = es.track(movie), iter([False, True])
    with pytest.raises(Stopped):
        es.write_tracks(tracks, movie, tmp_path / "out", format, should_stop=lambda: next(asked))
    assert not list(tmp_path.iterdir())


def test_a_mask_of_all_objects_is_no_labels() -> None:
    mask = np.zeros((3, 20, 30), np.uint8)
    mask[:, 2:8, 2:8] = mask[:, 12:18, 20:26] = 255
    with pytest.raises(DataError, match="a number of its own"):
        es.track(mask)
    mask[:, 12:18] = 0
    assert es.track(mask).track.tolist() == [1, 1, 1], "one object in each frame is fine"
