from __future__ import annotations

import time

import numpy as np
import pytest

from embedseg_napari.core.config import Calibration
from embedseg_napari.core.errors import ModelError, Stopped
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.inference import openvino_engine
from embedseg_napari.jobs import calibrate
from embedseg_napari.jobs.calibrate import Calibrated
from embedseg_napari.jobs.segment import ImageStarted
from embedseg_napari.jobs.tune import store_settings
from embedseg_napari.viewer.models import calibrate_dialog
from embedseg_napari.viewer.models.manager import ModelManager


@pytest.fixture
def able(monkeypatch):
    """As if OpenVINO were installed, and the processor had 8-bit integers."""
    monkeypatch.setattr(calibrate_dialog, "_why_not_here", lambda: "")


@pytest.fixture
def opened(make_napari_viewer, qtbot):
    """The window Models with the dialog of its first model."""
    made = []

    def open_it():
        viewer = make_napari_viewer()
        manager = ModelManager()
        qtbot.addWidget(manager)
        made.append(manager)
        manager.calibrate.click()
        return viewer, manager, manager.calibration

    yield open_it
    for manager in made:
        manager.close_down()


def test_without_openvino_it_says_what_is_missing(opened, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: None)
    _, _, dialog = opened()
    dialog.folder.edit.setText(str(tmp_path))
    assert not dialog.controls.run_button.isEnabled()
    assert dialog.complaint.text() == (
        "Calibrating needs OpenVINO, which is not installed: pip install 'embedseg-napari[fast]'."
    )


def test_layers_are_read_progress_is_shown_and_the_model_is_chosen(opened, able, monkeypatch, qtbot) -> None:
    viewer, manager, dialog = opened()
    assert dialog.complaint.text() == "Choose the data set folder."
    dialog.from_layers.setChecked(True)
    assert dialog.complaint.text() == "Open an image, and a Labels layer with all its objects."
    image, truth = np.random.default_rng(0).random((32, 40)), np.zeros((32, 40), int)
    truth[4:9, 4:9] = 1
    viewer.add_image(image, name="cells")
    viewer.add_labels(truth, name="truth")
    assert dialog.fault() == ""
    read, bars = [], []

    def run(source, target, images, should_stop):
        read.extend(images())
        for index in (0, 1, 0, 1):
            yield ImageStarted(index, 2, f"image {index}")
        found = Calibration(ranges={"first": (0, 2)}, n_images=2, n_checked=2, ap=0.5, ap_int8=0.499)
        path = store_settings(source, target, {"engine": "int8"}, calibration=found)
        return Calibrated(path, found, 2.34)

    monkeypatch.setattr(calibrate, "calibrate_file", run)
    dialog.controls.progress.valueChanged.connect(bars.append)
    with qtbot.waitSignal(dialog.calibrated, timeout=20_000):
        dialog.controls.run_button.click()
        assert not dialog.controls.run_button.isEnabled()
    assert [one.name for one in read] == ["cells"]
    assert np.array_equal(read[0].instances, truth)
    assert [value for value in bars if value >= 0][-3:] == [1, 2, 3]
    said = dialog.controls.status.text()
    assert "0.4990 in 8-bit integers (-0.0010); the network is 2.3 times as fast as in PyTorch" in said
    assert said.endswith("Stored as nuclei-2d-int8, which is now chosen.")
    assert dialog.complaint.isHidden()
    assert not dialog.controls.run_button.isEnabled()
    assert manager.chosen.name == "nuclei-2d-int8"
    assert manager.chosen.config().prediction.engine == "int8"


def test_a_channel_of_a_folder_is_measured_on(opened, able, monkeypatch, qtbot, tmp_path) -> None:
    _, _, dialog = opened()
    image = np.random.default_rng(0).integers(0, 9, (2, 32, 40)).astype(np.uint8)
    truth = np.zeros((32, 40), np.uint16)
    truth[4:9, 4:9] = 1
    write_image(tmp_path / "images" / "a.tif", image, "CYX")
    write_labels(tmp_path / "masks" / "a.tif", truth, "YX")
    dialog.folder.edit.setText(str(tmp_path))
    dialog.channel.setCurrentText("1")
    read = []

    def run(source, target, images, should_stop):
        read.extend(images())
        yield ImageStarted(0, 1, "a")
        raise Stopped("The model was not calibrated.")

    monkeypatch.setattr(calibrate, "calibrate_file", run)
    with qtbot.waitSignal(dialog.controls.finished, timeout=20_000):
        dialog.controls.run_button.click()
    np.testing.assert_array_equal(read[0].image, image[1:])


def test_cancel_and_a_refusal_store_nothing(opened, able, monkeypatch, qtbot, tmp_path) -> None:
    _, manager, dialog = opened()
    before = manager.list.count()
    dialog.folder.edit.setText(str(tmp_path))

    def endless(source, target, images, should_stop):
        yield ImageStarted(0, 2, "image")
        while not should_stop():
            time.sleep(0.01)
        raise Stopped("The model was not calibrated.")

    monkeypatch.setattr(calibrate, "calibrate_file", endless)
    dialog.controls.run_button.click()
    qtbot.waitUntil(lambda: "Segmenting image as before (1 of 2)" in dialog.controls.status.text(), timeout=20_000)
    with qtbot.waitSignal(dialog.controls.finished, timeout=20_000):
        dialog.controls.cancel_button.click()
    assert dialog.controls.status.text() == "Stopped."

    def refuses(*_):
        yield from ()
        raise ModelError("In 8-bit integers the mean AP falls.")

    monkeypatch.setattr(calibrate, "calibrate_file", refuses)
    with qtbot.waitSignal(dialog.controls.finished, timeout=20_000):
        dialog.controls.run_button.click()
    assert dialog.controls.status.text() == "In 8-bit integers the mean AP falls."
    manager.refresh()
    assert manager.list.count() == before


def test_a_name_that_is_taken_is_refused(opened, able, tmp_path) -> None:
    _, _, dialog = opened()
    dialog.folder.edit.setText(str(tmp_path))
    dialog.name.setText("nuclei-3d")
    assert dialog.complaint.text() == "There is already a model nuclei-3d; choose another name."
    assert not dialog.controls.run_button.isEnabled()
