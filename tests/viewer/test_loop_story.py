"""The whole loop of Label & Train on real images, by keys, mouse and buttons alone: the truth only plays the eye.

Paint, train, paint meanwhile, go through what was found, the next image, a second round, back to the first, close,
resume, segment another image.

EMBEDSEG_STORY_MINUTES sets how long each round trains (default 0.25); EMBEDSEG_STORY_PICTURES names a folder for a
picture of the window at each station.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from annotating_person import LEFT, MINUTES, WAIT, Person
from areas import Area, empty_box
from qtpy.QtCore import Qt
from scipy import ndimage

from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.viewer.preview.preview import LABELS, SEEDS

pytestmark = [pytest.mark.real, pytest.mark.thorough, pytest.mark.timeout(1500)]

LEAST_AP = 0.3
"""At IoU 0.5 after two rounds from a bundled model; 0.58 was measured. Rounds this short find nothing from scratch."""
STEPS = 16
"""The first round is stopped after so many."""
AREA = 3
"""About so many objects lie in the area that is annotated first."""


@dataclass(frozen=True)
class Material:
    """Images of a data set, and how one looks at them."""

    folder: str
    names: tuple[str, str, str]
    """The first, one more, and a third that is only segmented; the beginnings of their names."""
    spacing: tuple[float, ...]


MATERIAL = {
    2: Material("dsb2018", ("00071198d059ba7f", "05a8f65ebd0b30d3", "05040e2e959c3f56"), (1.0, 1.0)),
    3: Material("bbbc050", ("Emb02_t301", "Emb03_t301", "Emb05_t301"), (2.18, 1.0, 1.0)),
}


@pytest.fixture
def viewer(make_napari_viewer_proxy, monkeypatch, tmp_path):
    """A viewer whose window is seen."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return open_window(make_napari_viewer_proxy)


def open_window(make):
    viewer = make(show=True)
    viewer.__wrapped__.window._qt_window.resize(1100, 800)
    return viewer


@pytest.fixture(params=MATERIAL, ids=lambda n: f"{n}D")
def ndim(request):
    return request.param


def open_panel(viewer, name: str):
    return viewer.window.add_plugin_dock_widget("embedseg-napari", f"EmbedSeg: {name}")[1]


def test_from_a_dropped_image_to_a_model(make_napari_viewer_proxy, viewer, qtbot, drag, ndim, shared_data):
    material = MATERIAL[ndim]
    folder = shared_data(material.folder) / "train"
    files = [next(p for p in list_images(folder / "images") if p.name.startswith(name)) for name in material.names]
    truths = [read_image(folder / "masks" / path.name).array for path in files]
    place = {"scale": material.spacing, "units": ("um",) * ndim}

    # Two images are dropped; the one on top is annotated.
    panel = open_panel(viewer, "Label & Train")
    me = Person(viewer, qtbot, drag, ndim, panel)
    me.picture("empty")
    assert "Open an image" in panel.reason.text()
    for path in reversed(files[:2]):
        (image,) = viewer.open(path, plugin="napari", **place)
    viewer.reset_view()
    qtbot.waitUntil(lambda: panel.annotation.layers.image == image)
    me.picture("opened")
    if ndim == 3:
        me.click(panel.annotation.question.buttons["Z"])
        for layer in viewer.layers:
            layer.axis_labels = ("z", "y", "x")
    me.click(panel.annotation.annotate)
    layers, advice = panel.annotation.layers, panel.annotation.advice
    assert "draw a rectangle around about five objects" in advice.text()

    # An area, all objects in it, and an empty place.
    truth = truths[0]
    area = Area.choose(truth, AREA)
    me.go_near(area.box)
    for z in area.planes(truth):
        me.draw_rectangle(z, area.box)
    qtbot.waitUntil(lambda: "Paint every object in the rectangle" in advice.text())
    me.picture("rectangle")
    for one in area.objects:
        me.paint(truth, one)
    assert np.median([me.overlap(truth, one) for one in area.objects]) > 0.6
    empty = empty_box(me.seen(truth, area.z))
    me.go_near(empty)
    me.draw_rectangle(area.z, empty)
    me.go_near(area.box)
    panel.annotation.count()
    me.picture("painted")
    assert panel.annotation.counts.n_objects == len(area.objects)

    # One more while it trains; it joins, and the prediction is seen below what is painted.
    # Epochs as short as the round, for strokes join at the next.
    panel.settings.form.set_values({"steps_per_epoch": 4})
    is_new = panel.settings.start_from() is None
    me.train(10.0)
    me.picture("training")
    more = next(int(i) for i in np.unique(truth) if i and i not in area.objects)
    me.paint(truth, more, n_planes=1)
    n_objects = len(area.objects) + 1
    joined = f"What you painted has joined: learning from {n_objects} objects"
    qtbot.waitUntil(lambda: panel.progress.status.text().startswith(joined), timeout=WAIT)
    qtbot.waitUntil(lambda: {LABELS, SEEDS} <= {layer.name for layer in viewer.layers}, timeout=WAIT)
    losses = panel.progress.plot.losses
    # Two epochs more, so that the last of its strokes has joined as well.
    enough = max(STEPS, len(losses) + 8)
    qtbot.waitUntil(lambda: len(losses) >= enough, timeout=WAIT)
    names = [layer.name for layer in viewer.layers]
    assert names.index(LABELS) < names.index(me.labels.name)
    assert viewer.layers.selection.active == me.labels
    me.picture("joined")
    me.click(panel.stop)
    me.wait_for_round()
    me.picture("round")
    assert not is_new or np.mean(losses[-4:]) < np.mean(losses[:4])
    assert len(panel.autosave.session.rounds) == 1
    first_model, after_first = panel.settings.start_from(), layers.array().copy()
    assert panel.saved.path == first_model

    # Through the queue by keys.
    queue = panel.review.queue
    assert f"{len(queue.doubts)} " in panel.review.line.text()
    assert is_new or "press J" in panel.review.line.text()
    me.press(Qt.Key.Key_J)
    me.picture("doubt")
    assert panel.review.line.text().split()[1] == "1"
    if ndim == 3:
        assert viewer.dims.current_step[0] == round(queue.current.center[0])
    me.go_to_object()
    me.press(Qt.Key.Key_R)
    opened = int(me.labels.selected_label)
    n_pixels = (layers.array() == opened).sum()
    assert n_pixels
    me.drag(me.labels, me.beside(opened))
    me.picture("repainted")
    assert (layers.array() == opened).sum() > n_pixels
    me.undo()
    assert (layers.array() == opened).sum() == n_pixels
    me.press(Qt.Key.Key_A)
    (accepted,) = layers.accepted
    assert accepted == n_objects + 1
    before = panel.annotation.layers.annotation().counts().background_pixels
    me.press(Qt.Key.Key_D)
    assert panel.annotation.layers.annotation().counts().background_pixels > before

    # Strokes over what was painted by hand.
    me.go_near(area.box)
    one, other = area.objects[:2]
    plane = me.seen(truth, area.z)
    (rows, columns), (y, x) = ndimage.find_objects(plane)[one - 1], ndimage.center_of_mass(plane == other)
    middle = (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2
    parts = me.stroke(Qt.Key.Key_S, area.z, (middle[0], columns.start - 2), (middle[0], columns.stop + 2))
    assert len(np.unique(parts[layers.array() == me.painted[one]])) == 2
    merged = me.stroke(Qt.Key.Key_G, area.z, middle, (round(y), round(x)))
    assert len(np.unique(merged[np.isin(layers.array(), [me.painted[one], me.painted[other]])])) == 1

    # The next image joins the session; an area by background strokes this time.
    me.press(Qt.Key.Key_J, Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: layers.image.name == files[1].stem, timeout=WAIT)
    me.wait_for_doubts()
    me.picture("next-image")
    me.painted.clear()
    second = Area.choose(truths[1], 3)
    me.go_near(second.box)
    for one in second.objects:
        me.paint(truths[1], one, n_planes=2)
    empty = empty_box(me.seen(truths[1], second.z))
    me.go_near(empty)
    me.look_at(second.z)
    me.press(Qt.Key.Key_B)
    me.drag(me.labels, empty[:2], empty[2:])
    panel.annotation.count()
    assert panel.annotation.counts.background_pixels
    me.picture("second-image")

    # The second round starts from the first.
    assert panel.settings.start_from() == first_model
    me.train(MINUTES)
    assert panel.job.request.start_from == str(first_model)
    me.wait_for_round()
    me.picture("second-round")
    assert len(panel.autosave.session.rounds) == 2
    assert [line.split(" · ")[0] for line in panel.sessions.rounds.text().splitlines()] == ["Round 1", "Round 2"]
    if not is_new:
        assert match(truths[1], panel.review.queue.segmentation.labels)[0].ap > LEAST_AP

    # Back to the first round, and forward by a stroke that nobody saves by hand.
    panel.sessions.rounds_menu.actions()[-1].trigger()
    me.picture("back")
    assert panel.settings.start_from().parent != first_model.parent
    row = panel.sessions.names.index(files[0].stem)
    panel.sessions.images.setCurrentIndex(row)
    panel.sessions.images.activated.emit(row)
    me.picture("back-first-image")
    assert np.array_equal(layers.array(), after_first)
    assert not layers.accepted
    assert layers.regions.count()
    assert not viewer.layers[LABELS].visible
    me.click(panel.review.find)
    me.wait_for_doubts()
    me.press(Qt.Key.Key_J)
    me.go_to_object()
    me.press(Qt.Key.Key_A)
    kept, accepted = layers.array().copy(), layers.accepted
    assert accepted
    viewer.close()

    # Another day.
    again = open_window(make_napari_viewer_proxy)
    panel = me.panel = open_panel(again, "Label & Train")
    me.viewer = again
    panel.sessions.list_sessions()
    panel.sessions.sessions_menu.actions()[0].trigger()
    me.picture("resumed")
    layers = panel.annotation.layers
    assert layers.image.name == files[0].stem
    assert np.array_equal(layers.array(), kept)
    assert layers.accepted == accepted
    assert len(panel.autosave.session.rounds) == 2

    # The last round's model on an image that nobody annotated.
    model = panel.autosave.session.model_path(2)
    (image,) = again.open(files[2], plugin="napari", **place)
    segment = open_panel(again, "Segment")
    segment.image.layer_box.choose(image)
    segment.model.choose(model)
    qtbot.mouseClick(segment.run_button, LEFT)
    qtbot.waitUntil(lambda: segment.current is None, timeout=WAIT)
    me.picture("segmented")
    assert segment.results.labels.data.shape == truths[2].shape
    assert segment.results.labels.data.max() > 0
