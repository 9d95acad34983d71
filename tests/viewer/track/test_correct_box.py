"""Links are corrected by clicks, keys and buttons."""

from __future__ import annotations

import numpy as np
from track_steps import click, press, track


def test_links_are_corrected_by_clicks_and_keys_and_undone(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    shown = panel.layers.labels
    before, colours = panel.correct.corrected.tracks, shown.data.copy()
    lone = int(np.flatnonzero(np.isin(before.parents, np.flatnonzero(before.frame == 1)))[0])
    others = np.flatnonzero((before.frame == 1) & (np.arange(len(before)) != before.parents[lone]))
    other = int(others[np.bincount(before.parents[before.parents >= 0], minlength=len(before))[others] == 1][0])
    click(viewer, panel, other)
    assert not panel.correct.link_button.isEnabled()
    click(viewer, panel, lone)
    assert len(panel.layers.marks.data) == 2
    assert (panel.layers.marks.size**2 > panel.layers.tracks.size.max()).all(), "a ring around each, not a dot in it"
    press(shown, "L")
    after = panel.correct.corrected.tracks
    assert after.parents[lone] == other
    assert all(np.array_equal(shown.data[t], after.relabel(layer.data[t], t)) for t in range(6))
    assert panel.layers.lines.graph == after.graph()
    click(viewer, panel, lone)
    press(shown, "C")
    assert panel.correct.corrected.tracks.parents[lone] == -1
    click(viewer, panel, lone)
    click(viewer, panel, int(before.parents[lone]))
    panel.correct.divide_button.click()
    assert panel.correct.corrected.tracks.parents[lone] == before.parents[lone]
    for _ in range(3):
        press(shown, "U")
    assert np.array_equal(shown.data, colours)
    assert not panel.correct.undo_button.isEnabled()


def test_the_mouse_chooses_objects_and_moving_the_view_does_not(panel, layer, viewer, qtbot, drag) -> None:
    track(panel, qtbot)
    tracks, shown = panel.correct.corrected.tracks, panel.layers.labels
    viewer.dims.set_point(0, 0)
    one = tuple(np.round(tracks.centroid[0]).astype(int).tolist())
    drag(shown, one)
    assert panel.correct.chosen == [0]
    drag(shown, one, (one[0] + 20, one[1] + 20))
    assert panel.correct.chosen == [0]
    panel.correct.click(shown.data_to_world((0, 0, 0)))
    assert panel.correct.chosen == []


def test_clicks_choose_objects_beside_a_layer_in_another_unit(panel, layer, viewer, qtbot, drag) -> None:
    track(panel, qtbot)
    tracks, shown = panel.correct.corrected.tracks, panel.layers.labels
    options = {"units": ("ms", "nm", "nm"), "axis_labels": "tyx", "visible": False}
    viewer.add_image(np.zeros(shown.data.shape), scale=(1000, 500, 500), **options)
    viewer.layers.selection.active = shown
    viewer.reset_view()
    row = int(np.flatnonzero(tracks.frame == 2)[0])
    viewer.dims.set_point(0, 2000)
    drag(shown, tuple(np.round(tracks.centroid[row]).astype(int).tolist()))
    assert panel.correct.chosen == [row]


def test_loose_ends_are_gone_through(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    panel.correct.next_button.click()
    assert "No loose ends" in panel.correct.line.text()
    tracks = panel.correct.corrected.tracks
    row = int(np.flatnonzero((tracks.frame == 3) & (tracks.parents >= 0))[0])
    panel.correct.choose([row])
    panel.correct.cut()
    ends = sorted({row, *panel.correct.corrected.tracks.loose_ends().tolist()})
    seen = []
    for _ in range(len(ends) + 1):
        press(panel.layers.labels, "N")
        seen += panel.correct.chosen
        assert viewer.dims.current_step[0] == tracks.frame[panel.correct.chosen[0]]
    assert seen == [*ends, ends[0]]


def test_keys_and_clicks_are_left_to_the_panel_in_front(panel, layer, viewer, qtbot) -> None:
    track(panel, qtbot)
    correct, tracked = panel.correct, panel.layers.labels
    last = len(correct.corrected.tracks) - 1
    correct.choose([last])
    tracked.bind_key("Q", lambda _: None)
    n_clicks = len(tracked.mouse_drag_callbacks)
    panel.take_front(False)
    assert [str(key) for key in tracked.keymap] == ["Q"]
    assert len(tracked.mouse_drag_callbacks) == n_clicks - 1
    click(viewer, panel, last - 1)
    assert correct.chosen == [last]
    panel.take_front(True)
    press(tracked, "C")
    assert correct.corrected.n_steps == 1


def test_what_was_linked_behind_another_panel_is_corrected_later(panel, layer, qtbot) -> None:
    panel.take_front(False)
    track(panel, qtbot)
    tracked = panel.layers.labels
    assert not tracked.keymap
    panel.take_front(True)
    panel.correct.choose([len(panel.correct.corrected.tracks) - 1])
    press(tracked, "C")
    assert panel.correct.corrected.n_steps == 1
