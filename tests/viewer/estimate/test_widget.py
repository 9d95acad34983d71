"""The Estimate panel, opened through the manifest and driven by keys and clicks of the window."""

from __future__ import annotations

import numpy as np
import pytest
from judging_steps import PANEL, draw
from view_steps import is_in_view

from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.viewer.layers import FOUND, LINES, RESULT


def middle(area) -> tuple[int, ...]:
    return tuple((low + high) // 2 for low, high in zip(area.lower, area.upper, strict=True))


def test_a_sample_is_judged_by_keys_and_clicks(panel, layer, viewer, qtbot, press, drag):
    draw(panel, qtbot)
    shown = panel.judge.marks.shown
    assert layer.contour > 0
    assert layer.opacity < 0.5, "the one that is judged is told from others of its colour"
    for step in panel.judgement.steps[:3]:
        # The outline is that of the object, where it lies.
        own = shown["estimate: object"]
        places = np.argwhere(own.data)
        on_layer = [np.round(layer.world_to_data(own.data_to_world(place))).astype(int) for place in places]
        assert {int(layer.data[tuple(at)]) for at in on_layer} == {step.label}
        assert len(places) == (layer.data == step.label).sum()
        press("R" if step is not panel.judgement.steps[1] else "W")
    assert layer.opacity == 0.7
    area = panel.judgement.current
    corners = shown["estimate: area"].data[0]
    assert corners.min(0).tolist() == [low - 0.5 for low in area.lower]
    assert corners.max(0).tolist() == [high - 0.5 for high in area.upper]
    drag(layer, middle(area))
    drag(layer, (area.lower[0] + 1, area.lower[1] + 1))
    assert len(shown["estimate: missed"].data) == 2
    assert "2 missed objects marked" in panel.judge.note.text()
    press("N")
    press("N")
    assert panel.judgement.current is None
    assert [answer.right for answer in panel.judgement.answers[:3]] == [True, False, True]
    assert [len(answer.missed) for answer in panel.judgement.answers[3:]] == [2, 0]
    assert panel.judge.progress.text() == "5 of 5"
    assert str(panel.judgement.estimate()) == panel.result.text()
    assert "Recall" in panel.result.text()


def test_what_is_judged_is_brought_into_view_and_the_view_comes_back(panel, layer, viewer, qtbot, press):
    camera = getattr(viewer, "scene", viewer).camera
    before = tuple(camera.center), camera.zoom
    draw(panel, qtbot)
    for step in list(panel.judgement.steps):
        assert is_in_view(viewer, layer.data_to_world(middle(step)))
        press("S")
    assert (tuple(camera.center), camera.zoom) == before


def test_a_result_that_keeps_a_place_for_channels_is_judged_like_any_other(panel, viewer, qtbot):
    frames = [nuclei((96, 128), diameter=14, seed=seed).labels for seed in range(2)]
    layer = viewer.add_labels(np.stack(frames)[:, None], name="found", axis_labels="tcyx", metadata={RESULT: FOUND})
    panel.labels.choose(layer)
    draw(panel, qtbot)
    assert panel.judgement.sample.axes == "TYX"
    for step in panel.judgement.steps[:3]:
        own = panel.judge.marks.shown["estimate: object"]
        on_layer = [layer.world_to_data(own.data_to_world(place)) for place in np.argwhere(own.data)]
        assert {int(layer.data[tuple(np.round(at).astype(int))]) for at in on_layer} == {step.label}
        assert viewer.dims.point[0] == step.frame
        panel.judge.say_right()


def test_the_labels_that_are_selected_are_proposed(viewer, open_panel):
    found, _ = (viewer.add_labels(np.ones((9, 9), int), name=name) for name in ("found", "truth"))
    viewer.layers.selection.active = found
    assert open_panel(PANEL).labels.layer() == found


def test_what_else_shows_objects_is_hidden_while_these_are_judged(panel, layer, viewer, qtbot, press):
    centres = viewer.add_points(np.zeros((1, 2)), metadata={RESULT: FOUND})
    lines = viewer.add_tracks(np.zeros((2, 4)), metadata={RESULT: LINES})
    points = viewer.add_points(np.zeros((1, 2)))
    panel.labels.choose(layer)
    draw(panel, qtbot)
    assert (centres.visible, lines.visible, points.visible, layer.visible) == (False, False, True, True)
    panel.stage.leave(panel)
    assert centres.visible
    assert lines.visible


def test_marks_and_answers_are_taken_back(panel, layer, viewer, qtbot, press, drag):
    panel.n_objects.setValue(1)
    draw(panel, qtbot)
    press("W")
    area = panel.judgement.current
    drag(layer, middle(area))
    press("U")
    assert panel.judge.missed == []
    drag(layer, middle(area))
    press("N")
    press("U")
    assert panel.judgement.current == area
    assert len(panel.judge.missed) == 1, "what was marked there is there again"
    assert len(panel.judge.marks.shown["estimate: missed"].data) == 1
    press("UU")
    assert panel.judgement.answers == []
    assert not panel.judge.undo.isEnabled()
    assert not panel.result.isVisibleTo(panel)


def test_only_middles_inside_the_frame_count_and_moving_the_view_is_no_click(panel, layer, viewer, qtbot, press, drag):
    panel.n_objects.setValue(0)
    draw(panel, qtbot)
    area = panel.judgement.current
    inside = middle(area)
    drag(layer, (inside[0], area.lower[1] - 4 if area.lower[1] > 8 else area.upper[1] + 4))
    assert "Outside the frame" in panel.judge.note.text()
    drag(layer, inside, (inside[0] + 6, inside[1] + 6))
    viewer.dims.ndisplay = 3
    panel.judge.mark(layer.data_to_world(inside))
    assert "3D view" in panel.judge.note.text()
    viewer.dims.ndisplay = 2
    layer.mode = "pick"
    drag(layer, inside)
    assert panel.judge.missed == []
    press("R")
    assert "This is an area" in panel.judge.note.text()
    assert panel.judgement.answers == []


def test_a_key_puts_a_mark_under_the_mouse(panel, layer, viewer, qtbot, press):
    panel.n_objects.setValue(0)
    draw(panel, qtbot)
    viewer.cursor.position = tuple(layer.data_to_world(middle(panel.judgement.current)))
    press("A")
    assert panel.judge.missed == [pytest.approx(middle(panel.judgement.current))]


def test_a_pause_gives_keys_and_layers_back(panel, layer, viewer, qtbot, press):
    heard = []
    viewer.bind_key("R", lambda _: heard.append("R"))
    names = [one.name for one in viewer.layers]
    draw(panel, qtbot)
    press("R")
    panel.pause.click()
    assert [one.name for one in viewer.layers] == names
    assert (layer.contour, layer.opacity) == (0, 0.7)
    press("R")
    assert heard == ["R"]
    assert len(panel.judgement.answers) == 1
    panel.pause.click()
    press("R")
    assert len(panel.judgement.answers) == 2


def test_closing_the_panel_leaves_all_as_it_was(panel, layer, viewer, qtbot, press):
    draw(panel, qtbot)
    viewer.window.remove_dock_widget(panel)
    assert [one.name for one in viewer.layers] == ["nuclei", "found"]
    assert layer.contour == 0
    press("R")
    assert panel.judgement.answers == []


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "TZYX"])
def test_volumes_and_movies(panel, viewer, qtbot, press, drag, axes):
    labels = nuclei((16, 64, 64), diameter=12, seed=0).labels
    if axes == "TYX":
        labels = labels[4:8]
    elif axes == "TZYX":
        labels = np.stack([labels, labels[::-1]])
    viewer.add_image(labels.astype(np.uint8), name="image", axis_labels=tuple(axes.lower()))
    layer = viewer.add_labels(labels, name="found", axis_labels=tuple(axes.lower()))
    sliders = viewer.dims.range[:-2]
    draw(panel, qtbot)
    assert panel.judgement.sample.axes == axes
    for step in panel.judgement.steps[:3]:
        own = panel.judge.marks.shown["estimate: object"]
        at = tuple(np.round(layer.world_to_data(own.data_to_world(np.argwhere(own.data)[0]))).astype(int))
        assert layer.data[at] == step.label
        whole = labels[step.frame] if "T" in axes else labels
        assert own.data.sum() == (whole == step.label).sum()
        assert viewer.dims.range[:-2] == sliders
        press("R")
    area = panel.judgement.current
    if "T" in axes:
        assert viewer.dims.current_step[0] == area.frame
    drag(layer, middle(area)[-2:])
    (point,) = panel.judge.missed
    assert area.holds(point)
    assert viewer.dims.range[:-2] == sliders
    press("NN")
    assert panel.judgement.current is None


def test_a_mask_without_axes_is_read_as_the_movie_it_lies_on(panel, viewer, qtbot):
    labels = np.stack([nuclei((48, 48), diameter=12, seed=seed).labels for seed in range(3)])
    viewer.add_image(np.random.default_rng(0).random(labels.shape), axis_labels=("t", "y", "x"))
    panel.labels.choose(viewer.add_labels(labels))
    draw(panel, qtbot)
    assert "in 3 frames" in panel.controls.status.text()


@pytest.mark.parametrize("is_asked", [False, True])
def test_planes_of_one_object_each_are_judged_one_by_one_and_stay_what_they_are(
    panel, viewer, open_panel, qtbot, press, is_asked
):
    masks = np.zeros((4, 40, 50), np.uint8)
    for plane in range(4):
        masks[plane, 5 : 25 + plane, 8 * plane : 8 * plane + 6] = 1
    viewer.add_image(np.zeros((40, 50)), name="worms")
    labels = viewer.add_labels(masks, name="worms masks")
    if is_asked:
        assert "4 planes of worms masks" in panel.question.sentence.text()
        panel.question.buttons["N"].click()
    else:
        labels.axis_labels = ("n", "y", "x")
    assert panel.question.isHidden()
    draw(panel, qtbot)
    assert "3 objects and 0 areas drawn from 4 objects in 4 planes" in panel.controls.status.text()
    assert "one object alone" in panel.controls.status.text()
    for step in panel.judgement.steps:
        assert viewer.dims.current_step[0] == step.frame
        assert panel.judge.marks.shown["estimate: object"].data.sum() == masks[step.frame].sum()
        press("R")
    assert "Precision: 1.00" in panel.result.text()
    assert "Recall" not in panel.result.text()
    measure = open_panel("EmbedSeg: Measure")
    assert measure.question.isHidden()
    assert tuple(labels.axis_labels) == ("n", "y", "x")
    measure.start()
    qtbot.waitUntil(lambda: measure.controls.current is None, timeout=20_000)
    assert measure.table["label"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("n", [0, 1])
def test_labels_of_no_object_or_one(panel, viewer, qtbot, press, n):
    labels = np.zeros((40, 50), int)
    labels[5:15, 5:15] = n
    viewer.add_labels(labels, name="few")
    draw(panel, qtbot)
    assert "Show the image" in panel.controls.status.text()
    while panel.judgement.current is not None:
        press("R" if panel.judge.right.isEnabled() else "N")
    assert ("Precision: 1.00 (1.00 to 1.00)" in panel.result.text()) == bool(n)


def test_without_labels_nothing_is_drawn(panel, viewer):
    assert not panel.controls.run_button.isEnabled()
    assert "Labels layer" in panel.controls.status.text()


def test_labels_that_change_end_the_judging(panel, layer, viewer, qtbot, press):
    draw(panel, qtbot)
    press("R")
    layer.data_setitem((np.array([1]), np.array([1])), 99)
    assert "have changed" in panel.controls.status.text()
    assert not panel.judge.is_judging
    press("R")
    assert len(panel.judgement.answers) == 1
    assert not panel.pause.isEnabled()
    assert panel.save.isEnabled(), "what was judged is the person's"
    draw(panel, qtbot)
    assert panel.judge.is_judging
    assert panel.judgement.answers == []


def test_labels_that_are_removed_end_the_judging(panel, layer, viewer, qtbot, press, tmp_path):
    draw(panel, qtbot)
    press("R")
    viewer.layers.remove(layer)
    assert [one.name for one in viewer.layers] == ["nuclei"]
    assert "removed" in panel.controls.status.text()
    panel.write(tmp_path / "a.json")
    assert (tmp_path / "a.json").is_file()


def test_a_mark_that_is_removed_pauses(panel, layer, viewer, qtbot, press):
    draw(panel, qtbot)
    viewer.layers.remove(panel.judge.marks.shown["estimate: object"])
    assert not panel.judge.is_judging
    panel.pause.click()
    press("R")
    assert len(panel.judgement.answers) == 1


def test_labels_on_the_disk_are_read_where_they_are_judged(panel, viewer, qtbot, press):
    import dask.array

    labels = nuclei((96, 128), diameter=14, seed=0).labels
    viewer.add_labels(dask.array.from_array(labels, chunks=48), name="stored")
    draw(panel, qtbot)
    step = panel.judgement.current
    assert panel.judge.marks.shown["estimate: object"].data.sum() == (labels == step.label).sum()
    press("R")
    assert len(panel.judgement.answers) == 1
