"""A part of a large image, tried out in view: an ordinary layer, on which sliders act."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from big_steps import IMAGE, in_one_go, open_cells, small_blocks
from napari.utils.notifications import notification_manager
from segment_steps import PANEL, finish, settle
from store_steps import write_store

from embedseg_napari.core.exchange.export import import_labels
from embedseg_napari.viewer.files.annotations import write_objects
from embedseg_napari.viewer.large.place_box import MEMORY
from embedseg_napari.viewer.segment.regions import RECTANGLE, VIEW, WHOLE


@pytest.fixture
def panel(open_panel, monkeypatch):
    small_blocks(monkeypatch)
    panel = open_panel(PANEL)
    panel.device.setCurrentText("cpu")
    return panel


def look_at(viewer, center, zoom):
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0, *center), zoom


@pytest.mark.usefixtures("whole_window")
def test_sliders_act_on_what_is_in_view(viewer, panel, tmp_path, qtbot, monkeypatch):
    monkeypatch.setattr("embedseg_napari.viewer.segment.large_images.MOST_IN_VIEW", {2: (256, 256)})
    path, image = open_cells(viewer, tmp_path)
    look_at(viewer, (150, 175), 1)
    panel.large.view_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells view labels"]
    assert max(labels.data.shape) <= 256
    assert "Only the middle of it" in panel.advice.notes.text()
    assert "Segment takes the thresholds" in panel.advice.notes.text()
    assert not (path / "labels").exists()
    n = len(np.unique(labels.data))
    start = np.round(np.asarray(image.world_to_data(labels.data_to_world((0, 0))))).astype(int)
    wanted, _ = in_one_go(path, panel)
    there = wanted[tuple(slice(a, a + side) for a, side in zip(start, labels.data.shape, strict=True))]
    # What lies inside is what the blocks find.
    inside = np.s_[60:-60, 60:-60]
    np.testing.assert_array_equal(labels.data[inside] > 0, there[inside] > 0)
    panel.thresholds.set_values({**panel.thresholds.values(), "min_object_size": 300})
    panel.thresholds.changed.emit()
    settle(qtbot, panel)
    assert len(np.unique(labels.data)) < n
    assert panel.settings.for_others()["changes"]["min_object_size"] == 300
    # Another view takes its place; what lies far away is not joined with it.
    look_at(viewer, (250, 300), 4)
    panel.image.region.setCurrentText(VIEW)
    panel.run_button.click()
    finish(qtbot, panel)
    assert viewer.layers["cells view labels"].data.size < 300 * 300


@pytest.mark.usefixtures("whole_window")
def test_a_depth_of_one_plane_is_none_for_a_model_of_flat_images(viewer, panel, tmp_path, qtbot):
    path = write_store(tmp_path / "cells.ome.zarr", IMAGE[None, None, None], "tczyx", levels=3, chunk=128)
    # As napari's own reader gives it.
    levels = [dask.array.from_zarr(str(path / str(level))) for level in range(3)]
    image = viewer.add_image(levels, name="cells", axis_labels="tczyx", metadata={"path": str(path)})
    assert panel.model.path.stem == "nuclei-2d"
    look_at(viewer, (300, 350), 3)
    panel.large.view_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells view labels"]
    assert labels.data.shape[:2] == (1, 1), "a plane of one channel of one frame"
    assert labels.data.any()
    np.testing.assert_array_equal(labels.scale[-2:], image.scale[-2:])
    viewer.layers.selection.active = labels
    panel.thresholds.set_values({**panel.thresholds.values(), "min_object_size": 300})
    panel.thresholds.changed.emit()
    settle(qtbot, panel)
    assert not labels.data.any()
    panel.threshold_box.back_button.click()
    settle(qtbot, panel)
    panel.image.region.setCurrentText(WHOLE)
    panel.run_button.click()
    finish(qtbot, panel)
    whole, shown = viewer.layers["cells embedseg"], np.asarray(viewer.layers["cells embedseg"].data[0])
    assert shown.shape == image.data[0].shape
    assert shown.any()
    np.testing.assert_array_equal(whole.extent.world, image.extent.world)


@pytest.mark.thorough
def test_a_part_that_was_tried_and_the_whole_are_not_seen_together(viewer, panel, tmp_path, qtbot):
    _, image = open_cells(viewer, tmp_path)

    def run(button) -> set[str]:
        button.click()
        finish(qtbot, panel)
        return {layer.name for layer in viewer.layers if layer.visible}

    part, whole = {"cells", "cells view labels", "cells view centres"}, {"cells", "cells embedseg"}
    assert run(panel.large.view_button) == part
    assert run(panel.run_button) == whole
    assert viewer.layers.selection.active.name == "cells embedseg"
    assert run(panel.large.view_button) == part
    assert viewer.layers.selection.active.name == "cells view labels"
    assert run(panel.run_button) == whole
    assert viewer.layers.selection.active.name == "cells embedseg"
    assert image.visible


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_part_that_was_tried_is_hidden_where_the_whole_is_found_in_memory(viewer, panel, tmp_path, qtbot, is_edited):
    open_cells(viewer, tmp_path)
    panel.large.view_button.click()
    finish(qtbot, panel)
    tried = viewer.layers["cells view labels"]
    if is_edited:
        tried.data[:5, :5] = 1000
        tried.refresh()
    panel.large.place.kind.setCurrentText(MEMORY)
    panel.run_button.click()
    finish(qtbot, panel)
    whole = viewer.layers["cells labels"]
    assert (whole.visible, tried.visible) == (True, False)
    assert not any(layer.visible for layer in viewer.layers if "view" in layer.name)
    if is_edited:
        viewer.layers.selection.active = tried
        panel.show_scene()
        assert (whole.visible, tried.visible) == (False, True)


@pytest.mark.usefixtures("whole_window")
@pytest.mark.parametrize("axes", ["yx", "tczyx"])
def test_a_level_that_is_not_shown_counts_no_more_and_the_part_is_measured(viewer, panel, tmp_path, qtbot, axes):
    pytest.importorskip("pyqtgraph")
    _, image = open_cells(viewer, tmp_path, IMAGE[(None,) * (len(axes) - 2)], axes)
    look_at(viewer, (150, 175), 2)
    panel.large.place.level.setCurrentIndex(2)
    panel.image.region.setCurrentText(VIEW)
    assert not panel.large.place.level.isVisible()
    panel.run_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells view labels"]
    np.testing.assert_array_equal(labels.scale[-2:], image.scale[-2:])
    panel.next.measure.click()
    measure = panel.open_beside("EmbedSeg: Measure")
    qtbot.waitUntil(lambda: measure.controls.current is None, timeout=20_000)
    assert measure.table is not None, measure.controls.status.text()
    start = np.round(np.asarray(image.world_to_data(labels.data_to_world((0,) * labels.ndim)))).astype(int)[-2:]
    there = IMAGE[tuple(slice(a, a + side) for a, side in zip(start, labels.data.shape[-2:], strict=True))]
    objects = labels.data.reshape(there.shape)
    wanted = [there[objects == label].mean() for label in measure.table["label"]]
    np.testing.assert_allclose(measure.table["intensity_mean_0"], wanted, rtol=1e-5)
    assert measure.table["bbox_min_y_px"].min() == start[0] + np.nonzero(objects)[0].min()


@pytest.mark.usefixtures("whole_window")
@pytest.mark.parametrize("level", [0, 2])
def test_brightness_of_a_part_of_other_pixels_is_left_out_and_that_of_a_frame_is_there(
    viewer, panel, tmp_path, qtbot, level
):
    pytest.importorskip("pyqtgraph")
    _, image = open_cells(viewer, tmp_path, IMAGE if level else np.stack([IMAGE * 0, IMAGE]), "yx" if level else "tyx")
    viewer.dims.set_point(0, 0 if level else image.data_to_world((1, 0, 0))[0])
    look_at(viewer, (150, 175), 6)
    measure = panel.open_beside("EmbedSeg: Measure")
    measure.image.choose(image)
    panel.large.place.level.setCurrentIndex(level)
    panel.large.view_button.click()
    finish(qtbot, panel)
    panel.next.measure.click()
    qtbot.waitUntil(lambda: measure.controls.current is None, timeout=20_000)
    assert measure.table is not None, measure.controls.status.text()
    assert "area_um2" in measure.table
    # Of a level, pixels are its own; of a frame that is tried out, they are those of the movie.
    labels = measure.measured
    start = [0, 0] if level else np.round(image.world_to_data((0, *labels.data_to_world((0, 0)))))[-2:].astype(int)
    assert start[0] > 0 or level
    assert measure.table["bbox_min_y_px"].min() == start[0] + np.nonzero(labels.data)[-2].min()
    if level:
        assert not any(name.startswith("intensity") for name in measure.table)
        assert "no brightness is measured" in notification_manager.records[-1].message
        return
    there = IMAGE[tuple(slice(a, a + side) for a, side in zip(start, labels.data.shape, strict=True))]
    wanted = [there[labels.data == label].mean() for label in measure.table["label"]]
    np.testing.assert_allclose(measure.table["intensity_mean_0"], wanted, rtol=1e-5)


@pytest.mark.usefixtures("whole_window")
def test_a_frame_that_was_tried_out_lies_there_in_what_is_exported(viewer, panel, tmp_path, qtbot):
    _, image = open_cells(viewer, tmp_path, np.stack([IMAGE, IMAGE]), "tyx")
    viewer.dims.set_point(0, image.data_to_world((1, 0, 0))[0])
    look_at(viewer, (150, 175), 6)
    panel.large.view_button.click()
    finish(qtbot, panel)
    labels = viewer.layers["cells view labels"]
    start = np.round(image.world_to_data((0, *labels.data_to_world((0, 0)))))[-2:].astype(int).tolist()
    data, meta, _ = labels.as_layer_data_tuple()
    (path,) = write_objects(str(tmp_path / "a.geojson"), data, meta)
    shape = (2, *IMAGE.shape)
    expected = np.zeros(shape, np.int32)
    expected[1][tuple(slice(a, a + n) for a, n in zip(start, labels.data.shape, strict=True))] = labels.data
    assert expected.any()
    np.testing.assert_array_equal(import_labels(path, shape, "TYX"), expected)


@pytest.mark.usefixtures("whole_window")
def test_a_rectangle_of_a_movie_is_of_the_frame_it_was_drawn_on(viewer, panel, tmp_path, qtbot):
    pixels = np.stack([np.zeros_like(IMAGE), IMAGE, np.zeros_like(IMAGE)])
    path = write_store(tmp_path / "cells.ome.zarr", pixels, "tyx", levels=3, chunk=128)
    levels = [dask.array.from_zarr(str(path / str(level))) for level in range(3)]
    image = viewer.add_image(levels, name="cells", axis_labels="tyx", metadata={"path": str(path)})
    corners = [[1, 200, 250], [1, 200, 450], [1, 400, 450], [1, 400, 250]]
    viewer.add_shapes([corners], scale=image.scale, units=image.units)
    viewer.layers.selection.active = image
    viewer.dims.set_point(0, 0)
    panel.image.region.setCurrentText(RECTANGLE)
    assert panel.large.in_blocks
    panel.run_button.click()
    finish(qtbot, panel)
    assert viewer.layers["cells view labels"].data.any()
