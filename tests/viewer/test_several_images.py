"""Several images in one session of the Label & Train panel, opened through the manifest and driven by its widgets."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from embedseg_napari.core.annotation.doubt import Doubt
from embedseg_napari.core.annotation.session import AnnotationSession, Round, list_sessions
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.events import LabelsUpdated, StepFinished
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.viewer import image_ranking, label_widget
from embedseg_napari.viewer.review_queue import ReviewQueue
from embedseg_napari.viewer.training_output import SavedTraining

PANEL = "EmbedSeg: Label & Train"


class WaitingTraining:
    """A training that goes on until it is stopped, and learns from what it is offered."""

    model: bytes = b""

    def __init__(self, request, preview=None) -> None:
        self.request = request
        self.offers = {}
        self.offered = threading.Event()

    def offer(self, painted) -> None:
        self.offers[painted.image.name] = painted
        self.offered.set()

    def run(self, should_stop):
        request = self.request
        if request.painted is not None:
            request.place.save(request.painted)
        self.learned = request.place.read(request.at_hand).learned
        step = 0
        while not should_stop():
            step += 1
            yield StepFinished(0, step, 1.0, 0.1, 0.1, 0.1, 1e-3, 0.5)
        request.output.parent.mkdir(parents=True, exist_ok=True)
        request.output.write_bytes(self.model)
        row = Round(seconds=72.0, score=0.85, thresholds={"seed_threshold": 0.7})
        newer = {name: one.snapshot.annotation() for name, one in self.offers.items()}
        images = {name: one.image for name, one in self.offers.items()}
        request.place.add_round(self.learned | newer, images, row, request.output)
        return SavedTraining(request.output, 0.85, True, step)


def queue_of(shape, score):
    """One doubtful object in the corner of an image."""
    labels = np.zeros(shape, np.int32)
    box = (slice(2, 5),) * len(shape)
    labels[box] = 1
    zeros = np.zeros((len(shape), *shape), np.float32)
    maps = EmbeddingMaps(zeros, zeros, zeros[0])
    center = np.full((1, len(shape)), 3, np.float32)
    segmentation = Segmentation(labels, center, np.ones(1, np.float32), PredictionConfig(), kept_maps=maps)
    return ReviewQueue(segmentation, [Doubt(1, score, {"seed": score}, (3.0,) * len(shape), box)])


@pytest.fixture(autouse=True)
def own_data(monkeypatch, tmp_path, tiny_model_file):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(WaitingTraining, "model", tiny_model_file.read_bytes())
    return tmp_path


@pytest.fixture
def panel(viewer, open_panel, monkeypatch):
    monkeypatch.setattr(label_widget, "LabelTraining", WaitingTraining)
    monkeypatch.setattr(label_widget.ReviewBox, "start", lambda *args: None)
    return open_panel(PANEL)


@pytest.fixture(params=[2, 3])
def ndim(request):
    return request.param


@pytest.fixture
def add(viewer, blobs):
    """Add an image to the viewer; all are of one kind and differ."""

    def add(name, ndim=2, shift=0):
        image = np.roll(blobs(ndim)[0], shift, -1)
        return viewer.add_image(image, name=name, scale=(2.0, 0.5, 0.5)[-ndim:], units=("um",) * ndim)

    return add


def annotate(panel, layer):
    """Choose an image and press Annotate; its annotation layer is returned."""
    panel.annotation.image.choose(layer)
    panel.annotation.annotate.click()
    return panel.annotation.layers.labels


def paint(panel, n, row=0):
    """Paint small objects, and some background, on the annotation in front."""
    layer = panel.annotation.layers.labels
    lead = (0,) * (layer.ndim - 2)
    for i in range(n):
        panel.annotation.new.click()
        place = tuple(np.array([p]) for p in (*lead, row, 2 * i))
        layer.data_setitem(place, layer.selected_label)
    panel.annotation.background.click()
    layer.data_setitem(tuple(np.array([p]) for p in (*lead, row + 1, 0)), layer.selected_label)
    panel.annotation.count()
    return layer


def choose_in_list(panel, name):
    """Choose an image of the session as a click does."""
    row = panel.sessions.names.index(name)
    panel.sessions.images.setCurrentIndex(row)
    panel.sessions.images.activated.emit(row)


def listed(panel):
    return [panel.sessions.images.itemText(i) for i in range(panel.sessions.images.count())]


def stored(folder):
    """Number of objects by image, as another process would find them."""
    with AnnotationSession.open(folder) as session:
        labels = {name: session.load_annotation(name).labels for name in session.image_names}
        return {name: len(set(np.unique(array)) - {0, 65535}) for name, array in labels.items()}


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    QTest.keyClick(viewer.__wrapped__.window._qt_viewer.canvas.native, key, modifier)


def finish(panel, qtbot):
    panel.stop.click()
    with qtbot.waitSignal(panel.background.finished, timeout=20000):
        pass


def wait_for_search(panel, qtbot):
    qtbot.waitUntil(lambda: not panel.next_image.is_searching, timeout=20000)


def test_a_second_image_joins_the_session_and_counts(viewer, panel, add, ndim):
    annotate(panel, add("one", ndim))
    first = paint(panel, 2)
    assert "1 more object" in panel.reason.text()
    two = add("two", ndim, 9)
    annotate(panel, two)
    assert "2 objects in 1 other image" in panel.annotation.line.text()
    paint(panel, 1)
    assert panel.train.isEnabled()
    folder = panel.keeper.place.folder
    # What was left is hidden and comes back with its layers.
    assert not first.visible
    assert not viewer.layers["one"].visible
    choose_in_list(panel, "one")
    assert panel.annotation.layers.labels == first
    assert first.visible
    assert not viewer.layers["two annotation"].visible
    assert viewer.layers.selection.active == first
    assert listed(panel) == ["one · 2 objects", "two · 1 object"]
    panel.keeper.close()
    assert stored(folder) == {"one": 2, "two": 1}


def test_an_untouched_image_does_not_join(panel, add):
    annotate(panel, add("one"))
    paint(panel, 3)
    annotate(panel, add("two", shift=9))
    annotate(panel, add("three", shift=5))
    panel.keeper.save()
    assert [image.name for image in panel.keeper.place.images] == ["one"]


def test_an_image_that_was_only_looked_at_is_not_hidden(viewer, panel, add):
    one, channel = add("one"), add("channel", shift=9)
    annotate(panel, one)
    paint(panel, 3)
    panel.annotation.image.choose(channel)
    panel.annotation.image.choose(one)
    assert channel.visible
    assert viewer.layers.selection.active == panel.annotation.layers.labels


def test_an_image_of_another_kind_starts_another_session(viewer, panel, add):
    annotate(panel, add("flat", 2))
    paint(panel, 3)
    before = panel.keeper.current_place().folder
    deep = add("deep", 3)
    panel.annotation.image.choose(deep)
    # Looking at it does not end the session.
    assert panel.keeper.place.folder == before
    assert "at least 3" in panel.reason.text()
    panel.annotation.annotate.click()
    paint(panel, 1)
    panel.keeper.close()
    assert "flat annotation" not in viewer.layers
    assert [stored(folder) for folder in list_sessions(panel.keeper.folder)] == [{"deep": 1}, {"flat": 3}]


def test_new_session_leaves_everything_on_the_disk(viewer, panel, add):
    one = add("one")
    annotate(panel, one)
    paint(panel, 2)
    annotate(panel, add("two", shift=9))
    paint(panel, 3)
    folder = panel.keeper.place.folder
    panel.sessions.new.click()
    assert [layer.name for layer in viewer.layers] == ["one", "two"]
    assert stored(folder) == {"one": 2, "two": 3}
    assert len(list_sessions(panel.keeper.folder)) == 1
    # The chosen image had a session of its own: it is offered.
    assert not panel.sessions.again.isHidden()
    panel.sessions.again.click()
    assert panel.keeper.place.folder == folder
    assert panel.annotation.counts.n_objects == 3
    assert listed(panel) == ["one · 2 objects", "two · 3 objects"]


def test_a_resumed_session_opens_images_when_they_are_gone_to(viewer, panel, add, ndim):
    for name, n in (("one", 2), ("two", 3)):
        annotate(panel, add(name, ndim, n))
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


def test_renamed_and_removed_layers_lose_nothing(viewer, panel, add):
    one = add("one")
    annotate(panel, one)
    paint(panel, 2)
    one.name = "renamed"
    paint(panel, 1, row=4)
    annotate(panel, add("two", shift=9))
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
    assert len(list_sessions(panel.keeper.folder)) == 1


def test_an_image_that_is_opened_again_is_known_by_its_pixels(viewer, panel, add):
    annotate(panel, add("one"))
    paint(panel, 2)
    viewer.layers.clear()
    annotate(panel, add("one", shift=9))
    assert panel.annotation.counts.n_objects == 0
    paint(panel, 1)
    viewer.layers.clear()
    annotate(panel, add("one"))
    assert panel.annotation.counts.n_objects == 2
    assert [image.name for image in panel.keeper.place.images] == ["one", "one (2)"]


def test_selecting_an_annotation_brings_its_image_to_the_front(viewer, panel, add, qtbot):
    first = annotate(panel, add("one"))
    paint(panel, 2)
    annotate(panel, add("two", shift=9))
    viewer.layers.selection.active = first
    qtbot.waitUntil(lambda: panel.annotation.layers.labels == first, timeout=5000)
    assert panel.annotation.image.layer().name == "one"


def test_training_learns_from_all_images_and_from_one_that_joins(viewer, panel, add, qtbot):
    annotate(panel, add("one"))
    paint(panel, 2)
    annotate(panel, add("two", shift=9))
    paint(panel, 2)
    panel.train.click()
    job = panel.job
    # Strokes that are left behind in the moment of switching are learned from too.
    paint(panel, 1, row=4)
    annotate(panel, add("three", shift=5))
    assert len(set(np.unique(job.offers["two"].snapshot.labels)) - {0, 65535}) == 3
    paint(panel, 1)
    panel.look()
    assert set(job.offers) == {"two", "three"}
    finish(panel, qtbot)
    assert set(job.learned) == {"one", "two"}
    line = "Round 1 · 6 objects in 3 images · 1.2 min · found 85 % of held-out objects · seeds from 0.70"
    assert panel.sessions.rounds.text() == line
    assert panel.settings.config().validation_objects == 0.1


@pytest.mark.parametrize("removed", ["one", "one annotation", "all"])
def test_layers_removed_during_a_round_do_not_cost_its_row(viewer, panel, add, qtbot, removed):
    annotate(panel, add("one"))
    paint(panel, 3)
    panel.train.click()
    place = panel.job.request.place
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    if removed == "all":
        viewer.layers.clear()
    else:
        viewer.layers.remove(removed)
    finish(panel, qtbot)
    assert [row.n_objects for row in place.rounds] == [3]
    panel.keeper.close()
    assert stored(place.folder) == {"one": 3}


def test_an_image_of_another_kind_during_a_round_does_not_cost_its_row(viewer, panel, add, qtbot):
    annotate(panel, add("flat"))
    paint(panel, 3)
    panel.train.click()
    place = panel.job.request.place
    qtbot.waitUntil(lambda: bool(panel.progress.plot.losses), timeout=20000)
    annotate(panel, add("deep", 3))
    paint(panel, 3)
    panel.look()
    assert "deep" not in panel.job.offers
    finish(panel, qtbot)
    with AnnotationSession.open(place.folder) as session:
        assert len(session.rounds) == 1
    # The model of flat images is not proposed for the volume.
    assert panel.train.isEnabled()


def test_going_back_to_a_round_brings_all_images_back(viewer, panel, add, qtbot):
    annotate(panel, add("one"))
    paint(panel, 2)
    annotate(panel, add("two", shift=9))
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
    assert panel.settings.start_from() == panel.keeper.place.session.model_path(1)
    # All of it can be undone; what was painted meanwhile goes.
    paint(panel, 1, row=20)
    panel.sessions.rounds_menu.actions()[-1].trigger()
    assert panel.annotation.counts.n_objects == 5
    assert listed(panel) == ["one · 5 objects", "two · 5 objects"]
    choose_in_list(panel, "one")
    assert panel.annotation.counts.n_objects == 5
    assert len(panel.sessions.rounds_menu.actions()) == 1
    folder = panel.keeper.place.folder
    viewer.window.remove_dock_widget(panel)
    assert stored(folder) == {"one": 5, "two": 5}


def test_closing_the_panel_saves_the_image_in_front_and_the_others(viewer, panel, add):
    annotate(panel, add("one"))
    paint(panel, 2)
    annotate(panel, add("two", shift=9))
    paint(panel, 1)
    folder = panel.keeper.place.folder
    viewer.window.remove_dock_widget(panel)
    assert stored(folder) == {"one": 2, "two": 1}
    press(viewer, Qt.Key.Key_J, Qt.KeyboardModifier.ShiftModifier)


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
    viewer.add_image(900 * np.ones((4, 32, 32), np.float32), name="movie", axis_labels=("t", "y", "x"))
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
    assert "no other image" in panel.next_image.line.text()


def test_another_model_looks_anew(viewer, panel, add, doubts, qtbot, tiny_model_file, tmp_path):
    annotate(panel, add("one"))
    add("two", shift=9)
    for number in (1, 2):
        model = tmp_path / f"model_{number}.embedseg"
        model.write_bytes(tiny_model_file.read_bytes())
        panel.settings.choose_start(model)
        panel.next_image.button.click()
        wait_for_search(panel, qtbot)
        assert len(doubts) == number
    assert panel.annotation.image.layer().name == "one"


def test_the_search_can_be_cancelled_and_what_was_found_stays(viewer, panel, add, doubts, qtbot, monkeypatch):
    find, is_open = image_ranking.find_doubts, threading.Event()

    def slow(model, image, labels, device, should_stop):
        if doubts and not is_open.is_set():
            while not should_stop():
                yield None
            raise image_ranking_stopped()
        return (yield from find(model, image, labels, device, should_stop))

    from embedseg_napari.core.errors import Stopped as image_ranking_stopped

    monkeypatch.setattr(image_ranking, "find_doubts", slow)
    annotate(panel, add("one"))
    for shift, name in enumerate(("two", "three"), 1):
        add(name, shift=shift)
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


def test_memory_is_given_up_by_the_surest_image_first(monkeypatch):
    ranking = image_ranking.ImageRanking()
    monkeypatch.setattr(image_ranking, "MOST_BYTES", 2 * image_ranking._size(queue_of((8, 8), 0.5)))
    for name, doubt in (("a", 0.5), ("b", 0.1), ("c", 0.9)):
        candidate = image_ranking.Candidate(name, name, name, lambda: None)
        ranking.add(image_ranking.Rated(candidate, doubt, queue_of((8, 8), doubt)))
    assert [one.queue is None for one in ranking.rated.values()] == [False, True, False]


def test_next_image_needs_a_model(viewer, panel, add, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr(label_widget, "report_error", told.append)
    annotate(panel, add("one"))
    add("two", shift=9)
    panel.settings.choose_start(None)
    panel.next_image.button.click()
    assert "Train first" in str(told[0])
    assert not panel.next_image.is_searching


def test_next_image_for_real(viewer, open_panel, add, qtbot, tiny_model_file):
    panel = open_panel(PANEL)
    annotate(panel, add("one"))
    paint(panel, 2)
    add("two", shift=9)
    panel.settings.choose_start(tiny_model_file)
    panel.next_image.button.click()
    qtbot.waitUntil(lambda: panel.review.queue is not None, timeout=120000)
    assert panel.annotation.image.layer().name == "two"


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
    panel.settings.more.set_values({"epochs": 2000, "steps_per_epoch": 1} | values)
    third = viewer.add_image(np.roll(image, 5, 0), name="three")
    panel.train.click()
    qtbot.waitUntil(lambda: len(panel.progress.plot.epochs) > 0, timeout=60000)
    layer = annotate(panel, third)
    layer.data_setitem(np.nonzero(np.roll(truth, 5, 0) == 1), 1)
    qtbot.waitUntil(lambda: any(isinstance(event, LabelsUpdated) for event in told), timeout=60000)
    panel.stop.click()
    with qtbot.waitSignal(panel.background.finished, timeout=60000):
        pass
    (row,) = panel.keeper.place.rounds
    assert (row.n_images, row.n_objects) == (3, 13)
    assert row.score is not None
    qtbot.waitUntil(lambda: panel.review.queue is not None and not panel.review.is_searching, timeout=120000)
    assert panel.review.queue.segmentation.labels.shape == truth.shape
