"""Images and sessions of the Label & Train panel that were left, closed or renamed: gone to again, nothing is lost."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

from label_steps import annotate, choose_in_list, listed, paint, press, stored
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from embedseg_napari.core.session.folder import list_sessions

pytestmark = pytest.mark.usefixtures("own_data")


@pytest.fixture
def panel(endless_panel):
    return endless_panel


@pytest.fixture(params=[2, 3])
def ndim(request):
    return request.param


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


@pytest.mark.parametrize("way", ["list", "menu"])
def test_an_image_of_a_resumed_session_that_is_open_already_is_not_opened_again(viewer, panel, add_image, ndim, way):
    one, two = add_image("one", ndim), add_image("two", ndim, 9)
    other = add_image("other", ndim, 9)
    annotate(panel, two)
    paint(panel, 2)
    annotate(panel, one)
    paint(panel, 1)
    folder = panel.autosave.session.folder
    panel.sessions.new.click()
    if way == "list":
        panel.annotation.image.choose(one)
        panel.sessions.again.click()
        choose_in_list(panel, "two")
    else:
        panel.annotation.image.choose(other)
        panel.sessions.resume_wanted.emit(folder)
    assert panel.annotation.layers.image == two
    assert panel.annotation.counts.n_objects == 2
    assert sum(layer.name.startswith("two") for layer in viewer.layers) == 2


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


def test_an_image_with_values_that_are_no_numbers_is_known_when_it_is_opened_again(viewer, panel):
    pixels = np.ones((64, 64), np.float32)
    pixels[:5, :5] = np.nan
    annotate(panel, viewer.add_image(pixels, name="stitched"))
    paint(panel, 2)
    viewer.layers.clear()
    annotate(panel, viewer.add_image(pixels.copy(), name="stitched"))
    assert panel.annotation.counts.n_objects == 2
    assert panel.autosave.session.image_names == ["stitched"]


@pytest.mark.usefixtures("whole_window")
def test_closing_the_panel_saves_the_image_in_front_and_the_others(viewer, panel, add_image):
    annotate(panel, add_image("one"))
    paint(panel, 2)
    annotate(panel, add_image("two", shift=9))
    paint(panel, 1)
    folder = panel.autosave.session.folder
    viewer.window.remove_dock_widget(panel)
    assert stored(folder) == {"one": 2, "two": 1}
    press(viewer, Qt.Key.Key_J, Qt.KeyboardModifier.ShiftModifier)


def test_a_panel_that_is_opened_again_goes_on_with_the_session(viewer, panel, add_image, open_panel):
    mine = {name: annotate(panel, add_image(name, shift=shift)) for name, shift in (("one", 0), ("two", 9))}
    for name, n in (("one", 2), ("two", 1)):
        annotate(panel, viewer.layers[name])
        paint(panel, n)
    folder = panel.autosave.session.folder
    viewer.window.remove_dock_widget(panel)
    again = open_panel("EmbedSeg: Label & Train")
    assert again.autosave.session.folder == folder
    assert again.sessions.names == ["one", "two"]
    assert "2 objects in 1 other image" in again.annotation.line.text()
    front = again.annotation.layers.labels
    assert [layer for layer in mine.values() if layer.visible] == [front] == [mine["two"]]
    paint(again, 1, row=3)
    annotate(again, viewer.layers["one"])
    assert [layer for layer in mine.values() if layer.visible] == [mine["one"]]
    viewer.window.remove_dock_widget(again)
    assert stored(folder) == {"one": 2, "two": 2}
    assert list_sessions(folder.parent) == [folder]
    # A session that is gone meanwhile.
    shutil.rmtree(folder)
    viewer.window.remove_dock_widget(open_panel("EmbedSeg: Label & Train"))
    (other,) = list_sessions(folder.parent)
    assert stored(other) == {"one": 2, "two": 2}
    assert folder.name in notification_manager.records[-1].message
