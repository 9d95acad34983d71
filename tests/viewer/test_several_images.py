"""Several images in one session of the Label & Train panel, opened through the manifest and driven by its widgets."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from fake_training import FakeTraining
from label_steps import PANEL, annotate, choose_in_list, listed, paint, press, stored
from qtpy.QtCore import Qt

from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.events import LabelsUpdated
from embedseg_napari.core.session.folder import list_sessions
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.viewer.label import session_box
from embedseg_napari.viewer.label import widget as label_widget


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path, tiny_model_file):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name, value in {"waits": True, "shows": False, "score": 0.85, "model": tiny_model_file.read_bytes()}.items():
        monkeypatch.setattr(FakeTraining, name, value)
    return tmp_path


@pytest.fixture
def panel(viewer, open_panel, monkeypatch):
    monkeypatch.setattr(label_widget, "LabelTraining", FakeTraining)
    monkeypatch.setattr(label_widget.ReviewBox, "start", lambda *args: None)
    return open_panel(PANEL)


@pytest.fixture(params=[2, 3])
def ndim(request):
    return request.param


def finish(panel, qtbot):
    panel.stop.click()
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass


def test_a_second_image_joins_the_session_and_counts(viewer, panel, add_image, ndim):
    annotate(panel, add_image("one", ndim))
    first = paint(panel, 2)
    assert "1 more object" in panel.reason.text()
    two = add_image("two", ndim, 9)
    annotate(panel, two)
    assert "2 objects in 1 other image" in panel.annotation.line.text()
    paint(panel, 1)
    assert panel.train.isEnabled()
    folder = panel.autosave.session.folder
    # What was left is hidden and comes back with its layers.
    assert not first.visible
    assert not viewer.layers["one"].visible
    choose_in_list(panel, "one")
    assert panel.annotation.layers.labels == first
    assert first.visible
    assert not viewer.layers["two annotation"].visible
    assert viewer.layers.selection.active == first
    assert listed(panel) == ["one · 2 objects", "two · 1 object"]
    panel.autosave.close()
    assert stored(folder) == {"one": 2, "two": 1}


def test_an_untouched_image_does_not_join(panel, add_image):
    annotate(panel, add_image("one"))
    paint(panel, 3)
    annotate(panel, add_image("two", shift=9))
    annotate(panel, add_image("three", shift=5))
    panel.autosave.save()
    assert [image.name for image in panel.autosave.session.images] == ["one"]


def test_an_image_that_was_only_looked_at_is_not_hidden(viewer, panel, add_image):
    one, channel = add_image("one"), add_image("channel", shift=9)
    annotate(panel, one)
    paint(panel, 3)
    panel.annotation.image.choose(channel)
    panel.annotation.image.choose(one)
    assert channel.visible
    assert viewer.layers.selection.active == panel.annotation.layers.labels


def test_an_image_of_another_kind_starts_another_session(viewer, panel, add_image):
    annotate(panel, add_image("flat", 2))
    paint(panel, 3)
    before = panel.autosave.current_session().folder
    deep = add_image("deep", 3)
    panel.annotation.image.choose(deep)
    # Looking at it does not end the session.
    assert panel.autosave.session.folder == before
    assert "at least 3" in panel.reason.text()
    panel.annotation.annotate.click()
    question = panel.annotation.joining
    assert "deep is 3D with 1 channel, but session flat holds 2D with 1 channel" in question.sentence.text()
    assert question.join.isHidden()
    assert panel.autosave.session.folder == before
    question.new.click()
    assert question.isHidden()
    paint(panel, 1)
    panel.autosave.close()
    assert "flat annotation" not in viewer.layers
    assert [stored(folder) for folder in list_sessions(panel.autosave.folder)] == [{"deep": 1}, {"flat": 3}]


def test_an_image_is_asked_about_where_those_of_the_session_are_gone(viewer, panel, add_image, ndim):
    annotate(panel, add_image("one", ndim))
    paint(panel, 3)
    viewer.layers.clear()
    first = panel.autosave.session.folder
    panel.annotation.image.choose(add_image("two", ndim, 9))
    panel.annotation.annotate.click()
    question = panel.annotation.joining
    assert "none of its images is" in question.sentence.text()
    assert panel.annotation.layers.labels is None
    question.join.click()
    paint(panel, 2)
    assert panel.autosave.session.folder == first
    # Now one of them is open.
    annotate_at_once(panel, add_image("three", ndim, 5))
    viewer.layers.clear()
    panel.annotation.image.choose(add_image("four", ndim, 13))
    panel.annotation.annotate.click()
    question.new.click()
    paint(panel, 4)
    panel.autosave.close()
    folders = list_sessions(panel.autosave.folder)
    assert [stored(folder) for folder in folders] == [{"four": 4}, {"one": 3, "two": 2}]


def annotate_at_once(panel, layer):
    """Press Annotate; nothing is asked."""
    panel.annotation.image.choose(layer)
    panel.annotation.annotate.click()
    assert panel.annotation.joining.isHidden()
    assert panel.annotation.layers.labels is not None


@pytest.mark.parametrize(
    ("scale", "unit", "is_other"),
    [(0.5, "um", False), (500, "nm", False), (0.25, "um", True), (0.5, "nm", True), (1, "pixel", False)],
)
def test_an_image_of_another_pixel_size_is_asked_about(viewer, panel, add_image, scale, unit, is_other):
    annotate(panel, add_image("one"))
    paint(panel, 3)
    other = add_image("two", shift=9)
    other.scale, other.units = (scale, scale), (unit, unit)
    panel.annotation.image.choose(viewer.layers["one"])
    panel.annotation.image.choose(other)
    panel.annotation.annotate.click()
    assert panel.annotation.joining.isHidden() != is_other
    if is_other:
        assert "other pixel sizes" in panel.annotation.joining.sentence.text()
        # Another image is chosen: nothing is asked any more.
        panel.annotation.image.choose(viewer.layers["one"])
        assert panel.annotation.joining.isHidden()


def test_new_session_leaves_everything_on_the_disk(viewer, panel, add_image):
    one = add_image("one")
    annotate(panel, one)
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 3)
    folder = panel.autosave.session.folder
    panel.sessions.new.click()
    assert [layer.name for layer in viewer.layers] == ["one", "two"]
    assert stored(folder) == {"one": 2, "two": 3}
    assert len(list_sessions(panel.autosave.folder)) == 1
    # The chosen image had a session of its own: it is offered.
    assert not panel.sessions.again.isHidden()
    panel.sessions.again.click()
    assert panel.autosave.session.folder == folder
    assert panel.annotation.counts.n_objects == 3
    assert listed(panel) == ["one · 2 objects", "two · 3 objects"]


def test_a_resumed_session_opens_images_when_they_are_gone_to(viewer, panel, add_image, ndim):
    for name, n in (("one", 2), ("two", 3)):
        annotate(panel, add_image(name, ndim, n))
        expected = paint(panel, n).data.copy()
    pixels, scale = viewer.layers["two"].data, viewer.layers["two"].scale
    viewer.layers.clear()
    panel.sessions.new.click()
    panel.sessions.list_sessions()
    panel.sessions.sessions_menu.actions()[0].trigger()
    assert [layer.name for layer in viewer.layers] == ["one", "one annotation"]
    assert "3 objects in 1 other image" in panel.annotation.line.text()
    choose_in_list(panel, "two")
    assert np.array_equal(viewer.layers["two"].data, pixels)
    assert np.allclose(viewer.layers["two"].scale, scale)
    assert np.array_equal(viewer.layers["two annotation"].data, expected)


def test_renamed_and_removed_layers_lose_nothing(viewer, panel, add_image):
    one = add_image("one")
    annotate(panel, one)
    paint(panel, 2)
    one.name = "renamed"
    paint(panel, 1, row=4)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 1)
    viewer.layers.remove("renamed")
    viewer.layers.remove("one annotation")
    assert listed(panel) == ["one · 3 objects", "two · 1 object"]
    choose_in_list(panel, "one")
    assert panel.annotation.counts.n_objects == 3
    # Only the annotation is removed: Annotate brings it back.
    viewer.layers.remove("one annotation")
    panel.annotation.count()
    panel.annotation.annotate.click()
    assert viewer.layers["one annotation"] == panel.annotation.layers.labels
    assert panel.annotation.counts.n_objects == 3
    # Only the image is removed: its annotation is taken up again.
    kept = panel.annotation.layers.labels
    viewer.layers.remove("one")
    choose_in_list(panel, "one")
    assert panel.annotation.layers.labels == kept
    assert len(list_sessions(panel.autosave.folder)) == 1


def test_an_image_that_is_opened_again_is_known_by_its_pixels(viewer, panel, add_image):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    viewer.layers.clear()
    annotate(panel, add_image("one", shift=9))
    assert panel.annotation.counts.n_objects == 0
    paint(panel, 1)
    viewer.layers.clear()
    annotate(panel, add_image("one"))
    assert panel.annotation.counts.n_objects == 2
    assert [image.name for image in panel.autosave.session.images] == ["one", "one (2)"]


def test_selecting_an_annotation_brings_its_image_to_the_front(viewer, panel, add_image, qtbot):
    first = annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    viewer.layers.selection.active = first
    qtbot.waitUntil(lambda: panel.annotation.layers.labels == first, timeout=5000)
    assert panel.annotation.image.layer().name == "one"


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
    line = "Round 1 · 6 objects in 3 images · 1.2 min · found 85 % of held-out objects · objects score 0.70 or more"
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


def test_the_annotated_images_are_exported_as_a_data_set(panel, add_image, ndim, tmp_path, qtbot, monkeypatch):
    annotate(panel, add_image("one", ndim))
    assert panel.sessions.export.isHidden()
    paint(panel, 2)
    annotate(panel, add_image("two", ndim, 9))
    paint(panel, 1)
    annotate(panel, add_image("untouched", ndim, 5))
    folder = tmp_path / "data set"
    monkeypatch.setattr(session_box.QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    panel.sessions.export.click()
    qtbot.waitUntil(folder.exists, timeout=20000)
    first, second = load_folder(folder)
    assert (len(np.unique(first.instances)), len(np.unique(second.instances))) == (3, 2)
    assert first.ignore.any()


def test_closing_the_panel_saves_the_image_in_front_and_the_others(viewer, panel, add_image):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 1)
    folder = panel.autosave.session.folder
    viewer.window.remove_dock_widget(panel)
    assert stored(folder) == {"one": 2, "two": 1}
    press(viewer, Qt.Key.Key_J, Qt.KeyboardModifier.ShiftModifier)


def test_a_round_on_two_images_for_real(viewer, open_panel, blobs, qtbot, monkeypatch):
    panel = open_panel(PANEL)
    told, show = [], panel.take_event
    monkeypatch.setattr(panel, "take_event", lambda event: (told.append(event), show(event)))
    image, truth = blobs(2)
    for name, turned in (("one", slice(None)), ("two", slice(None, None, -1))):
        layer = annotate(panel, viewer.add_image(image[turned], name=name))
        for identity in range(1, 7):
            layer.data_setitem(np.nonzero(truth[turned] == identity), identity)
        panel.annotation.layers.show_regions(np.ones(truth.shape, bool))
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
