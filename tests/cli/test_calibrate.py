"""``embedseg calibrate`` as a user types it."""

from __future__ import annotations

import shutil

import pytest

from embedseg_napari.core.config import Calibration
from embedseg_napari.core.model.model_file import read_model_config
from embedseg_napari.jobs import calibrate


@pytest.fixture
def own(trained, tmp_path):
    return shutil.copy(trained, tmp_path / "mine.embedseg")


def found(*_: object):
    yield from ()
    return Calibration(ranges={"first": (0, 2)}, weights="a", n_images=3, n_checked=2, ap=0.5, ap_int8=0.498)


@pytest.mark.thorough
def test_says_what_it_costs_and_stores_it(embedseg, own, dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(calibrate, "why_not_calibrated", lambda: "")
    monkeypatch.setattr(calibrate, "calibrate", found)
    monkeypatch.setattr(calibrate, "_times_as_fast", lambda *_: 2.34)
    ended = embedseg("calibrate", own, dataset, "--output", tmp_path / "fast")
    assert ended.status == 0, ended.err
    said = "mean AP on 2 images: 0.5000 as before, 0.4980 in 8-bit integers (-0.0020); the network is 2.3 times"
    assert f"Measured on 3 images; {said}" in ended.out
    before, after = read_model_config(own), read_model_config(tmp_path / "fast.embedseg")
    assert (before.calibration, before.prediction.engine) == (None, "auto")
    assert (after.calibration.ranges, after.prediction.engine) == ({"first": (0.0, 2.0)}, "int8")
    again = embedseg("calibrate", own, dataset, "--output", tmp_path / "fast")
    assert after.name == "fast"
    assert (again.status, "exists already; move it away" in again.err) == (1, True)
    assert embedseg("calibrate", own, dataset).status == 0
    assert read_model_config(own) == after.model_copy(update={"name": before.name})
    assert "calibrated on 3 images; mean AP 0.498, otherwise 0.500" in embedseg("info", own).out


def test_a_bundled_model_needs_another_file(embedseg, dataset) -> None:
    ended = embedseg("calibrate", "nuclei-2d", dataset)
    assert ended.status == 1
    assert ended.err == "Error: nuclei-2d comes with the program and cannot be changed; duplicate it first.\n"


def test_without_openvino_it_says_how_to_have_it(embedseg, own, dataset, monkeypatch) -> None:
    monkeypatch.setattr("embedseg_napari.core.inference.openvino_engine.find_spec", lambda name: None)
    ended = embedseg("calibrate", own, dataset)
    assert ended.status == 1
    assert "Calibrating needs OpenVINO, which is not installed: pip install 'embedseg-napari[fast]'." in ended.err
    assert read_model_config(own).calibration is None


def test_a_name_with_a_dot_gets_its_ending_and_is_not_replaced(embedseg, own, dataset, tmp_path) -> None:
    theirs = tmp_path / "mine.v2.embedseg"
    theirs.write_text("precious")
    ended = embedseg("calibrate", own, dataset, "--output", tmp_path / "mine.v2")
    assert ended.status == 1
    assert f"{theirs.name}: exists already; move it away" in ended.err
    assert theirs.read_text() == "precious"
