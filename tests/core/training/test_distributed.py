"""Training shared by two processes, as torchrun starts them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.model.model_file import read_model_config
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer

SETTINGS = """
devices: 2
minutes: null
epochs: 1
steps_per_epoch: 2
batch_size: 1
crop_size: [32, 32]
precision: float32
"""


def test_two_processes_train_one_model_and_one_of_them_speaks(blobs, tmp_path):
    for i in range(2):
        image, labels = blobs(2)
        for part, write, array in (("images", write_image, image), ("masks", write_labels, labels)):
            (tmp_path / part).mkdir(exist_ok=True)
            write(tmp_path / part / f"{i}.tif", np.roll(array, i, 0), "YX")
    (tmp_path / "two.yaml").write_text(SETTINGS)
    output = tmp_path / "m.embedseg"
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = ["-m", "embedseg_napari", "train", str(tmp_path), "--output", str(output), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, *launch, *command, "--config", str(tmp_path / "two.yaml")],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Training on 2 images") == 1
    assert read_model_config(output).training["steps"] == 2


def test_several_devices_without_their_launcher_are_refused_at_once(blobs, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(SettingsError, match="torchrun --nproc_per_node 2"):
        drain(Trainer(TrainingConfig(devices=2), [blobs(2)], []).run())
