"""Several images in one session of the Label & Train panel, opened through the manifest and driven by its widgets."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import annotate, choose_in_list, listed, paint, stored
from napari.layers import Labels, _layer_actions
from napari.utils.notifications import notification_manager

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.session.folder import list_sessions
from embedseg_napari.viewer.label import session_box
from embedseg_napari.viewer.label.drawing.protected_objects import ACCEPTED
from embedseg_napari.viewer.layers import FOUND, RESULT, SEGMENTED
from embedseg_napari.viewer.stage import Scene, stage_of

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.fixture
def panel(endless_panel):
    return endless_panel


@pytest.fixture(params=[2, 3])
def ndim(request):
    return request.param


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


def test_an_image_of_another_size_is_seen_alone_before_anything_is_annotated_and_after(viewer, panel, qtbot):
    one = viewer.add_image(np.zeros((60, 60)), name="one")
    mine = viewer.add_labels(np.ones((60, 60), int), name="one labels")
    two = viewer.add_image(np.zeros((24, 24)), name="two")
    theirs = viewer.add_labels(np.ones((24, 24), int), name="two labels")
    for image, own in ((two, theirs), (one, mine)):
        viewer.layers.selection.active = image
        qtbot.waitUntil(lambda image=image, own=own: {one for one in viewer.layers if one.visible} == {image, own})
    annotation = annotate(panel, one)
    paint(panel, 3)
    assert {layer for layer in viewer.layers if layer.visible} == {one, annotation}
    panel.annotation.image.choose(two)
    assert {layer for layer in viewer.layers if layer.visible} >= {two}
    assert not one.visible
    assert not annotation.visible


def test_an_image_that_is_chosen_to_be_annotated_next_is_seen(viewer, panel, add_image):
    one, two = add_image("one"), add_image("two", shift=9)
    found = {
        image: viewer.add_labels(
            np.ones(image.data.shape, int),
            name=f"{image.name} labels",
            scale=image.scale,
            metadata={RESULT: FOUND, SEGMENTED: str(image.unique_id)},
        )
        for image in (one, two)
    }
    box = panel.annotation.image.native
    for image in (two, one):
        box.setCurrentText(image.name)
        box.activated.emit(box.currentIndex())
        other = two if image == one else one
        assert viewer.layers.index(other) < viewer.layers.index(image) < viewer.layers.index(found[image])
    mine = annotate(panel, one)
    paint(panel, 2)
    box.setCurrentText("two")
    box.activated.emit(box.currentIndex())
    assert {layer for layer in viewer.layers if layer.visible} == {two, found[two]}
    assert viewer.layers.selection.active == two
    box.setCurrentText("one")
    assert mine.visible
    assert viewer.layers.selection.active == mine


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


@pytest.mark.parametrize("way", ["another image", "resumed"])
def test_areas_from_before_the_whole_image_come_back_after_it_was_left(viewer, panel, add_image, ndim, way):
    annotate(panel, add_image("one", ndim))
    paint(panel, 2)
    layers, box = panel.annotation.layers, panel.annotation
    areas = np.zeros(layers.shape, bool)
    areas[..., 3:20, 4:30] = True
    layers.regions.show(areas)
    box.whole.click()
    if way == "another image":
        annotate(panel, add_image("two", ndim, 9))
        choose_in_list(panel, "one")
    else:
        panel.autosave.save_now()
        panel.sessions.refresh()
        panel.sessions.new.click()
        panel.sessions.again.click()
    assert box.whole.text() == "Not all of it"
    box.whole.click()
    assert np.array_equal(layers.annotation().regions, areas)


def test_where_no_areas_from_before_the_whole_image_are_known_it_is_said(viewer, panel, add_image):
    annotate(panel, add_image("one"))
    layers, box = panel.annotation.layers, panel.annotation
    areas = np.zeros(layers.shape, bool)
    areas[3:20, 4:30] = True
    layers.regions.show(areas)
    box.whole.click()
    # As of an older session, or drawn by hand.
    layers.show(Annotation(layers.array(), np.ones(layers.shape, bool)))
    notification_manager.records.clear()
    box.whole.click()
    assert layers.annotation().regions is None
    assert "is not known" in notification_manager.records[-1].message
    box.whole.click()
    notification_manager.records.clear()
    box.whole.click()
    assert layers.annotation().regions is None
    assert not notification_manager.records, "it is known that there were none"


@pytest.mark.parametrize("way", ["duplicate", "convert", "closed"])
def test_a_copy_of_an_annotation_is_the_users_own(viewer, panel, open_panel, add_image, way):
    """As napari's menu of layers makes it."""
    one = add_image("one")
    annotate(panel, one)
    mine = paint(panel, 2)
    layers = panel.annotation.layers
    layers.accept([1])
    layers.regions.show(np.ones(layers.shape, bool))
    drawn = layers.regions.layer
    if way == "closed":
        viewer.window.remove_dock_widget(panel)
    if way == "convert":
        viewer.layers.selection = {drawn}
        _layer_actions._convert_to_labels(viewer.layers)
    else:
        viewer.layers.selection = {mine, drawn}
        _layer_actions._duplicate_layer(viewer.layers)
    copies = [layer for layer in viewer.layers if layer not in (one, mine, drawn)]
    assert len(copies) == (1 if way == "convert" else 2)
    assert not any(str(key).startswith("embedseg") for layer in copies for key in layer.metadata)
    assert ACCEPTED in mine.metadata
    if way == "closed":
        panel = open_panel("EmbedSeg: Label & Train")
    layers = panel.annotation.layers
    paint(panel, 1, row=4)
    annotate(panel, add_image("two", shift=9))
    annotate(panel, one)
    assert layers.labels == mine
    assert layers.regions.layer == drawn
    assert panel.annotation.counts.n_objects == 3
    if way != "convert":
        (backup,) = (layer for layer in copies if isinstance(layer, Labels))
        # What the layer says is background is no object of a copy.
        assert BACKGROUND in mine.data
        assert len(np.unique(backup.data)) == 3
    folder = panel.autosave.session.folder
    panel.sessions.new.click()
    assert all(layer in viewer.layers for layer in copies)
    assert mine not in viewer.layers
    assert stored(folder) == {"one": 3}


def test_selecting_an_annotation_brings_its_image_to_the_front(viewer, panel, add_image, qtbot):
    first = annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    viewer.layers.selection.active = first
    qtbot.waitUntil(lambda: panel.annotation.layers.labels == first, timeout=5000)
    assert panel.annotation.image.layer().name == "one"


def test_what_is_annotated_comes_back_with_its_panel_and_what_was_found_gives_way(viewer, panel, add_image):
    one = add_image("one")
    mine = annotate(panel, one)
    found = viewer.add_labels(np.ones_like(mine.data), name="found", metadata={RESULT: FOUND})
    stage_of(viewer).show(panel.annotation, Scene(one, [found]))
    assert not mine.visible
    viewer.layers.selection.active = found
    panel.take_front(True)
    assert mine.visible
    assert viewer.layers.selection.active == mine
    assert not found.visible


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
