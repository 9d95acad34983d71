"""Next image in the Label & Train panel, opened through the manifest and driven by its widgets."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile

pytest.importorskip("pyqtgraph")

from label_steps import PANEL, annotate, choose_in_list, paint, press, queue_of, wait_for_search
from qtpy.QtCore import Qt

from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.review import next_image as image_ranking
from embedseg_napari.viewer.label import model_search
from embedseg_napari.viewer.label import widget as label_widget
from embedseg_napari.viewer.label.candidates import candidates

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.fixture
def panel(endless_panel):
    return endless_panel


@pytest.fixture
def doubts(monkeypatch):
    """Doubt by an image's mean; the images looked at are noted."""
    looked_at = []

    def find(model, image, labels, device, should_stop):
        yield from ()
        looked_at.append(image)
        return queue_of(image.shape[1:], float(image.mean()) / 1000)

    monkeypatch.setattr(image_ranking, "find_doubts", find)
    return looked_at


@pytest.mark.usefixtures("whole_window")
def test_next_image_goes_where_the_model_is_least_sure(viewer, panel, doubts, qtbot, tiny_model_file):
    flat = np.ones((32, 32), np.float32)
    annotate(panel, viewer.add_image(100 * flat, name="front"))
    paint(panel, 2)
    annotate(panel, viewer.add_image(300 * flat, name="kept"))
    paint(panel, 2)
    choose_in_list(panel, "front")
    viewer.layers.remove("kept")
    viewer.layers.remove("kept annotation")
    viewer.add_image(500 * flat, name="open")
    viewer.add_image(900 * np.ones((4, 32, 32), np.float32), name="deep", axis_labels=("z", "y", "x"))
    panel.settings.choose_start(tiny_model_file)
    panel.next_image.button.click()
    wait_for_search(panel, qtbot)
    assert len(doubts) == 2
    assert panel.annotation.image.layer().name == "open"
    assert viewer.layers.selection.active == viewer.layers["open annotation"]
    assert panel.review.line.text() == "1 place to look at, the most doubtful first: press J."
    assert "open: doubt 0.50" in panel.next_image.line.text()
    # The results at hand are used: no image is looked at again. The one of the session is opened.
    press(viewer, Qt.Key.Key_J, Qt.KeyboardModifier.ShiftModifier)
    assert panel.annotation.image.layer().name == "kept"
    assert panel.annotation.counts.n_objects == 2
    assert len(doubts) == 2
    press(viewer, Qt.Key.Key_J)
    assert panel.review.queue.current.label == 1
    panel.next_image.button.click()
    assert panel.annotation.image.layer().name == "kept"
    assert "No other image" in panel.next_image.line.text()


def test_frames_of_an_open_movie_are_gone_to(viewer, panel, doubts, qtbot, tiny_model_file):
    frames = np.stack([np.full((32, 32), 100.0 * (1 + t % 7), np.float32) for t in range(20)])
    movie = viewer.add_image(frames, name="movie", axis_labels=("t", "y", "x"))
    viewer.dims.set_point(0, 0)
    annotate(panel, movie)
    paint(panel, 2)
    assert panel.annotation.image.layer().name == "movie t=0"
    panel.settings.choose_start(tiny_model_file)
    gone_to = []
    for n_looked_at in (8, 9):
        panel.next_image.button.click()
        wait_for_search(panel, qtbot)
        assert len(doubts) == n_looked_at, "a few that are far from each other, and another for the one gone to"
        gone_to.append(panel.annotation.image.layer().name)
        number = int(gone_to[-1].removeprefix("movie t="))
        assert viewer.dims.current_step[0] == number
        np.testing.assert_array_equal(panel.annotation.image.layer().data, frames[number])
    assert "movie t=0" not in gone_to
    assert len(set(gone_to)) == 2


def test_what_is_found_in_the_next_image_is_seen_above_it(viewer, panel, add_image, doubts, qtbot, tiny_model_file):
    annotate(panel, add_image("one"))
    panel.settings.choose_start(tiny_model_file)
    panel.review.begin(queue_of((32, 32), 0.5), tiny_model_file)
    add_image("two", shift=9)
    panel.next_image.button.click()
    wait_for_search(panel, qtbot)
    names = [layer.name for layer in viewer.layers]
    assert (
        names.index("two")
        < names.index("preview: labels")
        < names.index("preview: seeds")
        < names.index("two annotation")
    )


def test_a_model_that_was_weak_on_the_image_before_is_said_to_be(panel, add_image, doubts, qtbot, tiny_model_file):
    annotate(panel, add_image("one"))
    add_image("two", shift=9)
    panel.settings.choose_start(tiny_model_file)
    judged = queue_of((32, 32), 0.5)
    judged.n_found, judged.n_annotated = 0, 4
    panel.review.begin(judged, tiny_model_file)
    panel.next_image.button.click()
    wait_for_search(panel, qtbot)
    assert panel.annotation.image.layer().name == "two"
    assert panel.review.line.text().startswith("The model finds 0 of 4 annotated objects so far: train on before")


def test_another_model_looks_anew(viewer, panel, add_image, doubts, qtbot, tiny_model_file, tmp_path):
    annotate(panel, add_image("one"))
    add_image("two", shift=9)
    for number in (1, 2):
        model = tmp_path / f"model_{number}.embedseg"
        model.write_bytes(tiny_model_file.read_bytes())
        panel.settings.choose_start(model)
        panel.next_image.button.click()
        wait_for_search(panel, qtbot)
        assert len(doubts) == number
    assert panel.annotation.image.layer().name == "one"


def test_the_search_can_be_cancelled_and_what_was_found_stays(viewer, panel, add_image, doubts, qtbot, monkeypatch):
    find, is_open = image_ranking.find_doubts, threading.Event()

    def slow(model, image, labels, device, should_stop):
        if doubts and not is_open.is_set():
            while not should_stop():
                yield None
            raise Stopped
        return (yield from find(model, image, labels, device, should_stop))

    monkeypatch.setattr(image_ranking, "find_doubts", slow)
    annotate(panel, add_image("one"))
    for shift, name in enumerate(("two", "three"), 1):
        add_image(name, shift=shift)
    panel.next_image.button.click()
    qtbot.waitUntil(lambda: "2 of 2" in panel.next_image.line.text(), timeout=20000)
    assert panel.next_image.button.text() == "Cancel"
    panel.next_image.button.click()
    wait_for_search(panel, qtbot)
    assert panel.annotation.image.layer().name == "one"
    assert "Next image" in panel.next_image.button.text()
    is_open.set()
    panel.next_image.button.click()
    wait_for_search(panel, qtbot)
    assert len(doubts) == 2
    assert panel.annotation.image.layer().name != "one"


@pytest.mark.parametrize("way", ["new session", "resumed"])
def test_another_session_visits_images_that_were_seen_for_the_one_before(
    viewer, panel, add_image, doubts, qtbot, tiny_model_file, way
):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    add_image("two", shift=9)
    panel.settings.choose_start(tiny_model_file)
    panel.next_image.button.click()
    wait_for_search(panel, qtbot)
    assert panel.annotation.image.layer().name == "two"
    paint(panel, 2)
    folder = panel.autosave.session.folder
    panel.sessions.new.click()
    if way == "resumed":
        panel.next_image.ranking.seen.add("one")
        panel.sessions.resume_wanted.emit(folder)
    assert panel.next_image.line.text() == ""
    annotate(panel, viewer.layers["two"])
    panel.settings.choose_start(tiny_model_file)
    panel.next_image.button.click()
    wait_for_search(panel, qtbot)
    # Where another image was in front, the resumed session opens it anew.
    assert panel.annotation.image.layer().name in ("one", "one [1]")


def test_after_a_search_for_another_session_the_next_one_begins_at_once(
    viewer, panel, add_image, qtbot, monkeypatch, tiny_model_file
):
    is_open, models = threading.Event(), []

    def find(model, image, labels, device, should_stop):
        models.append(model)
        if not is_open.is_set():
            is_open.wait(20)
            raise Stopped
        yield None
        return queue_of(labels.shape, 0.5)

    monkeypatch.setattr(image_ranking, "find_doubts", find)
    annotate(panel, add_image("one"))
    paint(panel, 2)
    add_image("two", shift=9)
    panel.autosave.save_now()
    panel.settings.choose_start(tiny_model_file)
    panel.next_image.button.click()
    qtbot.waitUntil(lambda: len(models) == 1)
    before, chosen = panel.next_image.search, []
    panel.next_image.chosen.connect(chosen.append)
    panel.sessions.new.click()
    assert not panel.next_image.is_searching
    assert "Next image" in panel.next_image.button.text()
    is_open.set()
    qtbot.waitUntil(lambda: not before.is_active)
    assert not chosen


def test_memory_is_given_up_by_the_surest_image_first(monkeypatch):
    ranking = image_ranking.ImageRanking()
    monkeypatch.setattr(image_ranking, "MOST_BYTES", 2 * image_ranking.bytes_of(queue_of((8, 8), 0.5)))
    for name, doubt in (("a", 0.5), ("b", 0.1), ("c", 0.9)):
        candidate = image_ranking.Candidate(name, name, name, lambda: None)
        ranking.add(image_ranking.Rated(candidate, doubt, queue_of((8, 8), doubt)))
    assert [one.queue is None for one in ranking.rated.values()] == [False, True, False]


def test_next_image_needs_a_model(viewer, panel, add_image, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr(model_search, "report_error", told.append)
    annotate(panel, add_image("one"))
    add_image("two", shift=9)
    panel.settings.choose_start(None)
    panel.next_image.button.click()
    assert "Train first" in str(told[0])
    assert not panel.next_image.is_searching


def test_next_image_for_real(viewer, open_panel, add_image, qtbot, tiny_model_file):
    panel = open_panel(PANEL)
    annotate(panel, add_image("one"))
    paint(panel, 2)
    add_image("two", shift=9)
    panel.settings.choose_start(tiny_model_file)
    panel.next_image.button.click()
    qtbot.waitUntil(lambda: panel.review.queue is not None, timeout=120000)
    assert panel.annotation.image.layer().name == "two"


def test_what_planes_are_carries_over_to_images_of_the_same_kind(viewer, panel, doubts, qtbot, monkeypatch):
    monkeypatch.setattr(label_widget, "misfit", lambda path, layers: "")
    stack = np.ones((9, 32, 32), np.float32)
    first = viewer.add_image(100 * stack, name="first")
    panel.annotation.image.choose(first)
    assert not panel.annotation.question.isHidden()
    panel.annotation.question.answer("Z")
    annotate(panel, first)
    paint(panel, 2)
    other = viewer.add_image(500 * stack[:, :24], name="other")
    deep = viewer.add_image(90 * np.ones((3, 9, 32, 32), np.float32), name="deep")
    panel.next_image.button.click()
    wait_for_search(panel, qtbot)
    assert panel.annotation.image.layer() == other
    assert other.axis_labels == ("z", "y", "x")
    assert panel.annotation.layers.ndim == 3
    assert viewer.layers.selection.active == viewer.layers["other annotation"]
    assert deep.axis_labels == viewer.add_image(np.ones((3, 9, 32, 32)), name="plain").axis_labels


def test_planes_of_another_folder_are_asked_about(viewer, panel, tmp_path):
    stack = np.ones((9, 32, 32), np.float32)
    first = viewer.add_image(100 * stack, name="first")
    panel.annotation.image.choose(first)
    panel.annotation.question.answer("Z")
    annotate(panel, first)
    paint(panel, 2)
    tifffile.imwrite(tmp_path / "second.tif", stack)
    (second,) = viewer.open(tmp_path / "second.tif", plugin="napari")
    panel.annotation.image.choose(second)
    assert not panel.annotation.question.isHidden()


def test_frames_of_volumes_whose_axes_nobody_names_are_candidates(viewer, panel):
    movie = viewer.add_image(np.zeros((6, 5, 32, 32), np.float32), name="movie")
    viewer.dims.set_point(0, 0)
    annotate(panel, movie)
    assert panel.annotation.image.layer().name == "movie t=0"
    names = {one.name for one in candidates(panel.navigator)}
    assert names == {f"movie t={t}" for t in range(1, 6)}
