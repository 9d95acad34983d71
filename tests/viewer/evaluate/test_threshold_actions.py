"""Thresholds that score best, from maps at hand or from a model that is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from evaluate_steps import finish, press
from qtpy.QtWidgets import QFileDialog
from scipy import ndimage

pytest.importorskip("pyqtgraph")

from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.model.model_file import read_model_config
from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
from embedseg_napari.viewer.layers import FOUND, RESULT, SEGMENTED, TUNED
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.provenance import remember
from embedseg_napari.viewer.worker import RunState

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize("n_frames", [0, 2])
def test_thresholds_of_what_was_found_in_a_depth_of_one_plane(
    panel, viewer, blobs, qtbot, model_file, n_frames
) -> None:
    true = blobs(2)[1]
    before = Segmentation.collect(maps_of(true), PredictionConfig())
    place = {
        "axis_labels": ("t", "z", "y", "x")[-3 - bool(n_frames) :],
        "scale": (5, 2, 0.5, 0.5)[-3 - bool(n_frames) :],
    }
    if n_frames:
        before = Segmentation.stack([before] * n_frames)
    deep = np.stack([true[None]] * n_frames) if n_frames else true[None]
    viewer.add_labels(deep, name="truth", **place)
    layer = viewer.add_labels(np.expand_dims(before.labels, -3), name="labels", **place)
    remember(layer, before, model_file)
    panel.tabs.setCurrentWidget(panel.thresholds)
    press(panel.thresholds.find, panel, qtbot)
    assert panel.thresholds.tuning.thresholds.score == 1
    press(panel.thresholds.show_labels, panel, qtbot)
    assert panel.scores.rows[0].ap == 1
    tuned = viewer.layers["labels tuned"]
    np.testing.assert_array_equal(tuned.data > 0, deep > 0)
    assert tuple(tuned.scale) == place["scale"]


def test_a_model_is_run_on_a_depth_of_one_plane(panel, viewer, blobs, qtbot, model_file) -> None:
    image, true = blobs(2)
    models.remember(model_file)
    layer = viewer.add_image(image[None], name="image", axis_labels=("z", "y", "x"))
    viewer.add_labels(true[None], name="truth", axis_labels=("z", "y", "x"))
    panel.tabs.setCurrentWidget(panel.thresholds)
    panel.thresholds.model.setCurrentIndex(panel.thresholds.model.findText("run tiny"))
    press(panel.thresholds.find, panel, qtbot)
    assert panel.run.state is RunState.DONE
    assert panel.thresholds.tuning.segmentation.labels.shape == true.shape
    press(panel.thresholds.show_labels, panel, qtbot)
    tuned = viewer.layers["truth tuned"]
    assert tuned.data.shape == (1, *true.shape)
    assert tuned.metadata[SEGMENTED] == str(layer.unique_id)


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
    np.testing.assert_array_equal(viewer.layers["labels tuned"].data > 0, true.T > 0)


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


@pytest.mark.parametrize("is_rgb", [False, True])
def test_a_model_of_one_channel_is_run_on_the_channel_that_is_chosen(
    panel, viewer, blobs, qtbot, model_file, is_rgb
) -> None:
    image, true = blobs(2)
    models.remember(model_file)
    grey = image.astype(np.uint8)
    array, options = np.stack([grey, 0 * grey, grey.max() - grey]), {"axis_labels": ("c", "y", "x")}
    if is_rgb:
        array, options = np.moveaxis(array, 0, -1), {"rgb": True}
    layer = viewer.add_image(array, name="image", **options)
    viewer.add_labels(true, name="truth")
    panel.tabs.setCurrentWidget(panel.thresholds)
    tuning = panel.thresholds
    tuning.model.setCurrentIndex(tuning.model.findText("run tiny"))
    assert not tuning.channel.isHidden()
    assert tuning.channel.channel() == ("mean" if is_rgb else 0)
    for channel in ("mean", 2):
        tuning.channel.setCurrentIndex(tuning.channel.findData(channel))
        press(tuning.find, panel, qtbot)
        assert tuning.channel.channel() == channel
        seen = array.mean(-1 if is_rgb else 0) if channel == "mean" else grey.max() - grey
        expected = load_model(model_file, device="cpu").embed(seen, "YX").seed_map
        np.testing.assert_allclose(tuning.tuning.segmentation.maps.seed_map, expected, atol=1e-5)
    viewer.layers.remove(layer)
    viewer.add_image(image, name="grey")
    assert tuning.channel.isHidden()
    press(tuning.find, panel, qtbot)
    assert panel.run.state is RunState.DONE


@pytest.mark.parametrize("has_prediction", [False, True])
def test_a_model_is_run_where_the_truth_was_found(panel, viewer, blobs, qtbot, model_file, has_prediction) -> None:
    image, true = blobs(2)
    models.remember(model_file)
    layer = viewer.add_image(image, name="image")
    corrected = {RESULT: FOUND, SEGMENTED: str(layer.unique_id)}
    viewer.add_labels(true[8:56, 4:44], name="truth", translate=(8, 4), metadata=corrected)
    panel.source.truth.choose(viewer.layers["truth"])
    if has_prediction:
        # Found in all of the image.
        panel.source.choose(viewer.layers["truth"], viewer.add_labels(true, name="labels", metadata=corrected))
    panel.tabs.setCurrentWidget(panel.thresholds)
    panel.thresholds.model.setCurrentIndex(panel.thresholds.model.findText("run tiny"))
    press(panel.thresholds.find, panel, qtbot)
    assert panel.run.state is RunState.DONE
    assert panel.thresholds.tuning.segmentation.labels.shape == (48, 40)
    press(panel.thresholds.show_labels, panel, qtbot)
    assert tuple(viewer.layers["truth tuned"].translate) == (8, 4)


@pytest.fixture
def fields(panel, viewer, blobs, model_file):
    """Two fields of one size, each with its truth and what a model found; the first is chosen."""
    made = []
    for number, name in enumerate(("A", "B")):
        true = np.roll(blobs(2)[1], 20 * number, 1)
        found = Segmentation.collect(maps_of(true), PredictionConfig())
        place = {"translate": (100.0 * number, 0.0)}
        layers = [
            viewer.add_labels(array, name=f"{name} {what}", **place)
            for what, array in (("truth", true), ("labels", found.labels))
        ]
        remember(layers[1], found, model_file)
        made.append(layers)
    panel.source.choose(*made[0])
    panel.tabs.setCurrentWidget(panel.thresholds)
    return made


def test_maps_are_not_compared_with_a_truth_at_another_place(panel, fields, qtbot) -> None:
    fields[0][0].translate = (0, 50)
    panel.source.choose(fields[0][0], fields[1][1])
    panel.thresholds.find.click()
    assert panel.run is None
    assert panel.thresholds.tuning is None
    assert "lie at different places" in panel.status.text()


@pytest.mark.parametrize("chosen", ["later", "meanwhile"])
def test_labels_at_the_best_thresholds_are_those_of_the_image_they_were_found_in(
    panel, viewer, fields, qtbot, chosen
) -> None:
    (truth, _), other = fields
    panel.thresholds.find.click()
    if chosen == "meanwhile":
        panel.source.choose(*other)
    finish(panel, qtbot)
    panel.source.choose(*other)
    assert "A truth" in panel.thresholds.verdict.text()
    press(panel.thresholds.show_labels, panel, qtbot)
    tuned = viewer.layers["A labels tuned"]
    assert panel.scores.rows[0].ap == 1
    assert (panel.source.truth.layer(), panel.source.predicted.layer()) == (truth, tuned)
    np.testing.assert_array_equal(tuned.translate, truth.translate)
    np.testing.assert_array_equal(tuned.data > 0, truth.data > 0)


def test_without_the_truth_they_were_found_with_they_are_not_scored_on_another(panel, viewer, fields, qtbot) -> None:
    press(panel.thresholds.find, panel, qtbot)
    panel.source.choose(*fields[1])
    viewer.layers.remove(fields[0][0])
    panel.thresholds.show_labels.click()
    assert panel.scores is None
    assert "A truth was removed" in panel.status.text()


def test_nothing_is_shown_or_saved_while_something_runs(panel, viewer, fields, qtbot) -> None:
    press(panel.thresholds.find, panel, qtbot)
    panel.thresholds.find.click()
    buttons = panel.thresholds.show_labels, panel.thresholds.save
    assert not any(button.isEnabled() for button in buttons)
    finish(panel, qtbot)
    assert all(button.isEnabled() for button in buttons)


def test_a_model_is_not_replaced_unasked(panel, fields, qtbot, tmp_path, monkeypatch) -> None:
    press(panel.thresholds.find, panel, qtbot)
    other = tmp_path / "cells.embedseg"
    other.write_bytes(b"precious")
    typed = [str(other.with_suffix("")), str(other)]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (typed.pop(0), ""))
    panel.thresholds.save.click()
    assert "exists already; give its whole name to replace it" in panel.status.text()
    assert other.read_bytes() == b"precious"
    press(panel.thresholds.save, panel, qtbot)
    assert read_model_config(other).name == "cells"


def test_thresholds_are_scored_only_where_the_truth_is_annotated(panel, viewer, blobs, qtbot, model_file) -> None:
    image, true = blobs(2)
    cells = viewer.add_image(image, name="cells")
    layers = AnnotationLayers(viewer)
    layers.watch(cells)
    layers.make()
    known = np.where(true == true.max(), 0, true)
    ring = ndimage.binary_dilation(known > 0, iterations=2) & (true == 0)
    layers.labels.data = np.where(ring, BACKGROUND, known)
    before = Segmentation.collect(maps_of(true), PredictionConfig())
    found_in = {RESULT: FOUND, SEGMENTED: str(cells.unique_id)}
    layer = viewer.add_labels(before.labels, name="labels", metadata=found_in)
    remember(layer, before, model_file)
    panel.source.choose(layers.labels, layer)
    panel.tabs.setCurrentWidget(panel.thresholds)
    press(panel.thresholds.find, panel, qtbot)
    assert panel.thresholds.tuning.thresholds.score == 1
    press(panel.thresholds.show_labels, panel, qtbot)
    assert (panel.scores.rows[0].tp, panel.scores.rows[0].ap) == (true.max() - 1, 1)
    # Brightness is that of this image, and these labels are seen with it.
    assert viewer.layers["labels tuned"].metadata == found_in | {TUNED: True}
