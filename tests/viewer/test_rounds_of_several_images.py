"""Rounds of training on several images, in the Label & Train panel."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from fake_training import FakeTraining, preview_of
from label_steps import PANEL, annotate, choose_in_list, listed, paint, stored

from embedseg_napari.core.events import LabelsUpdated
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.viewer.label.candidates import candidates
from embedseg_napari.viewer.preview.preview import LABELS
from embedseg_napari.viewer.preview.preview_layers import PREFIX

pytestmark = pytest.mark.usefixtures("own_data", "slim_network")


@pytest.fixture
def panel(endless_panel):
    return endless_panel


def finish(panel, qtbot):
    panel.stop.click()
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass


def test_training_learns_from_all_images_and_from_one_that_joins(viewer, panel, add_image, qtbot):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 2)
    panel.train.click()
    job = panel.job
    # Strokes that are left behind in the moment of switching are learned from too.
    paint(panel, 1, row=4)
    annotate(panel, add_image("three", shift=5))
    assert len(set(np.unique(job.latest["two"].annotation.labels)) - {0, 65535}) == 3
    paint(panel, 1)
    panel.look()
    assert set(job.latest) == {"two", "three"}
    finish(panel, qtbot)
    assert set(job.learned) == {"one", "two"}
    line = "Round 1 · 6 objects in 3 images · 1.2 min · found 85 % of held-out objects · seed threshold 0.70"
    assert panel.sessions.rounds.text() == line
    assert panel.settings.config().validation_objects == 0.1


@pytest.mark.parametrize("removed", ["one", "one annotation", "all"])
def test_layers_removed_during_a_round_do_not_cost_its_row(viewer, panel, add_image, qtbot, removed):
    annotate(panel, add_image("one"))
    paint(panel, 3)
    panel.train.click()
    session = panel.job.request.session
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    if removed == "all":
        viewer.layers.clear()
    else:
        viewer.layers.remove(removed)
    finish(panel, qtbot)
    assert [row.n_objects for row in session.rounds] == [3]
    panel.autosave.close()
    assert stored(session.folder) == {"one": 3}


def test_an_image_of_another_kind_during_a_round_does_not_cost_its_row(viewer, panel, add_image, qtbot):
    annotate(panel, add_image("flat"))
    paint(panel, 3)
    panel.train.click()
    session = panel.job.request.session
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    annotate(panel, add_image("deep", 3))
    paint(panel, 3)
    panel.look()
    assert "deep" not in panel.job.latest
    finish(panel, qtbot)
    with AnnotationSession.open(session.folder) as again:
        assert len(again.rounds) == 1
    # The model of flat images is not proposed for the volume.
    assert panel.train.isEnabled()


@pytest.mark.parametrize("kind", ["same", "other"])
def test_a_round_is_reviewed_on_the_image_in_front_if_its_model_fits(panel, add_image, qtbot, monkeypatch, kind):
    reviewed = []
    monkeypatch.setattr(panel.review, "start", lambda model, device: reviewed.append(model))
    annotate(panel, add_image("flat"))
    paint(panel, 3)
    panel.train.click()
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    annotate(panel, add_image("next", 2 if kind == "same" else 3))
    paint(panel, 3)
    if kind == "other":
        panel.settings.choose_start(None)
    finish(panel, qtbot)
    assert reviewed == ([panel.saved.path] if kind == "same" else [])


def test_an_untouched_volume_in_front_during_a_round_leaves_the_session_open(viewer, panel, add_image, qtbot):
    deep = add_image("deep", 3)
    annotate(panel, deep)
    flat = add_image("flat")
    annotate(panel, flat)
    paint(panel, 3)
    panel.train.click()
    session = panel.job.request.session
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    panel.annotation.image.choose(deep)
    panel.look()
    panel.annotation.image.choose(flat)
    assert panel.autosave.session is session
    paint(panel, 1, row=4)
    panel.look()
    assert set(panel.job.latest) == {"flat"}
    finish(panel, qtbot)
    panel.autosave.close()
    assert stored(session.folder) == {"flat": 4}


def test_going_back_to_a_round_brings_all_images_back(viewer, panel, add_image, qtbot):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 2)
    panel.train.click()
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    finish(panel, qtbot)
    paint(panel, 3, row=4)
    choose_in_list(panel, "one")
    paint(panel, 3, row=4)
    panel.sessions.rounds_menu.actions()[0].trigger()
    assert panel.annotation.counts.n_objects == 2
    assert listed(panel) == ["one · 2 objects", "two · 2 objects"]
    choose_in_list(panel, "two")
    assert panel.annotation.counts.n_objects == 2
    assert panel.settings.start_from() == panel.autosave.session.model_path(1)
    # All of it can be undone; what was painted meanwhile goes.
    paint(panel, 1, row=20)
    panel.sessions.rounds_menu.actions()[-1].trigger()
    assert panel.annotation.counts.n_objects == 5
    assert listed(panel) == ["one · 5 objects", "two · 5 objects"]
    choose_in_list(panel, "one")
    assert panel.annotation.counts.n_objects == 5
    assert len(panel.sessions.rounds_menu.actions()) == 1
    folder = panel.autosave.session.folder
    viewer.window.remove_dock_widget(panel)
    assert stored(folder) == {"one": 5, "two": 5}


@pytest.fixture
def movie(viewer, blobs):
    pixels = np.stack([np.roll(blobs(2)[0], 3 * t, -1) for t in range(3)])
    return viewer.add_image(pixels, name="movie", axis_labels=("t", "y", "x"))


def train_on_first_frame(viewer, panel, movie, qtbot):
    viewer.dims.set_point(0, 0)
    annotate(panel, movie)
    paint(panel, 3)
    panel.train.click()
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    finish(panel, qtbot)


def test_the_next_frame_of_a_movie_goes_on_from_the_latest_model(viewer, panel, movie, qtbot):
    train_on_first_frame(viewer, panel, movie, qtbot)
    latest = panel.saved.path
    panel.annotation.image.choose(movie)
    assert panel.settings.start_from() == latest
    assert panel.train.isEnabled()
    assert panel.annotation.line.text() == "3 objects in 1 other image"
    assert "movie t=2" in [one.name for one in candidates(panel.navigator)]
    viewer.dims.set_point(0, 2)
    panel.annotation.annotate.click()
    assert panel.annotation.layers.image.name == "movie t=2"
    assert panel.settings.start_from() == latest
    assert "latest of this session" in panel.settings.why.text()


@pytest.mark.parametrize("wanted", ["a new network", "nuclei-2d"])
def test_a_start_that_a_person_chose_stays_from_frame_to_frame(viewer, panel, movie, qtbot, wanted):
    train_on_first_frame(viewer, panel, movie, qtbot)
    panel.settings.start.setCurrentText(wanted)
    panel.annotation.image.choose(movie)
    viewer.dims.set_point(0, 2)
    panel.annotation.annotate.click()
    assert panel.settings.start.currentText() == wanted


def test_back_from_an_image_of_another_kind_the_latest_model_is_the_start(viewer, panel, add_image, movie, qtbot):
    train_on_first_frame(viewer, panel, movie, qtbot)
    frame, latest = panel.annotation.layers.image, panel.autosave.session.latest_model()
    panel.annotation.image.choose(add_image("deep", 3))
    assert panel.settings.start_from() != latest
    panel.annotation.image.choose(frame)
    assert panel.settings.start_from() == latest


def seen_previews(viewer):
    return [layer.name for layer in viewer.layers if layer.visible and layer.name.startswith(PREFIX)]


def test_a_round_begun_on_the_movie_shows_no_image_beside_it(viewer, panel, movie, qtbot, monkeypatch):
    train_on_first_frame(viewer, panel, movie, qtbot)
    monkeypatch.setattr(FakeTraining, "shows", True)
    panel.annotation.image.choose(movie)
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    before = tuple(camera.center), camera.zoom
    panel.train.click()
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    panel.preview.gradually.finish()
    assert not seen_previews(viewer)
    assert (tuple(camera.center), camera.zoom) == before
    finish(panel, qtbot)


@pytest.mark.parametrize("chosen", ["movie", "not annotated", "of another kind"])
def test_what_is_previewed_of_an_image_is_not_seen_on_another(
    viewer, panel, add_image, movie, qtbot, monkeypatch, chosen
):
    monkeypatch.setattr(FakeTraining, "shows", True)
    other = movie if chosen == "movie" else add_image("other", 2 if chosen == "not annotated" else 3)
    viewer.dims.set_point(0, 0)
    annotate(panel, movie)
    paint(panel, 3)
    panel.settings.choose_start(None)
    panel.train.click()
    qtbot.waitUntil(lambda: LABELS in seen_previews(viewer), timeout=20000)
    frame = panel.annotation.layers.image
    late = preview_of(panel.view.example(None, panel.settings.config().normalization))
    panel.annotation.image.choose(other)
    panel.take_event(late)
    panel.look()
    panel.preview.gradually.finish()
    assert not seen_previews(viewer)
    if chosen == "movie":
        # Back on the frame, it is previewed again.
        panel.annotation.image.choose(frame)
        panel.take_event(preview_of(panel.view.example(None, panel.settings.config().normalization)))
        panel.preview.gradually.finish()
        assert LABELS in seen_previews(viewer)
        panel.annotation.image.choose(movie)
    finish(panel, qtbot)
    qtbot.waitUntil(lambda: not panel.preview.gradually.isActive(), timeout=20000)
    assert not [layer.name for layer in viewer.layers if layer.name.startswith(PREFIX)]


def test_a_panel_that_is_opened_again_on_the_movie_can_go_on(viewer, panel, open_panel, movie, qtbot):
    panel.settings.form.editors["minutes"].value = 7
    train_on_first_frame(viewer, panel, movie, qtbot)
    latest = panel.autosave.session.latest_model()
    viewer.layers.selection.active = movie
    viewer.window.remove_dock_widget(panel)
    again = open_panel(PANEL)
    again.annotation.image.choose(movie)
    assert again.settings.config().minutes == 7
    assert again.settings.start_from() == latest
    assert again.annotation.line.text() == "3 objects in 1 other image"
    again.train.click()
    assert again.job.request.session == again.autosave.session
    assert again.job.request.start_from == str(latest)
    finish(again, qtbot)
    assert [one.n_objects for one in again.autosave.session.rounds] == [3, 3]


def test_a_round_on_two_images_for_real(viewer, open_panel, blobs, qtbot, monkeypatch):
    panel = open_panel(PANEL)
    told, show = [], panel.take_event
    monkeypatch.setattr(panel, "take_event", lambda event: (told.append(event), show(event)))
    image, truth = blobs(2)
    for name, turned in (("one", slice(None)), ("two", slice(None, None, -1))):
        layer = annotate(panel, viewer.add_image(image[turned], name=name))
        for identity in range(1, 7):
            layer.data_setitem(np.nonzero(truth[turned] == identity), identity)
        panel.annotation.layers.regions.show(np.ones(truth.shape, bool))
        panel.annotation.count()
    panel.settings.choose_start(None)
    values = {"crop_size": (32, 32), "batch_size": 1, "precision": "float32", "validation_objects": 0.4}
    panel.settings.form.set_values({"epochs": 2000, "steps_per_epoch": 1} | values)
    third = viewer.add_image(np.roll(image, 5, 0), name="three")
    panel.train.click()
    qtbot.waitUntil(lambda: len(panel.progress.plot.epochs) > 0, timeout=60000)
    layer = annotate(panel, third)
    layer.data_setitem(np.nonzero(np.roll(truth, 5, 0) == 1), 1)
    qtbot.waitUntil(lambda: any(isinstance(event, LabelsUpdated) for event in told), timeout=60000)
    panel.stop.click()
    with qtbot.waitSignal(panel.background.finished, timeout=60000):
        pass
    (row,) = panel.autosave.session.rounds
    assert (row.n_images, row.n_objects) == (3, 13)
    assert row.score is not None
    qtbot.waitUntil(lambda: panel.review.queue is not None and not panel.review.is_searching, timeout=120000)
    assert panel.review.queue.segmentation.labels.shape == truth.shape
