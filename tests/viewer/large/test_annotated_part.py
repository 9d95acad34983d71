"""A large image is annotated in parts, and what is accepted there goes into the labels of its store."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from big_steps import IMAGE, in_one_go, labels_in, open_cells, small_blocks
from store_steps import write_store
from view_steps import turned

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.ngff import names_of_labels
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.large.annotated import write_accepted
from embedseg_napari.viewer.files.dataset_folder import open_dataset_folder
from embedseg_napari.viewer.large.annotated_part import LargePart, show_part

PANEL = "EmbedSeg: Label & Train"


@pytest.fixture
def panel(open_panel, monkeypatch):
    small_blocks(monkeypatch)
    monkeypatch.setattr("embedseg_napari.viewer.large.annotated_part.MOST", {2: (200, 240), 3: (8, 200, 240)})
    return open_panel(PANEL)


def look_at(viewer, center, zoom):
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0, *center), zoom


def annotate(panel, qtbot):
    panel.annotation.annotate.click()
    qtbot.waitUntil(lambda: panel.annotation.layers.labels is not None)
    return panel.annotation.layers


def test_annotate_copies_what_is_in_view(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path)
    in_one_go(path, name="embedseg")
    assert "is large" in panel.problem()
    look_at(viewer, (150, 175), 1)
    layers = annotate(panel, qtbot)
    part = layers.image
    assert part.name.startswith("cells y")
    assert part.data.shape == (200, 240)
    start = tuple(np.round(image.world_to_data(part.data_to_world((0, 0)))).astype(int))
    inside = tuple(slice(a, a + n) for a, n in zip(start, part.data.shape, strict=True))
    np.testing.assert_array_equal(part.data, IMAGE[inside])
    # What is painted and accepted replaces what the run found there.
    before = labels_in(path)
    mine = np.zeros(part.data.shape, np.int32)
    mine[50:60, 50:60], mine[100:110, 100:110], mine[150:155, 150:155] = 1, 2, 3
    layers.labels.data = mine
    assert not panel.store.isHidden()
    assert not panel.store.write_button.isEnabled()
    layers.accept([1, 2])
    panel.annotation.count()
    assert panel.store.labels.currentData() == "embedseg"
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    assert "2 new objects" in panel.store.said.text()
    now = labels_in(path)[inside]
    assert (now[50:60, 50:60] == before.max() + 1).all()
    assert (now[100:110, 100:110] == before.max() + 2).all()
    assert not np.isin(now[mine == 3], [before.max() + 3]).any()
    assert "cells embedseg" in viewer.layers
    # Once more: they are there, and stay the same.
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    assert "0 new objects" in panel.store.said.text()


def test_a_rectangle_that_is_selected_is_copied_and_labels_are_made(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path)
    corners = [image.data_to_world(one) for one in ((300, 400), (300, 500), (420, 500), (420, 400))]
    panel.annotation.image.choose(image)
    viewer.layers.selection.active = viewer.add_shapes([corners], shape_type="rectangle")
    layers = annotate(panel, qtbot)
    assert layers.image.name == "cells y300 x400"
    assert layers.image.data.shape == (121, 101)
    mine = np.zeros(layers.image.data.shape, np.int32)
    mine[:10, :10] = 5
    layers.labels.data = mine
    layers.accept([5])
    panel.annotation.count()
    assert panel.store.labels.currentText() == "into annotated (new)"
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    made = labels_in(path, "annotated")
    assert made.sum() == 100
    assert (made[300:310, 400:410] == 1).all()
    np.testing.assert_array_equal(labels_in(path, "annotated", 1), made[::2, ::2])


@pytest.mark.parametrize("knows_time", [True, False])
def test_a_rectangle_on_a_frame_of_a_movie_is_of_that_frame(viewer, panel, tmp_path, qtbot, knows_time):
    _, image = open_cells(viewer, tmp_path, np.stack([IMAGE, IMAGE // 2, IMAGE]), "tyx")
    corners = [(1, 300, 400), (1, 300, 500), (1, 420, 500), (1, 420, 400)]
    corners = [image.data_to_world(one)[0 if knows_time else 1 :] for one in corners]
    panel.annotation.image.choose(image)
    viewer.layers.selection.active = viewer.add_shapes([corners], shape_type="rectangle")
    viewer.dims.set_point(0, image.data_to_world((2, 0, 0))[0])
    part = annotate(panel, qtbot).image
    assert part.name == f"cells t{1 if knows_time else 2} y300 x400"
    np.testing.assert_array_equal(part.data, (IMAGE // 2 if knows_time else IMAGE)[300:421, 400:501])


def test_lines_beside_rectangles_do_not_count(viewer, panel, tmp_path, qtbot):
    _, image = open_cells(viewer, tmp_path)

    def box(y, x):
        return [image.data_to_world(one) for one in ((y, x), (y, x + 80), (y + 80, x + 80), (y + 80, x))]

    panel.annotation.image.choose(image)
    shapes = viewer.add_shapes([box(0, 0)[:2]], shape_type="line")
    shapes.add([box(100, 200), box(300, 400)], shape_type="rectangle")
    shapes.selected_data = {1}
    viewer.layers.selection.active = shapes
    assert annotate(panel, qtbot).image.name == "cells y100 x200"


@pytest.mark.parametrize("axes", ["yx", "tcyx"])
def test_a_part_of_a_turned_image_lies_on_it(layer_viewer, axes):
    n = len(axes)
    options = {"scale": [2.0] * n, "translate": range(n), **turned(n)}
    image = layer_viewer.add_image(np.zeros((3, 2, 20, 30)[-n:]), axis_labels=tuple(axes), **options)
    key = {"t": slice(1, 2), "c": slice(0, 2), "y": slice(4, 9), "x": slice(6, 12)}
    part = LargePart(image, axes.upper(), tuple(key[one] for one in axes))
    shown = show_part(layer_viewer, part, np.zeros((2, 5, 6)[-len(axes.replace("t", "")) :]))
    assert tuple(shown.axis_labels) == tuple(axes.replace("t", ""))
    np.testing.assert_allclose(shown.data_to_world((0,) * shown.ndim)[-2:], image.data_to_world((1, 0, 4, 6)[-n:])[-2:])
    np.testing.assert_allclose(shown.data_to_world((1,) * shown.ndim)[-2:], image.data_to_world((1, 1, 5, 7)[-n:])[-2:])


def test_images_in_memory_are_annotated_whole(viewer, panel, qtbot):
    viewer.add_image(IMAGE, name="cells")
    assert annotate(panel, qtbot).labels.data.shape == IMAGE.shape
    assert panel.store.isHidden()


def annotated_part(viewer, panel, qtbot):
    """A part with one object of 100 pixels, accepted."""
    layers = annotate(panel, qtbot)
    mine = np.zeros(layers.labels.data.shape, np.int32)
    mine[..., :10, :10] = 5
    layers.labels.data = mine
    layers.accept([5])
    panel.annotation.count()
    return layers.image


def test_a_part_of_a_store_that_napari_itself_opened_is_written(viewer, panel, tmp_path, qtbot):
    path = write_store(tmp_path / "cells.ome.zarr", IMAGE[None, None, None], "tczyx", levels=2)
    image = viewer.open(str(path), plugin="napari")[0]
    assert image.data[0].ndim == 5
    look_at(viewer, (150, 175), 1)
    part = annotated_part(viewer, panel, qtbot)
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    assert "1 new object" in panel.store.said.text()
    made = labels_in(path, "annotated")
    start = tuple(np.round(image.world_to_data(part.data_to_world((0,) * part.ndim))).astype(int))[-2:]
    assert (made.sum(), made[(..., *start)].item()) == (100, 1)


def test_a_part_of_an_image_of_other_axes_is_not_written(tmp_path):
    path = write_store(tmp_path / "cells.ome.zarr", IMAGE, levels=2)
    with pytest.raises(DataError, match="has other axes than the image that the part was cut out of"):
        drain(write_accepted(path, "annotated", (0, 3, 4), np.ones((5, 5), int), [1], never))
    assert names_of_labels(path) == ()


def test_accepted_objects_are_written_from_the_saved_session(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path)
    look_at(viewer, (150, 175), 1)
    part = annotated_part(viewer, panel, qtbot)
    before = np.array(part.data)
    at = part.data_to_world((0, 0))
    start = tuple(np.round(image.world_to_data(at)).astype(int))
    assert panel.autosave.save_now()
    folder = panel.autosave.session.folder
    panel.navigator.close()
    viewer.layers.clear()
    panel.sessions.resume_wanted.emit(folder)
    again = panel.annotation.layers.image
    np.testing.assert_array_equal(again.data, before)
    np.testing.assert_allclose(again.data_to_world((0, 0)), at)
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    assert "1 new object" in panel.store.said.text()
    made = labels_in(path, "annotated")
    assert made.sum() == 100
    assert made[start] == 1


def test_labels_that_could_not_be_written_leave_nothing(viewer, panel, tmp_path, qtbot, monkeypatch):
    path, _ = open_cells(viewer, tmp_path)
    look_at(viewer, (150, 175), 1)
    annotated_part(viewer, panel, qtbot)

    def full(self, key, labels, level=0):
        raise DataError(f"{self.folder}: cannot be written (No space left on device).")

    monkeypatch.setattr("embedseg_napari.core.stores.labels.LabelStore.write", full)
    panel.store.write_button.click()
    qtbot.waitUntil(lambda: not panel.store.is_busy)
    assert "No space left" in panel.store.said.text()
    assert not (path / "labels" / "annotated").exists()
    assert names_of_labels(path) == ()


def test_a_part_is_read_anew_where_the_image_was_changed(viewer, panel, tmp_path, qtbot):
    path, image = open_cells(viewer, tmp_path)
    look_at(viewer, (150, 175), 1)
    first = annotate(panel, qtbot).image
    panel.annotation.image.choose(image)
    assert annotate_again(panel, qtbot, first) == first
    panel.annotation.image.choose(image)
    zarr.open_array(str(path / "0"), mode="r+")[...] = IMAGE[::-1]
    viewer.layers.remove(image)
    image = open_dataset_folder(viewer, path)[0]
    panel.annotation.image.choose(image)
    look_at(viewer, (150, 175), 1)
    other = annotate_again(panel, qtbot, first)
    assert other != first
    assert not np.array_equal(other.data, first.data)


def annotate_again(panel, qtbot, first):
    panel.annotation.annotate.click()
    qtbot.waitUntil(lambda: panel.annotation.layers.labels is not None and not panel.annotation.is_large)
    return panel.annotation.layers.image
