"""Labels in a store are corrected in an ordinary layer around the view, and written back in place."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from big_steps import labels_in, small_blocks
from napari.utils.notifications import notification_manager
from segment_steps import PANEL, WAIT

from embedseg_napari.core.stores.labels import open_labels
from embedseg_napari.core.stores.parts import largest_id, write_part
from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder


@pytest.fixture
def opened(viewer, open_panel, segmented_cells, tmp_path, monkeypatch):
    """The panel, the store, and its Labels layer, looked at in the middle."""
    small_blocks(monkeypatch)
    monkeypatch.setattr("embedseg_napari.viewer.large.part.MOST", {2: (200, 240)})
    path = shutil.copytree(segmented_cells, tmp_path / segmented_cells.name)
    labels = open_dataset_folder(viewer, path)[1]
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0, 150, 175), 2
    return open_panel(PANEL).correct, path, labels


def open_part(box, qtbot):
    box.open_button.click()
    qtbot.waitUntil(lambda: not box.is_busy, timeout=WAIT)
    return box.part


def write(box, qtbot):
    box.write_button.click()
    qtbot.waitUntil(lambda: not box.is_busy, timeout=WAIT)


def test_what_is_in_view_is_changed_in_place(viewer, opened, qtbot):
    box, path, labels = opened
    assert not box.isHidden()
    assert box.write_button.isHidden()
    before = labels_in(path)
    part = open_part(box, qtbot)
    layer = part.layer
    assert viewer.layers.selection.active == layer
    assert layer.data.shape <= (200, 240)
    assert "the middle of the view" in box.said.text()
    start = tuple(np.round(labels.world_to_data(layer.data_to_world((0, 0)))).astype(int))
    inside = tuple(slice(a, a + n) for a, n in zip(start, layer.data.shape, strict=True))
    np.testing.assert_array_equal(layer.data, before[inside])
    write(box, qtbot)
    assert "Nothing was changed" in box.said.text()
    # Painted and filled as anywhere in napari.
    erased = int(layer.data[100, 120] or layer.data.max())
    layer.data = np.where(layer.data == erased, 0, layer.data)
    empty = np.argwhere(layer.data == 0)[0]
    layer.data_setitem(tuple(empty[:, None]), layer.selected_label)
    write(box, qtbot)
    assert "1 object changed, 1 new" in box.said.text()
    now = labels_in(path)
    assert now[tuple(empty + start)] == before.max() + 1
    assert layer.data[tuple(empty)] == before.max() + 1
    assert not (now[inside] == erased).any()
    np.testing.assert_array_equal(labels_in(path, level=1), now[::2, ::2])
    changed = np.argwhere(now != before)
    assert (changed >= start).all()
    assert (np.asarray(labels.data[0]) == now).all()
    write(box, qtbot)
    assert "Nothing was changed" in box.said.text()


def test_what_others_wrote_meanwhile_stays(viewer, opened, qtbot):
    box, path, _ = opened
    part = open_part(box, qtbot)
    write_part(open_labels(path / "labels" / "embedseg"), part.place.start, np.full((3, 3), 7, np.uint32))
    theirs = labels_in(path)
    part.layer.data = np.zeros_like(part.layer.data)
    write(box, qtbot)
    assert "was changed in this part since it was opened" in box.said.text()
    np.testing.assert_array_equal(labels_in(path), theirs)
    assert not part.layer.data.any()
    assert part.layer in viewer.layers


def test_labels_of_a_run_that_is_not_through_are_left_alone(viewer, opened, qtbot):
    box, path, _ = opened
    (path / "labels" / ".embedseg.run").mkdir()
    (path / "labels" / ".embedseg.run" / "run.json").write_text("{}")
    assert open_part(box, qtbot) is None
    assert "is not through" in box.said.text()


def test_a_part_that_is_removed_is_forgotten(viewer, opened, qtbot):
    box, _, labels = opened
    part = open_part(box, qtbot)
    assert not labels.visible
    viewer.layers.remove(part.layer)
    assert labels.visible
    assert box.part is None
    assert box.write_button.isHidden()
    viewer.layers.remove(labels)
    assert box.isHidden()


@pytest.fixture
def slow_store(monkeypatch):
    """A store in which looking for the largest number goes on until the gate is opened."""
    gate = threading.Event()

    def slowly(store):
        for found in largest_id(store):
            while not gate.wait(0.01):
                yield found
            yield found

    monkeypatch.setattr("embedseg_napari.core.stores.parts.largest_id", slowly)
    yield gate
    gate.set()


def close_panel(viewer, box):
    viewer.window.remove_dock_widget(next(one for one in _parents(box) if type(one).__name__ == "SegmentWidget"))


def _parents(widget):
    while (widget := widget.parent()) is not None:
        yield widget


def paint_new(part):
    empty = np.argwhere(part.layer.data == 0)[0]
    part.layer.data_setitem(tuple(empty[:, None]), part.layer.selected_label)


def test_a_part_outlives_the_panel(viewer, opened, open_panel, qtbot):
    box, path, labels = opened
    before = labels_in(path)
    part = open_part(box, qtbot)
    paint_new(part)
    close_panel(viewer, box)
    box = open_panel(PANEL).correct
    assert box.part is part
    assert not box.write_button.isHidden()
    write(box, qtbot)
    assert "1 new" in box.said.text()
    assert labels_in(path).max() == before.max() + 1
    close_panel(viewer, box)
    assert not labels.visible
    viewer.layers.remove(part.layer)
    assert labels.visible
    assert open_panel(PANEL).correct.part is None


def test_a_panel_that_closes_does_not_stop_what_is_being_written(viewer, opened, open_panel, slow_store, qtbot):
    box, path, _ = opened
    before = labels_in(path)
    part = open_part(box, qtbot)
    paint_new(part)
    box.write_button.click()
    qtbot.waitUntil(lambda: "Looking for" in box.said.text(), timeout=WAIT)
    close_panel(viewer, box)
    box = open_panel(PANEL).correct
    assert box.is_busy
    slow_store.set()
    qtbot.waitUntil(lambda: not box.is_busy, timeout=WAIT)
    assert "1 new" in box.said.text()
    assert labels_in(path).max() == before.max() + 1
    write(box, qtbot)
    assert "Nothing was changed" in box.said.text()


def test_what_could_not_be_written_is_told_without_a_panel(viewer, opened, slow_store, qtbot):
    box, path, _ = opened
    part = open_part(box, qtbot)
    paint_new(part)
    box.write_button.click()
    qtbot.waitUntil(lambda: "Looking for" in box.said.text(), timeout=WAIT)
    close_panel(viewer, box)
    write_part(open_labels(path / "labels" / "embedseg"), part.place.start, np.full((3, 3), 7, np.uint32))
    notification_manager.records.clear()
    slow_store.set()
    qtbot.waitUntil(lambda: bool(notification_manager.records), timeout=WAIT)
    assert "was changed in this part since it was opened" in notification_manager.records[-1].message


def beside(layer, at):
    """A pixel of background that touches another one."""
    return next((at[0] + y, at[1] + x) for y, x in ((0, 1), (0, -1), (1, 0)) if layer.data[at[0] + y, at[1] + x] == 0)


def paint(layer, *pixels):
    layer.data_setitem(tuple(np.transpose(pixels)), layer.selected_label)


@pytest.fixture
def new_object(opened, qtbot):
    """The box, a part in which a new object of two pixels is painted, these pixels, and what the store holds there."""
    box, path, labels = opened
    layer = open_part(box, qtbot).layer
    start = np.round(labels.world_to_data(layer.data_to_world((0, 0)))).astype(int)
    first = tuple(np.argwhere(layer.data == 0)[0])
    pixels = [first, beside(layer, first)]
    layer.mode = "paint"
    paint(layer, *pixels)
    return box, layer, pixels, lambda: [int(labels_in(path)[tuple(np.add(start, one))]) for one in pixels]


def test_a_new_object_is_painted_on_with_the_number_that_it_got(new_object, qtbot):
    box, layer, pixels, stored = new_object
    write(box, qtbot)
    assert layer.mode == "paint"
    pixels.append(beside(layer, pixels[1]))
    paint(layer, pixels[2])
    write(box, qtbot)
    assert "0 new" in box.said.text()
    assert set(stored()) == {layer.selected_label}


def test_what_is_undone_after_writing_brings_no_number_of_before_back(new_object, qtbot):
    box, layer, pixels, stored = new_object
    layer.data_setitem(tuple(np.transpose(pixels[1:])), 0)
    write(box, qtbot)
    layer.undo()
    write(box, qtbot)
    assert len(set(stored()) - {0}) == 1


def test_what_is_painted_meanwhile_belongs_to_its_object(viewer, opened, slow_store, qtbot):
    box, path, labels = opened
    layer = open_part(box, qtbot).layer
    start = np.round(labels.world_to_data(layer.data_to_world((0, 0)))).astype(int)
    first = tuple(np.argwhere(layer.data == 0)[0])
    paint(layer, first)
    box.write_button.click()
    qtbot.waitUntil(lambda: "Looking for" in box.said.text(), timeout=WAIT)
    second = beside(layer, first)
    paint(layer, second)
    slow_store.set()
    qtbot.waitUntil(lambda: not box.is_busy, timeout=WAIT)
    assert layer.data[first] == layer.data[second] == layer.selected_label
    write(box, qtbot)
    now = labels_in(path)
    assert now[tuple(np.add(start, first))] == now[tuple(np.add(start, second))] == now.max()
