"""The check before training says in words what was found."""

from __future__ import annotations

import subprocess
import sys

import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import from_arrays
from embedseg_napari.jobs.preflight import inspect_data, inspect_plan


@pytest.mark.parametrize("ndim", [2, 3])
def test_findings_name_objects_sizes_crops_device_and_memory(blobs, ndim):
    examples = from_arrays([blobs(ndim)], spacing=(2.0, 0.5, 0.5)[-ndim:])
    found = inspect_plan(examples, None, TrainingConfig(), None, "cpu")
    rows = dict(found.rows)
    assert not found.problem
    assert rows["Objects"].startswith("6,")
    assert f"{ndim}D" in rows["Kind"]
    assert "pixels on average" in rows["Size"]
    assert "64 x 64 pixels" in rows["Crops"]
    assert rows["Device"].startswith("CPU")
    assert "GB for a step" in rows["Memory"]
    assert ("4 times as deep" in rows["Pixel size"]) == (ndim == 3)
    # Six objects are few.
    assert any("Only 6 labelled objects" in warning for warning in found.warnings)


def test_faults_are_problems_not_errors(blobs):
    image, labels = blobs(2)
    assert "label some objects" in inspect_data(from_arrays([(image, 0 * labels)]), None).problem
    settings = TrainingConfig(crop_size=(8, 64, 64))
    found = inspect_plan(from_arrays([(image, labels)]), None, settings, None, "cpu")
    assert "crop_size" in found.problem
    assert found.rows


def test_images_held_out_are_counted(blobs):
    examples = from_arrays([blobs(2)] * 10, names=[f"image {i}" for i in range(10)])
    found = inspect_plan(examples, None, TrainingConfig(validation_fraction=0.2), None, "cpu")
    assert dict(found.rows)["Images"].startswith("8 to train on, 2 held out")
    # Without a plan nothing is said about what the trainer will hold out.
    assert dict(inspect_data(examples, None).rows)["Images"] == "10"
    found = inspect_data(examples[:8], examples[8:9])
    assert dict(found.rows)["Images"].startswith("8 to train on, 1 held out")


def test_objects_held_out_of_few_images_are_counted(blobs):
    image, labels = blobs(2, 14, 96)
    found = dict(inspect_plan(from_arrays([(image, labels)]), None, TrainingConfig(), None, "cpu").rows)["Images"]
    assert found.startswith("1; ")
    assert "held out to score the model" in found
    off = TrainingConfig(validation_fraction=0)
    assert "none held out" in dict(inspect_plan(from_arrays([(image, labels)]), None, off, None, "cpu").rows)["Images"]


def test_more_memory_than_there_is_warns(blobs, monkeypatch):
    monkeypatch.setattr("embedseg_napari.jobs.preflight.memory_available", lambda device: 2.0**20)
    found = inspect_plan(from_arrays([blobs(2)]), None, TrainingConfig(), None, "cpu")
    assert "more memory than is free" in found.warnings[0]


def test_looking_at_data_loads_no_torch():
    code = (
        "import sys, numpy as np\n"
        "from embedseg_napari.core.data.pairs import from_arrays\n"
        "from embedseg_napari.jobs.preflight import inspect_data\n"
        "labels = np.zeros((32, 32), np.int32); labels[4:9, 4:9] = 1\n"
        "assert inspect_data(from_arrays([(np.random.rand(32, 32), labels)]), None).rows\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
