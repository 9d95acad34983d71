"""Links corrected by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from embedseg_napari.core.errors import AnnotationError
from embedseg_napari.core.tracking.corrections import CorrectedTracks
from embedseg_napari.core.tracking.tracks import Tracks, numbered


@pytest.fixture
def corrected() -> CorrectedTracks:
    """Two objects in each of four frames, 0 -> 2 -> 4 -> 6 and 1 -> 3 -> 5 -> 7."""
    parents = np.array([-1, -1, 0, 1, 2, 3, 4, 5])
    frame, label = np.repeat(np.arange(4), 2), np.tile([5, 9], 4)
    one = np.ones(8, np.int64)
    return CorrectedTracks(
        Tracks("TYX", (4, 10, 10), frame, label, np.zeros((8, 2)), one, np.zeros((8, 0)), parents, numbered(parents))
    )


def test_a_link_takes_the_place_of_what_was_there(corrected) -> None:
    corrected.link(5, 2)
    assert corrected.tracks.parents.tolist() == [-1, -1, 0, 1, -1, 2, 4, 5]
    # Numbers stay where a track begins as before; what lost its beginning has a new one.
    assert corrected.tracks.track.tolist() == [1, 2, 1, 2, 3, 1, 3, 1]


def test_a_division_is_set_with_a_second_daughter(corrected) -> None:
    corrected.cut(5)
    corrected.divide(2, 5)
    assert corrected.tracks.parents.tolist() == [-1, -1, 0, 1, 2, 2, 4, 5]
    assert corrected.tracks.graph() == {4: [1], 3: [1]}
    assert corrected.tracks.divisions() == 1
    with pytest.raises(AnnotationError, match="two daughters already"):
        corrected.divide(2, 7)
    with pytest.raises(AnnotationError, match="other daughter"):
        corrected.divide(2, 5)


def test_a_cut_begins_a_track(corrected) -> None:
    corrected.cut(4)
    assert corrected.tracks.track.tolist() == [1, 2, 1, 2, 3, 2, 3, 2]
    with pytest.raises(AnnotationError, match="first of its track"):
        corrected.cut(4)


def test_each_step_is_undone(corrected) -> None:
    seen = [corrected.tracks]
    for change in (lambda: corrected.cut(4), lambda: corrected.link(2, 5), lambda: corrected.divide(1, 4)):
        change()
        seen.append(corrected.tracks)
    for before in reversed(seen[:-1]):
        corrected.undo()
        assert corrected.tracks.parents.tolist() == before.parents.tolist()
        assert corrected.tracks.track.tolist() == before.track.tolist()
        assert corrected.tracks.corrections == before.corrections
    with pytest.raises(AnnotationError, match="no correction"):
        corrected.undo()


def test_objects_of_one_frame_or_linked_already_are_refused(corrected) -> None:
    with pytest.raises(AnnotationError, match="one frame"):
        corrected.link(2, 3)
    with pytest.raises(AnnotationError, match="linked already"):
        corrected.link(0, 2)
    assert corrected.n_steps == 0


def test_corrections_outlast_settings_that_link_as_they_do(corrected) -> None:
    linked = corrected.tracks
    for change in (lambda: corrected.cut(5), lambda: corrected.link(2, 5), lambda: corrected.cut(7)):
        change()
    wanted = corrected.tracks
    same = CorrectedTracks(replace(wanted, corrections=()))
    same.replay(wanted.corrections[1:])
    assert same.tracks.parents.tolist() == wanted.parents.tolist()
    assert same.tracks.corrections == wanted.corrections[1:]
    again = CorrectedTracks(linked)
    again.replay(same.tracks.corrections)
    assert again.tracks.parents.tolist() == wanted.parents.tolist()
    for n_left in (1, 0):
        same.undo()
        assert same.n_steps == len(same.tracks.corrections) == n_left
    assert same.tracks.parents.tolist() == wanted.parents.tolist()


def test_a_cut_is_done_again_whatever_the_object_comes_from(corrected) -> None:
    linked = corrected.tracks
    corrected.cut(5)
    # Other settings link it with another one.
    parents = np.where(np.arange(8) == 5, 2, linked.parents)
    again = CorrectedTracks(replace(linked, parents=parents, track=numbered(parents)))
    again.replay(corrected.tracks.corrections)
    assert again.tracks.parents[5] == -1
    assert again.tracks.corrections == corrected.tracks.corrections
    again.undo()
    assert again.tracks.parents.tolist() == parents.tolist()


def test_corrections_are_done_again_on_the_same_labels(corrected) -> None:
    again = CorrectedTracks(corrected.tracks)
    corrected.cut(5)
    corrected.divide(2, 5)
    corrected.link(3, 7)
    again.replay(corrected.tracks.corrections)
    assert again.tracks.parents.tolist() == corrected.tracks.parents.tolist()
    before = again.tracks.parents.tolist()
    again.replay(corrected.tracks.corrections[2:])
    assert again.tracks.parents.tolist() == before, "what is so already changes nothing"
    with pytest.raises(AnnotationError, match=r"Correction 1 \(link\): Both objects are of one frame"):
        again.replay([{"do": "link", "from": [0, 5], "to": [0, 9]}])
    for pair in ([1.0, 5], "15", [True, 5], [1e400, 5], [1]):
        with pytest.raises(AnnotationError, match="cannot be read"):
            again.replay([{"do": "link", "from": [0, 5], "to": pair}])
    with pytest.raises(AnnotationError, match="do not have"):
        again.replay([{"do": "cut", "from": [0, 5], "to": [1, 77]}])
    with pytest.raises(AnnotationError, match="cannot be read"):
        again.replay([{"do": "format", "from": [0, 5], "to": [1, 5]}])
