"""The Evaluate panel, opened through the manifest and driven by its buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.viewer.layers import ANNOTATION, FOUND, RESULT
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.provenance import remember
from embedseg_napari.viewer.worker import RunState

if TYPE_CHECKING:
    from pathlib import Path

PANEL = "EmbedSeg: Evaluate"


@pytest.fixture
def panel(open_panel, qtbot):
    widget = open_panel(PANEL)
    yield widget
    if widget.run is not None:
        qtbot.waitUntil(lambda: not widget.run.is_active)


def finish(panel, qtbot) -> None:
    qtbot.waitUntil(lambda: panel.run is not None and not panel.run.is_active, timeout=60_000)


def press(button, panel, qtbot) -> None:
    assert button.isEnabled()
    button.click()
    finish(panel, qtbot)


def spoiled(true: np.ndarray) -> np.ndarray:
    """A prediction without the first object, with the last one moved and one invented in a corner."""
    predicted = np.where(true == 1, 0, true)
    last = true == true.max()
    predicted[last] = 0
    predicted[np.roll(last, 1, axis=-1) & (predicted == 0)] = true.max()
    predicted[..., :3, :3] = true.max() + 1
    return predicted.astype(np.int32)


@pytest.fixture(params=[2, 3])
def pair(request, blobs, viewer):
    """Truth and prediction as layers with a scale."""
    true = blobs(request.param)[1]
    predicted = spoiled(true)
    scale, translate = (2.0, 0.5, 0.5)[-true.ndim :], (10.0, 20.0, 30.0)[-true.ndim :]
    options = {"scale": scale, "translate": translate}
    return (
        viewer.add_labels(true, name="truth", **options),
        viewer.add_labels(predicted, name="prediction", **options),
    )


def test_says_what_it_needs(panel, viewer) -> None:
    assert not panel.evaluate.isEnabled()
    assert "two Labels layers" in panel.reason.text()
    viewer.add_labels(np.zeros((8, 8), np.int32), name="a")
    viewer.add_labels(np.zeros((9, 8), np.int32), name="b")
    assert not panel.evaluate.isEnabled()
    assert "9 x 8" in panel.source.complaint.text()
    assert not panel.source.complaint.isHidden()


def test_truth_is_known_by_its_name(panel, viewer) -> None:
    first = viewer.add_labels(np.zeros((8, 8), np.int32), name="labels")
    second = viewer.add_labels(np.zeros((8, 8), np.int32), name="nuclei masks")
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (second, first)


def test_what_a_network_found_is_not_taken_for_the_truth(panel, viewer) -> None:
    found = viewer.add_labels(np.zeros((8, 8), np.int32), name="a labels", metadata={RESULT: FOUND})
    own = viewer.add_labels(np.zeros((8, 8), np.int32), name="a [1]")
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (own, found)


def test_the_users_labels_come_before_what_a_session_annotates(viewer, open_panel) -> None:
    own = viewer.add_labels(np.zeros((8, 8), np.int32), name="a [1]")
    found = viewer.add_labels(np.zeros((8, 8), np.int32), name="a labels", metadata={RESULT: FOUND})
    viewer.add_labels(np.zeros((8, 8), np.int32), name="a annotation", metadata={ANNOTATION: "of a"})
    source = open_panel(PANEL).source
    assert (source.truth.layer(), source.predicted.layer()) == (own, found)


def test_scores_overlay_and_table_of_layers(panel, pair, viewer, qtbot) -> None:
    truth, predicted = pair
    press(panel.evaluate, panel, qtbot)
    assert panel.run.state is RunState.DONE
    expected = match(truth.data, predicted.data)
    assert list(panel.scores.rows) == expected
    assert panel.scoring.table.item(0, 1).text() == f"{expected[0].ap:.3f}"
    overlay = viewer.layers["Mistakes"]
    np.testing.assert_array_equal(overlay.scale, predicted.scale)
    np.testing.assert_array_equal(overlay.translate, predicted.translate)
    assert {2, 3} <= set(np.unique(overlay.data))
    assert panel.mistakes.objects.model().rowCount() == len(panel.scores.errors.findings)
    assert viewer.layers.selection.active != overlay

    # A second run updates the layer and compares the same two.
    press(panel.evaluate, panel, qtbot)
    assert len(viewer.layers) == 3
    assert panel.source.predicted.layer() == predicted


def test_a_row_leads_to_its_object(panel, pair, viewer, qtbot) -> None:
    truth, _ = pair
    press(panel.evaluate, panel, qtbot)
    findings = panel.scores.errors.findings
    row = next(i for i, f in enumerate(findings) if f.true_ids == (1,))
    panel.mistakes.objects.selectRow(row)
    world = truth.data_to_world(findings[row].center)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], world[-2:], atol=0.5)
    np.testing.assert_allclose(viewer.dims.point[-truth.ndim], world[0], atol=1)
    assert truth.selected_label == 1


def test_another_threshold_shows_other_mistakes(panel, pair, viewer, qtbot) -> None:
    press(panel.evaluate, panel, qtbot)
    before = viewer.layers["Mistakes"].data.copy()
    scores = panel.scores
    panel.scoring.table.selectRow(8)
    finish(panel, qtbot)
    assert panel.mistakes.threshold.currentText() == "0.90"
    assert panel.scores is scores
    assert (viewer.layers["Mistakes"].data != before).any()


def test_legend_hides_kinds(panel, pair, viewer, qtbot) -> None:
    press(panel.evaluate, panel, qtbot)
    n = panel.mistakes.objects.model().rowCount()
    found = next(box for kind, box in panel.mistakes.legend.boxes.items() if kind.name == "FOUND")
    found.click()
    assert panel.mistakes.objects.model().rowCount() == n - int(found.text().split(": ")[1])
    assert viewer.layers["Mistakes"].colormap.color_dict[1][3] == 0


def test_frames_are_scored_one_by_one(panel, viewer, blobs, qtbot) -> None:
    true = np.stack([blobs(2)[1]] * 2)
    predicted = np.stack([spoiled(true[0]), true[1]])
    viewer.add_labels(true, name="truth", axis_labels=("t", "y", "x"))
    viewer.add_labels(predicted, name="labels", axis_labels=("t", "y", "x"))
    assert panel.source.has_frames()
    press(panel.evaluate, panel, qtbot)
    assert [image.rows[0].ap == 1 for image in panel.scores.images] == [False, True]
    assert panel.tabs.isTabVisible(2)
    missed = next(f for f in panel.scores.errors.findings if f.true_ids == (1,))
    assert missed.center[0] == 0


def test_frames_that_only_the_truth_names(panel, viewer, blobs) -> None:
    true = np.stack([blobs(2)[1]] * 2)
    truth = viewer.add_labels(true, name="truth", axis_labels=("t", "y", "x"))
    found = viewer.add_labels(true, name="labels")
    panel.source.choose(truth, found)
    assert panel.source.has_frames()


def test_a_binary_truth_is_refused(panel, pair, viewer, qtbot) -> None:
    truth, _ = pair
    truth.data = (truth.data > 0).astype(np.uint8) * 255
    press(panel.evaluate, panel, qtbot)
    assert "binary mask" in panel.status.text()


def test_a_binary_truth_of_two_objects_is_spoken_of(panel, pair, viewer, qtbot) -> None:
    from napari.utils.notifications import notification_manager

    truth, _ = pair
    data = np.zeros(truth.data.shape, np.uint8)
    data[..., 2:10, 2:10] = data[..., 20:30, 20:30] = 1
    truth.data = data
    press(panel.evaluate, panel, qtbot)
    assert any("count as one object" in one.message for one in notification_manager.records)


def test_removed_and_changed_layers(panel, pair, viewer, qtbot) -> None:
    truth, predicted = pair
    press(panel.evaluate, panel, qtbot)
    truth.data = truth.data.copy()
    assert "changed since" in panel.status.text()
    viewer.layers.remove("Mistakes")
    viewer.layers.remove(predicted)
    panel.mistakes.objects.selectRow(0)
    viewer.layers.remove(truth)
    panel.mistakes.objects.selectRow(1)
    assert "removed" in panel.status.text()
    assert not panel.evaluate.isEnabled()


def test_closing_the_panel_while_it_works(panel, pair, viewer) -> None:
    panel.evaluate.click()
    viewer.window.remove_dock_widget(panel)
    assert not panel.run.is_active or panel.run.state is RunState.STOPPING
    viewer.add_labels(np.zeros((4, 4), np.int32))


@pytest.fixture
def folders(tmp_path: Path, blobs) -> tuple[Path, Path]:
    image, true = blobs(2)
    for folder in ("truth/masks", "truth/images", "predicted"):
        (tmp_path / folder).mkdir(parents=True)
    for name, predicted in (("a.tif", spoiled(true)), ("b.tif", true)):
        tifffile.imwrite(tmp_path / "truth/masks" / name, true.astype(np.uint16))
        tifffile.imwrite(tmp_path / "truth/images" / name, image)
        tifffile.imwrite(tmp_path / "predicted" / name, predicted.astype(np.uint16))
    return tmp_path / "truth", tmp_path / "predicted"


def test_folders(panel, folders, viewer, qtbot, tmp_path) -> None:
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(tmp_path / "nowhere"))
    assert "no such folder" in panel.source.complaint.text()
    assert not panel.evaluate.isEnabled()
    panel.source.true_folder.edit.setText(str(folders[0]))
    panel.source.predicted_folder.edit.setText(str(folders[1]))
    press(panel.evaluate, panel, qtbot)
    assert [image.name for image in panel.scores.images] == ["a", "b"]
    assert [image.name for image in panel.images.images] == ["a", "b"]
    assert len(viewer.layers) == 0
    panel.images.image_chosen.emit(panel.images.images[0])
    finish(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["a image", "a truth", "a prediction", "Mistakes"]
    assert len(panel.scores.images) == 2
    panel.images.image_chosen.emit(panel.images.images[1])
    finish(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["b image", "b truth", "b prediction", "Mistakes"]
    panel.scoring.write(tmp_path / "scores.csv")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("image,threshold,tp")
    assert len(lines) == 1 + 3 * 9


def test_movies_in_folders_are_scored_and_opened_frame_by_frame(panel, viewer, blobs, qtbot, tmp_path) -> None:
    true = blobs(2)[1].astype(np.uint16)
    for folder, movie in (("truth", [true] * 3), ("predicted", [true, true, spoiled(true)])):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(
            tmp_path / folder / "m.tif", np.stack(movie).astype(np.uint16), imagej=True, metadata={"axes": "TYX"}
        )
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(tmp_path / "truth"))
    panel.source.predicted_folder.edit.setText(str(tmp_path / "predicted"))
    press(panel.evaluate, panel, qtbot)
    assert [(image.name, image.rows[0].ap == 1) for image in panel.scores.images] == [
        ("m 0", True),
        ("m 1", True),
        ("m 2", False),
    ]
    panel.images.image_chosen.emit(panel.scores.images[2])
    finish(panel, qtbot)
    assert viewer.layers["m prediction"].data.shape == (3, *true.shape)
    assert viewer.dims.current_step[0] == 2
    assert not viewer.layers["Mistakes"].data[:2].max() > 1


def test_planes_in_folders_are_scored_and_opened(panel, viewer, blobs, qtbot, tmp_path) -> None:
    true = blobs(2)[1]
    planes = np.stack([true == k for k in range(1, true.max() + 1)]).astype(np.uint8)
    for folder, stack in (("truth", planes), ("predicted", planes[:0:-1])):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "m.tif", stack, photometric="minisblack")
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(tmp_path / "truth"))
    panel.source.predicted_folder.edit.setText(str(tmp_path / "predicted"))
    press(panel.evaluate, panel, qtbot)
    row = panel.scores.rows[0]
    assert (row.tp, row.fp, row.fn) == (len(planes) - 1, 0, 1)
    panel.images.image_chosen.emit(panel.scores.images[0])
    finish(panel, qtbot)
    np.testing.assert_array_equal(viewer.layers["m truth"].data, true)
    assert viewer.layers["Mistakes"].data.shape == true.shape


def test_planes_in_layers_are_spoken_of(panel, viewer, blobs, qtbot, monkeypatch) -> None:
    true = blobs(2)[1]
    planes = np.stack([np.where(true == k, k, 0) for k in range(1, true.max() + 1)])
    said = []
    monkeypatch.setattr("embedseg_napari.viewer.evaluate.widget.report_message", lambda event: said.append(event.text))
    panel.source.choose(viewer.add_labels(planes, name="truth"), viewer.add_labels(planes[::-1], name="labels"))
    press(panel.evaluate, panel, qtbot)
    assert any("planes of one object each" in text for text in said)


def test_a_missing_prediction_is_told(panel, folders, qtbot) -> None:
    from napari.utils.notifications import notification_manager

    (folders[1] / "b.tif").unlink()
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(folders[0]))
    panel.source.predicted_folder.edit.setText(str(folders[1]))
    press(panel.evaluate, panel, qtbot)
    assert panel.run.state is RunState.FAILED
    assert "lacks the predictions for 1 of 2" in notification_manager.records[-1].message
    assert panel.evaluate.isEnabled()
    assert "lacks the predictions for 1 of" in panel.status.text()
    assert not panel.status.isHidden()


def maps_of(true: np.ndarray) -> EmbeddingMaps:
    """Perfect offsets; seeds that only reach 0.75."""
    grid = np.indices(true.shape).astype(np.float32)
    offsets = np.zeros_like(grid)
    for value in range(1, int(true.max()) + 1):
        inside = true == value
        center = np.argwhere(inside).mean(0)
        offsets[:, inside] = center[:, None] - grid[:, inside]
    return EmbeddingMaps(
        offsets.astype(np.float32), np.full_like(offsets, 3.0), np.where(true > 0, 0.75, 0.1).astype(np.float32)
    )


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.networks.erfnet import BranchedERFNet

    return Model(ModelConfig(name="tiny"), BranchedERFNet(2, 1)).save(tmp_path / "tiny.embedseg", half=True)


def test_thresholds_from_maps_at_hand_to_the_model(panel, viewer, blobs, qtbot, model_file, tmp_path) -> None:
    from embedseg_napari.core.model.model_file import read_model_config

    true = blobs(2)[1]
    before = Segmentation.collect(maps_of(true), PredictionConfig())
    assert len(before.scores) == 0
    viewer.add_labels(true, name="truth")
    layer = viewer.add_labels(before.labels, name="labels")
    remember(layer, before, model_file)
    panel.tabs.setCurrentWidget(panel.thresholds)
    assert "in memory, by tiny" in panel.thresholds.model.currentText()
    press(panel.thresholds.find, panel, qtbot)
    found = panel.thresholds.tuning.thresholds
    assert found.seed_threshold <= 0.7
    assert found.score == 1
    assert found.start_score == 0
    assert "mean AP 1.000" in panel.thresholds.verdict.text()

    press(panel.thresholds.show_labels, panel, qtbot)
    assert panel.scores.rows[0].ap == 1

    size = model_file.stat().st_size
    panel.tuning.write(tmp_path / "tuned.embedseg")
    finish(panel, qtbot)
    written = tmp_path / "tuned.embedseg"
    assert read_model_config(written).prediction.seed_threshold == found.seed_threshold
    assert abs(written.stat().st_size - size) < 1000
    assert written in [model.path for model in models.all()]
    assert str(written) in panel.status.text()


def test_thresholds_from_maps_of_an_image_in_another_order(panel, viewer, blobs, qtbot, model_file) -> None:
    true = blobs(2)[1]
    before = Segmentation.collect(maps_of(true), PredictionConfig())
    viewer.add_labels(true.T, name="truth", axis_labels=("x", "y"))
    layer = viewer.add_labels(before.labels.T, name="labels", axis_labels=("x", "y"))
    remember(layer, before, model_file)
    panel.tabs.setCurrentWidget(panel.thresholds)
    press(panel.thresholds.find, panel, qtbot)
    assert panel.thresholds.tuning.thresholds.score == 1
    press(panel.thresholds.show_labels, panel, qtbot)
    assert panel.scores.rows[0].ap == 1
    np.testing.assert_array_equal(viewer.layers["truth tuned"].data > 0, true.T > 0)


def test_thresholds_of_a_model_that_is_run_on_an_image_in_another_order(
    panel, viewer, blobs, qtbot, model_file
) -> None:
    image, true = blobs(2)
    models.remember(model_file)
    found = []
    for pixels, truth, axes in ((image, true, ("y", "x")), (image.T, true.T, ("x", "y"))):
        viewer.layers.clear()
        viewer.add_image(pixels, name="image", axis_labels=axes)
        viewer.add_labels(truth, name="truth", axis_labels=axes)
        panel.tabs.setCurrentWidget(panel.thresholds)
        panel.thresholds.model.setCurrentIndex(panel.thresholds.model.findText("run tiny"))
        press(panel.thresholds.find, panel, qtbot)
        found.append(panel.thresholds.tuning)
    straight, turned = found
    assert turned.thresholds == straight.thresholds
    np.testing.assert_array_equal(turned.segmentation.labels, straight.segmentation.labels)


def test_thresholds_of_a_model_that_is_run(panel, viewer, blobs, qtbot, model_file) -> None:
    image, true = blobs(2)
    models.remember(model_file)
    viewer.add_image(image, name="image")
    viewer.add_labels(true, name="truth")
    panel.tabs.setCurrentWidget(panel.thresholds)
    panel.thresholds.model.setCurrentIndex(panel.thresholds.model.findText("run tiny"))
    assert panel.thresholds.model_path() == model_file
    press(panel.thresholds.find, panel, qtbot)
    assert panel.run.state is RunState.DONE
    assert panel.thresholds.tuning.segmentation.labels.shape == true.shape


def test_the_plot_follows_the_theme(panel, viewer) -> None:
    viewer.theme = "light"
    light = panel.scoring.plot.view.backgroundBrush().color().lightness()
    viewer.theme = "dark"
    assert panel.scoring.plot.view.backgroundBrush().color().lightness() < light


def test_what_is_compared_is_faint_while_its_mistakes_are_shown(panel, pair, viewer, qtbot) -> None:
    before = [layer.opacity for layer in pair]
    press(panel.evaluate, panel, qtbot)
    overlay = viewer.layers["Mistakes"]
    assert all(layer.opacity < 0.3 < overlay.opacity for layer in pair)
    overlay.visible = False
    assert [layer.opacity for layer in pair] == before
    overlay.visible = True
    assert all(layer.opacity < 0.3 for layer in pair)
    viewer.layers.remove(overlay)
    assert [layer.opacity for layer in pair] == before
    press(panel.evaluate, panel, qtbot)
    assert all(layer.opacity < 0.3 for layer in pair)
    # Other labels than those that were compared are seen as they are.
    pair[1].data = pair[0].data
    assert [layer.opacity for layer in pair] == before
    press(panel.evaluate, panel, qtbot)
    viewer.window.remove_dock_widget(panel)
    assert [layer.opacity for layer in pair] == before


def test_a_jump_zooms_and_frames_the_object_in_each_of_its_planes(panel, pair, viewer, qtbot) -> None:
    truth, _ = pair
    press(panel.evaluate, panel, qtbot)
    camera = viewer.scene.camera
    camera.zoom = 0.01
    findings = panel.scores.errors.findings
    for label in (1, 2):
        row = next(i for i, f in enumerate(findings) if label in f.true_ids)
        panel.mistakes.objects.selectRow(row)
        inside = np.argwhere(truth.data == label)
        low, high = inside.min(0), inside.max(0)
        size = (high - low + 1)[-2:].max() * truth.scale[-1] * camera.zoom
        assert 60 < size < 500
        mark = viewer.layers["Mistakes: here"]
        corners = np.concatenate(mark.data)
        assert (corners.min(0)[-2:] < low[-2:]).all()
        assert (corners.max(0)[-2:] > high[-2:]).all()
        np.testing.assert_allclose(mark.data_to_world(low), truth.data_to_world(low))
        if truth.ndim == 3:
            assert np.unique(corners[:, 0]).tolist() == list(range(low[0], high[0] + 1))
    assert [layer.name for layer in viewer.layers].count("Mistakes: here") == 1
    press(panel.evaluate, panel, qtbot)
    assert "Mistakes: here" not in viewer.layers
