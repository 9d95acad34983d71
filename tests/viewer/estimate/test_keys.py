"""Keys go to Track or to Estimate, whichever is in front."""

from __future__ import annotations

import pytest
from judging_steps import PANEL, draw, wait

from embedseg_napari.core.data.dividing_cells import dividing_cells


def test_keys_of_tracked_labels_are_answers_while_they_are_judged(viewer, open_panel, qtbot, press):
    movie = dividing_cells(6, 4, 1, seed=2).labels
    viewer.add_labels(movie, name="cells", axis_labels=("t", "y", "x"))
    track = open_panel("EmbedSeg: Track")
    track.start()
    wait(track, qtbot)
    tracked, correct = track.layers.labels, track.correct
    correct.choose([len(correct.corrected.tracks.track) - 1])
    panel = open_panel(PANEL)
    panel.n_objects.setValue(1)
    panel.n_areas.setValue(1)
    panel.labels.choose(tracked)
    draw(panel, qtbot)
    press("CRURN")
    assert panel.judgement.current is None
    assert correct.corrected.n_steps == 0
    panel.take_front(False)
    track.take_front(True)
    viewer.layers.selection.active = tracked
    press("C")
    assert correct.corrected.n_steps == 1
    track.take_front(False)
    panel.take_front(True)
    assert not panel.judge.is_judging
    assert "changed since the sample was drawn" in panel.controls.status.text()


@pytest.mark.parametrize("track_is_first", [False, True])
def test_keys_go_from_one_panel_to_the_other_in_whatever_order_they_step_back(
    viewer, open_panel, qtbot, press, track_is_first
):
    movie = dividing_cells(6, 4, 1, seed=2).labels
    viewer.add_labels(movie, name="cells", axis_labels=("t", "y", "x"))
    track, panel = open_panel("EmbedSeg: Track"), open_panel(PANEL)
    track.start()
    wait(track, qtbot)
    tracked, correct = track.layers.labels, track.correct
    before = set(tracked.keymap)
    panel.labels.choose(tracked)
    for _ in range(2):
        for one in (track, panel) if track_is_first else (panel, track):
            one.take_front(one is panel)
        draw(panel, qtbot)
        press("S")
        assert len(panel.judgement.answers) == 1
        for one in (track, panel) if track_is_first else (panel, track):
            one.take_front(one is track)
        assert set(tracked.keymap) == before
        viewer.layers.selection.active = tracked
        correct.choose([len(correct.corrected.tracks.track) - 1])
        press("CU")
        assert correct.corrected.n_steps == 0
