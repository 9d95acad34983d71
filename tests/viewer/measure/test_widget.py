"""The Measure panel, opened through the manifest and driven by its buttons."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest

pytest.importorskip("pyqtgraph")

import pandas as pd
from measure_steps import export, measure
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtWidgets import QApplication

import embedseg_napari as es
from embedseg_napari.cli import main
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.viewer.measure import files

PANEL = "EmbedSeg: Measure"


@pytest.fixture(params=[2, 3])
def layers(request, viewer, blobs):
    image, labels = blobs(request.param)
    axes = "zyx"[-request.param :]
    place = {"scale": (2.0, 0.5, 0.25)[-request.param :], "units": ("um",) * request.param, "axis_labels": axes}
    return viewer.add_image(image, name="nuclei", **place), viewer.add_labels(labels, name="objects", **place)


def test_the_layer_keeps_its_measurements(panel, layers, qtbot) -> None:
    image, labels = layers
    panel.image.choose(image)
    measure(panel, qtbot)
    wanted = es.measure(labels.data, image.data, spacing=labels.scale)
    own = labels.features[labels.features["index"] > 0]
    assert own["index"].tolist() == wanted.pop("label").tolist()
    for name, values in wanted.items():
        np.testing.assert_allclose(own[name].to_numpy(), values)
    assert panel.controls.status.text().startswith(f"{labels.name}: ")


def test_the_image_that_the_labels_lie_on_is_measured_unasked(layers, viewer, open_panel) -> None:
    image, labels = layers
    viewer.add_image(np.zeros((5, 5)), name="another")
    panel = open_panel(PANEL)
    assert panel.image.layer() == image
    panel.image.choose(None)
    small = viewer.add_labels(np.ones((7, 7), int), name="small")
    panel.labels.choose(small)
    assert panel.image.layer() is None
    panel.labels.choose(labels)
    assert panel.image.layer() == image


def test_a_row_of_the_table_is_that_of_its_object(panel, viewer, qtbot) -> None:
    labels = viewer.add_labels(np.array([[0, 1, 1], [2, 2, 3]]), name="objects")
    measure(panel, qtbot)
    assert labels.features["index"].tolist() == [0, 1, 2, 3]
    assert labels.features["num_pixels"].tolist()[1:] == [2, 2, 1]
    # Over the background nothing is said of an object.
    at = {"view_direction": None, "dims_displayed": [0, 1], "world": True}
    assert labels.get_status((0, 0), **at)["value"] == "0"
    assert "num_pixels: 2" in labels.get_status((1, 0), **at)["value"]
    # What was measured before is no row of an object.
    measure(panel, qtbot)
    assert labels.features["index"].tolist() == [0, 1, 2, 3]


@pytest.mark.usefixtures("whole_window")
def test_a_row_of_napari_s_table_chooses_its_object(panel, viewer, qtbot) -> None:
    features_table = pytest.importorskip("napari_builtins._qt.features_table")
    labels = viewer.add_labels(np.array([[0, 1, 1], [2, 2, 3]]), name="objects")
    measure(panel, qtbot)
    viewer.layers.selection.active = labels
    table = features_table.FeaturesTable(viewer)
    qtbot.addWidget(table)
    for row in (2, 3, 1):
        table.table.selectRow(row)
        assert labels.selected_label == row
        shown = table.table.model().index(row, table.table.model().columnCount() - 1)
        assert shown.isValid()


@pytest.mark.usefixtures("whole_window")
def test_napari_s_table_of_a_long_name_leaves_the_canvas_its_room(panel, viewer, qtbot) -> None:
    pytest.importorskip("napari_builtins._qt.features_table")
    viewer.add_labels(np.array([[0, 1, 1], [2, 2, 3]]), name=100 * "n")
    measure(panel, qtbot)
    viewer.__wrapped__.window._qt_window.show()
    panel.files.open_table.click()
    (dock,) = (one for name, one in viewer.window.dock_widgets.items() if "Features table" in name)
    assert dock.minimumSizeHint().width() < 400
    # The tabs are as wide as the widest of them.
    assert dock.sizeHint().width() < 400
    qtbot.waitUntil(lambda: dock.width() < 400)


def test_what_was_known_before_stays(panel, viewer, qtbot) -> None:
    labels = viewer.add_labels(np.array([[0, 4, 4], [2, 2, 9]]), name="objects")
    labels.features = pd.DataFrame({"index": [2, 4], "score": [0.9, 0.8], "size": [2, 2]})
    measure(panel, qtbot)
    assert labels.features["index"].tolist() == [2, 4, 9]
    assert labels.features["score"].tolist()[:2] == [0.9, 0.8]
    assert np.isnan(labels.features["score"][2])
    assert "size" not in labels.features


@pytest.mark.usefixtures("whole_window")
def test_colours_follow_a_column_and_go_back(panel, layers, qtbot) -> None:
    _, labels = layers
    before = labels.colormap
    measure(panel, qtbot)
    size = next(name for name in panel.table if name.startswith(("area", "volume")))
    panel.color.setCurrentText(size)
    order = np.argsort(panel.table[size])
    green = [labels.get_color(int(panel.table["label"][row]))[1] for row in order]
    assert green == sorted(green)
    panel.color.setCurrentIndex(0)
    assert labels.colormap == before


def test_objects_that_came_since_are_seen(panel, layers, qtbot) -> None:
    _, labels = layers
    before = labels.colormap
    measure(panel, qtbot)
    panel.color.setCurrentText(next(name for name in panel.table if name.startswith(("area", "volume"))))
    labels.fill((labels.data.ndim * (0,)), 99)
    assert labels.colormap != before
    assert labels.get_color(99)[3] == 1
    # As a segmentation does: the colours were those of other objects.
    labels.data = np.roll(labels.data, 1)
    assert labels.colormap == before
    measure(panel, qtbot)
    assert labels.colormap != before


def test_what_is_selected_in_the_plot_stands_out_in_the_image_and_back(panel, layers, qtbot) -> None:
    _, labels = layers
    measure(panel, qtbot)
    panel.y.setCurrentText("num_pixels")
    x, ids = panel.plot.x, panel.table["label"]
    middle = float(np.median(x))
    panel.plot.box.dragged.emit(QRectF(middle, 0, 1e9, 1e9))
    is_large = x >= middle
    alpha = np.array([labels.get_color(int(number))[3] for number in ids])
    np.testing.assert_array_equal(alpha > 0.5, is_large)
    panel.plot.box.clicked.emit(panel.plot.box.viewRect().topLeft())
    assert all(labels.get_color(int(number))[3] > 0.5 for number in ids)
    labels.selected_label = int(ids[1])
    assert f"Object {ids[1]}:" in panel.controls.status.text()
    assert labels.get_color(int(ids[0]))[3] < 0.5 < labels.get_color(int(ids[1]))[3]


def test_one_selected_object_is_brought_before_the_eyes(panel, layers, viewer, qtbot) -> None:
    _, labels = layers
    measure(panel, qtbot)
    row = len(panel.table["label"]) - 1
    panel.plot.selected.emit([row])
    assert labels.selected_label == panel.table["label"][row]
    if labels.ndim == 3:
        first, end = (panel.table[f"bbox_{which}_z_px"][row] for which in ("min", "max"))
        assert first <= viewer.dims.current_step[0] < end


def test_tables_and_objects_are_saved(panel, layers, qtbot, tmp_path) -> None:
    _, labels = layers
    measure(panel, qtbot)
    panel.files.write_table(tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv")["label"].tolist() == panel.table["label"].tolist()
    export(panel, qtbot, tmp_path / "a.geojson", "geojson")
    np.testing.assert_array_equal(es.import_labels(tmp_path / "a.geojson", labels.data.shape), labels.data)
    # Edited since it was measured.
    labels.data = np.where(labels.data == 1, 0, labels.data)
    number = int(labels.data.max())
    labels.data[labels.data == number] *= np.arange(np.count_nonzero(labels.data == number)) > 2
    export(panel, qtbot, tmp_path / "b.geojson", "geojson")
    (feature, *_) = [
        one["properties"]
        for one in json.loads((tmp_path / "b.geojson").read_text())["features"]
        if one["properties"]["label"] == number
    ]
    assert feature["measurements"]["num_pixels"] == np.count_nonzero(labels.data == number)
    assert "intensity_mean_0" in feature["measurements"]
    export(panel, qtbot, tmp_path / "a.ome.zarr", "ome-zarr")
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.zarr", labels=True).array, labels.data)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("imagej", "a.zip"), ("coco", "a.json"), ("ome-tiff", "a.ome.tif"), ("ome-zarr", "a.ome.zarr"), ("ctc", "a")],
)
def test_an_export_has_the_ending_of_the_chosen_format(
    kind, name, panel, viewer, blobs, qtbot, monkeypatch, tmp_path
) -> None:
    viewer.add_labels(blobs(2)[1], name="objects")
    (text,) = (text for text, one in files.EXPORTS.items() if one == kind)
    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a.geojson"), text))
    panel.files.export.click()
    qtbot.waitUntil(lambda: not panel.files.run.is_active, timeout=20_000)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert f"Saved {tmp_path / name}." in panel.controls.status.text()
    # The dialog asked about another name.
    panel.files.export.click()
    qtbot.waitUntil(lambda: not panel.files.run.is_active, timeout=20_000)
    assert f"{tmp_path / name}: exists already" in panel.controls.status.text()


def test_a_click_on_a_point_selects_it(panel, layers, qtbot) -> None:
    measure(panel, qtbot)
    panel.y.setCurrentText("num_pixels")
    panel.window().resize(1000, 900)
    view, plot = panel.plot.view, panel.plot
    # Of the size that is drawn.
    qtbot.wait(50)
    place = view.mapFromScene(plot.box.mapViewToScene(QPointF(plot.x[0], plot.y[0])))
    qtbot.mouseMove(view.viewport(), place)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert panel.controls.status.text() == "1 object selected."


def test_the_command_asks_for_a_file_of_labels_that_are_in_none(panel, layers, viewer, monkeypatch, tmp_path) -> None:
    _, labels = layers
    panel.image.choose(None)
    answers = ["", str(tmp_path / "objects.tif"), str(tmp_path / "changed.tif")]
    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *_: (answers.pop(0), ""))
    QApplication.clipboard().clear()
    panel.files.recipe.copy.click()
    assert QApplication.clipboard().text() == ""
    assert "objects is in no file as it is now, and a command reads files" in panel.files.recipe.line.text()
    for name in ("objects", "changed"):
        for _ in range(2):
            panel.files.recipe.copy.click()
        assert panel.files.recipe.line.isHidden()
        words = shlex.split(QApplication.clipboard().text())
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        assert ended.value.code in (0, None)
        rows = (tmp_path / f"{name}.measured.csv").read_text().splitlines()
        assert len(rows) == 1 + len(np.unique(labels.data)) - 1
        labels.data = np.where(labels.data == 1, 0, labels.data)
    assert not answers


def test_a_removed_layer_takes_its_results_along(panel, layers, viewer, qtbot) -> None:
    _, labels = layers
    measure(panel, qtbot)
    viewer.layers.remove(labels)
    assert panel.table is None
    assert not panel.controls.run_button.isEnabled()
    assert "Labels layer" in panel.controls.status.text()


def test_numbers_that_are_out_of_date_are_told(panel, layers, qtbot) -> None:
    _, labels = layers
    measure(panel, qtbot)
    labels.fill((labels.data.ndim * (0,)), 9)
    assert panel.controls.status.text() == "The labels changed since they were measured; press Measure again."
    measure(panel, qtbot)
    qtbot.keyClicks(panel.pixel_size, ", ".join("2" * labels.ndim))
    assert panel.controls.status.text() == "The numbers are of another pixel size; press Measure again."
    qtbot.keyClick(panel.pixel_size, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    size = "area_um2" if labels.ndim == 2 else "volume_um3"
    np.testing.assert_allclose(panel.table[size], panel.table["num_pixels"] * 2.0**labels.ndim)


def test_a_movie_and_a_single_plane_have_no_surfaces(panel, viewer, blobs, monkeypatch) -> None:
    offered = []
    monkeypatch.setattr(files.QFileDialog, "getSaveFileName", lambda *words: (offered.append(words[-1]), ("", ""))[1])
    for axes, n, has_surfaces in (("tyx", 3, False), ("zyx", 3, True), ("zyx", 1, False)):
        layer = viewer.add_labels(np.stack([blobs(2)[1]] * n), name=axes, axis_labels=axes)
        panel.labels.choose(layer)
        panel.files.export.click()
        assert ("Surfaces" in offered[-1]) is has_surfaces
        assert panel.files.surfaces.isHidden() is not has_surfaces


@pytest.mark.usefixtures("whole_window")
def test_surfaces_lie_on_their_objects(panel, layers, viewer, qtbot) -> None:
    from napari.layers import Surface
    from napari.utils.notifications import notification_manager

    _, labels = layers
    panel.files.make_surfaces()
    qtbot.waitUntil(lambda: not panel.files.run.is_active, timeout=20_000)
    found = [layer for layer in viewer.layers if isinstance(layer, Surface)]
    if labels.ndim == 2:
        assert found == []
        assert "made of volumes" in notification_manager.records[-1].message
        return
    (surface,) = found
    low, high = np.transpose([(at.min(), at.max()) for at in np.nonzero(labels.data)])
    np.testing.assert_allclose(surface.vertices.min(0), low - 0.5)
    np.testing.assert_allclose(surface.vertices.max(0), high + 0.5)
    assert surface.scale.tolist() == labels.scale.tolist()
    assert surface.units == labels.units
    # They would cover what other panels show, and other labels.
    panel.take_front(True)
    assert surface.visible
    other = viewer.add_labels(labels.data.copy(), name="other", scale=labels.scale, translate=labels.translate)
    panel.labels.choose(other)
    assert not surface.visible
    panel.labels.choose(labels)
    assert surface.visible


def test_what_was_measured_is_not_covered_and_is_selected(layers, viewer, open_panel, qtbot) -> None:
    _, labels = layers
    over = viewer.add_labels(labels.data.copy(), name="tracked", scale=labels.scale, units=labels.units)
    elsewhere = viewer.add_labels(labels.data.copy(), name="beside", translate=(999,) * labels.ndim)
    panel = open_panel(PANEL)
    panel.take_over(labels, None)
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    assert not over.visible
    assert elsewhere.visible
    assert viewer.layers.selection.active == labels
    panel.take_front(False)
    assert not over.visible, "no other panel minds"
    new = viewer.add_labels(labels.data.copy(), name="new", scale=labels.scale, units=labels.units)
    panel.take_front(True)
    assert not over.visible
    assert not new.visible
    panel.labels.choose(new)
    assert new.visible
    panel.labels.choose(labels)
    assert not new.visible
    viewer.layers.remove(labels)
    panel.stage.leave(panel)
    assert over.visible
    assert panel.controls.status.text() == "What was measured was removed, and its numbers with it."


def test_hidden_labels_are_shown_while_their_numbers_are(layers, viewer, open_panel, qtbot) -> None:
    _, labels = layers
    labels.visible = False
    panel = open_panel(PANEL)
    panel.take_over(labels, None)
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    assert labels.visible
    panel.stage.leave(panel)
    assert not labels.visible
    panel.take_front(True)
    assert labels.visible


def test_colours_come_back_where_other_labels_are_measured(layers, viewer, open_panel, qtbot) -> None:
    _, labels = layers
    before = labels.colormap
    others = viewer.add_labels(labels.data.copy(), name="others", scale=labels.scale, units=labels.units)
    panel = open_panel(PANEL)
    for layer in (labels, others):
        panel.labels.choose(layer)
        measure(panel, qtbot)
        panel.color.setCurrentText("touches_border")
        assert panel._selected is None
    assert labels.colormap == before


def test_labels_that_other_panels_select_leave_the_colours_alone(panel, layers, qtbot, monkeypatch) -> None:
    _, labels = layers
    measure(panel, qtbot)
    ids = panel.table["label"]
    monkeypatch.setattr(type(panel), "is_covered", True)
    labels.selected_label = int(ids[1])
    assert labels.get_color(int(ids[0]))[3] > 0.5


def test_what_was_measured_stays_in_sight_beside_napari_s_table(layers, viewer, panel, qtbot, monkeypatch) -> None:
    pytest.importorskip("napari_builtins._qt.features_table")
    _, labels = layers
    over = viewer.add_labels(labels.data.copy(), name="over", scale=labels.scale, units=labels.units)
    panel.take_over(labels, None)
    qtbot.waitUntil(lambda: panel.controls.current is None, timeout=20_000)
    panel.files.open_table.click()
    panel.take_front(False)
    assert not over.visible
    # A row that is chosen there is one of these, whatever other panel is open.
    monkeypatch.setattr(type(panel), "is_covered", True)
    labels.selected_label = 2
    assert panel.controls.status.text().startswith("Object 2")
