"""Movies with known lineages are linked as they were made, and real ones as they must have been."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from movie_steps import spoil, true_links

import embedseg_napari as es
from embedseg_napari.core.data.dividing_cells import dividing_cells, unlinked
from embedseg_napari.core.errors import DataError, EmbedSegError, SettingsError, Stopped
from embedseg_napari.core.exchange.ctc import write_ctc
from embedseg_napari.core.tracking.frame_folder import FrameFolder
from embedseg_napari.core.tracking.tracks import TrackedLabels


@pytest.fixture(scope="module")
def movie():
    return dividing_cells(60, 12, 8, seed=3)


def found_links(tracks, given, truth) -> set:
    """Links by the true numbers of the objects: most of the pixels of an object are of one."""
    nodes = []
    for t, label in zip(tracks.frame.tolist(), tracks.label.tolist(), strict=True):
        ids, n = np.unique(truth[t][given[t] == label], return_counts=True)
        nodes.append((t, int(ids[n.argmax()])))
    return {(nodes[parent], nodes[row]) for row, parent in enumerate(tracks.parents.tolist()) if parent >= 0}


def test_clean_objects_are_linked_as_they_were_made(movie) -> None:
    given = unlinked(movie.labels)
    tracks = es.track(given)
    assert found_links(tracks, given, movie.labels) == true_links(movie.labels, movie.parents)
    assert tracks.divisions() == 8
    # A cell keeps its number; only that is another one.
    pairs = np.unique(np.stack([movie.labels, TrackedLabels(given, tracks)[...]]).reshape(2, -1), axis=1)
    assert len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))


def test_a_depth_of_one_plane_changes_no_track(movie) -> None:
    given = spoil(movie.labels)
    image = given[:, :, :, None] * np.array([1.0, 2.0])
    flat = es.track(given, image, spacing=(0.5, 0.5), image_axes="TYXC")
    deep = es.track(given[:, None], image[:, None], spacing=(2.0, 0.5, 0.5), image_axes="TZYXC")
    assert deep.axes == "TZYX"
    for name in ("parents", "track", "size", "brightness"):
        np.testing.assert_array_equal(getattr(deep, name), getattr(flat, name))
    np.testing.assert_array_equal(deep.centroid[:, 1:], flat.centroid)
    assert not deep.centroid[:, 0].any()


def test_volumes_are_linked_with_pixels_of_another_depth() -> None:
    movie = dividing_cells(30, 5, 3, ndim=3, radius=6.0, seed=1)
    given = unlinked(movie.labels[:, ::3])
    tracks = es.track(given, spacing=(3.0, 1.0, 1.0))
    assert tracks.axes == "TZYX"
    assert found_links(tracks, given, movie.labels[:, ::3]) == true_links(movie.labels[:, ::3], movie.parents)


def test_spoiled_objects_keep_most_links(movie) -> None:
    given = spoil(movie.labels)
    right = true_links(movie.labels, movie.parents)
    found = found_links(es.track(given), given, movie.labels)
    assert len(found & right) > 0.88 * len(right)


@pytest.mark.parametrize(("spoiled", "least"), [(0.0, 0.98), (0.05, 0.93)])
def test_the_score_of_the_cell_tracking_challenge(tmp_path, spoiled, least) -> None:
    evaluate = pytest.importorskip("ctc_metrics.scripts.evaluate")
    movie = dividing_cells()
    given = spoil(movie.labels, spoiled)
    tracks = es.track(given)
    es.write_tracks(tracks, given, tmp_path / "result")
    truth = tmp_path / "truth" / "TRA"
    truth.mkdir(parents=True)
    write_ctc(truth, movie.labels, "TYX", mothers=movie.parents)
    for file in truth.glob("mask*"):
        file.rename(truth / file.name.replace("mask", "man_track"))
    (truth / "res_track.txt").rename(truth / "man_track.txt")
    scores = evaluate.evaluate_sequence(
        str(tmp_path / "result"), str(tmp_path / "truth"), metrics=["Valid", "TRA"], threads=1
    )
    assert scores["Valid"] == 1
    assert scores["TRA"] >= least


def discs(places: list[list[tuple[int, int]]], radius: int = 6, shape: tuple[int, int] = (80, 120)) -> np.ndarray:
    """A movie of discs; the order within a frame gives their numbers."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    movie = np.zeros((len(places), *shape), np.int32)
    for frame, middles in zip(movie, places, strict=True):
        for number, (row, column) in enumerate(middles, 1):
            frame[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return movie


def test_a_drift_of_everything_is_followed() -> None:
    own = [(20, 20), (22, 45), (45, 24), (60, 60)]
    moved = [(row + 8, column + 40) for row, column in own]
    tracks = es.track(discs([own, moved[::-1]]))
    assert tracks.parents.tolist() == [-1] * 4 + [3, 2, 1, 0]


def test_an_object_may_be_missing_for_as_long_as_is_said() -> None:
    movie = discs([[(20, 20), (60, 60)], [(60, 60)], [(60, 60)], [(20, 21), (60, 60)]])
    assert len(es.track(movie).rows()) == 2
    assert len(es.track(movie, max_gap=1).rows()) == 3


def test_what_is_split_for_a_frame_is_no_division() -> None:
    movie = discs([[(20, 20)]] * 8)
    movie[3, :, 20:][movie[3, :, 20:] > 0] = 2
    assert es.track(movie).divisions() == 0


def test_loose_ends_are_told() -> None:
    movie = discs([[(20, 20), (60, 60)], [(20, 20), (60, 60)], [(20, 20), (40, 100)], [(20, 20), (40, 100)]])
    tracks = es.track(movie)
    assert [(tracks.frame[row], tracks.label[row]) for row in tracks.loose_ends()] == [(1, 2), (2, 2)]


def test_divisions_may_be_left_out(movie) -> None:
    tracks = es.track(unlinked(movie.labels), divisions=False)
    assert not tracks.divisions()
    assert not tracks.graph()


def test_how_far_an_object_moves_is_in_physical_units() -> None:
    movie = discs([[(20, 20), (60, 20)], [(20, 32), (60, 20)]])
    assert len(es.track(movie, spacing=(0.5, 0.5), max_distance=6.5).rows()) == 2
    assert len(es.track(movie, spacing=(0.5, 0.5), max_distance=0.4).rows()) == 2  # they overlap
    far = discs([[(20, 20), (60, 20)], [(20, 36), (60, 20)]])
    assert len(es.track(far, spacing=(0.5, 0.5), max_distance=7.0).rows()) == 3


def test_empty_frames_and_numbers_of_any_size() -> None:
    movie = discs([[(20, 20)], [], [(21, 20)]]).astype(np.int64) * 5_000_000_000
    tracks = es.track(movie)
    assert tracks.parents.tolist() == [-1, 0]
    assert tracks.n_frames == 3


def test_numbers_that_are_equal_as_floats_are_two_objects() -> None:
    movie = discs([[(20, 20), (20, 60)], [(21, 20), (21, 60)]]).astype(np.uint64)
    movie[movie > 0] += np.uint64(2**60)
    tracks = es.track(movie)
    assert tracks.parents.tolist() == [-1, -1, 0, 1]
    assert np.unique(tracks.relabel(movie[1], 1)).tolist() == [0, *sorted(tracks.track[2:])]


def test_axes_in_any_order_and_the_image() -> None:
    movie = discs([[(20, 20), (60, 60)], [(60, 60), (20, 21)]])
    image = np.stack([movie * 10.0, movie * 0.0], axis=1)
    turned = np.moveaxis(movie, 0, -1)
    tracks = es.track(turned, image, "YXT", image_axes="TCYX")
    assert tracks.track.tolist() == [1, 2, 2, 1]
    assert tracks.brightness.tolist() == [[10, 0], [20, 0], [10, 0], [20, 0]]
    assert np.array_equal(
        TrackedLabels(turned, tracks)[...], np.moveaxis(TrackedLabels(movie, es.track(movie))[...], 0, -1)
    )


@pytest.mark.parametrize(
    ("labels", "settings", "words"),
    [
        (np.ones((5, 5), int), {}, "have no time axis"),
        (np.ones((2, 5, 5), int), {"axes": "ZYX"}, "have no time axis"),
        (np.ones((1, 5, 5), int), {}, "One frame has nothing to link"),
        (np.zeros((2, 5, 5), int), {}, "holds no objects"),
        (np.ones((2, 5, 5), int), {"axes": "CYX"}, "none for channels"),
        (np.ones((2, 5, 5)) / 2, {}, "label image"),
        (np.ones((2, 5, 5), int), {"image": np.ones((2, 6, 6))}, "labels have"),
    ],
)
def test_bad_input_is_one_sentence(labels, settings, words) -> None:
    with pytest.raises(EmbedSegError, match=words):
        es.track(labels, **settings)


def test_bad_settings_and_a_stop() -> None:
    movie = np.ones((3, 5, 5), int)
    for settings in ({"max_distance": -1.0}, {"max_gap": -1}):
        with pytest.raises(SettingsError):
            es.track(movie, **settings)
    answers = itertools.chain([False], itertools.repeat(True))
    with pytest.raises(Stopped):
        es.track(movie, should_stop=lambda: next(answers))


def test_frames_are_read_one_by_one() -> None:
    movie = discs([[(20, 20), (60, 60)]] * 4)
    asked = []

    class Stored:
        shape, dtype, ndim = movie.shape, movie.dtype, 3

        def __getitem__(self, key):
            asked.append(key[0])
            return movie[key]

    assert es.track(Stored()).track.tolist() == [1, 2] * 4
    assert asked == [0, 1, 2, 3]


@pytest.mark.real
def test_all_cells_of_a_colony_descend_from_the_first_two() -> None:
    folder = os.environ.get("EMBEDSEG_SHARED")
    if not folder:
        pytest.skip("EMBEDSEG_SHARED is not set")
    masks = FrameFolder(Path(folder) / "data/ecoli/train/masks", "YX", True, lambda _: None)
    tracks = es.track(masks)
    assert tracks.frame[tracks.parents < 0].tolist() == [0, 0]
    assert (tracks.frame == 19).sum() == 17
    ends = {row.last for row in tracks.rows() if row.id not in {one[0] for one in tracks.graph().values()}}
    assert ends == {19}


def test_a_folder_of_frames_of_two_sizes_is_refused(tmp_path) -> None:
    import tifffile

    for t, side in enumerate((20, 21)):
        tifffile.imwrite(tmp_path / f"t{t}.tif", np.ones((side, 20), np.uint16))
    with pytest.raises(DataError, match=r"t1\.tif.*21 x 20.*of one size"):
        es.track(FrameFolder(tmp_path, "YX", True, lambda _: None))
