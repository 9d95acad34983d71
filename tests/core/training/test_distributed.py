"""Training shared by two processes, as torchrun starts them."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys

import numpy as np
import pytest

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.model.model import load_model
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


@pytest.fixture
def dataset(blobs, tmp_path):
    for i in range(2):
        image, labels = blobs(2)
        for part, write, array in (("images", write_image, image), ("masks", write_labels, labels)):
            (tmp_path / part).mkdir(exist_ok=True)
            write(tmp_path / part / f"{i}.tif", np.roll(array, i, 0), "YX")
    return tmp_path


@pytest.mark.thorough
def test_one_of_two_processes_speaks_and_ctrl_c_stops_both_with_a_model(dataset, tmp_path):
    (tmp_path / "two.yaml").write_text(SETTINGS.replace("epochs: 1", "epochs: 500"))
    output = tmp_path / "m.embedseg"
    command = ["-m", "embedseg_napari", "train", str(tmp_path), "--output", str(output), "--device", "cpu"]
    run = torchrun(*command, "--config", str(tmp_path / "two.yaml"), start_new_session=True)
    assert run.stdout is not None
    heard = ""
    while "epoch 1" not in heard:
        heard += run.stdout.readline()
    # As a terminal does: to all processes of the group.
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert heard.count("Training on 2 images") == 1
    assert said.count("Stopping after this step") == 1
    assert 0 < read_model_config(output).training["steps"] < 1000


def torchrun(*words, n=2, **options):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(n)]
    return subprocess.Popen(
        [sys.executable, *launch, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


STEPS = """
import json, sys
from pathlib import Path
from embedseg_napari.core import events
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.training.trainer import train

folder, batch, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
config = TrainingConfig(
    minutes=None, epochs=1, steps_per_epoch=2, batch_size=batch, crop_size=(32, 32), precision="float32",
    augmentation={"noise": 0.05, "gamma": 0.2}, ignore_label=3, validation_fraction=0, architecture="unet",
)
losses = []
def hear(event):
    if isinstance(event, events.StepFinished):
        losses.append((event.loss, event.loss_instance, event.loss_variance, event.loss_seed))
train(folder, config, output=folder / f"{name}.embedseg", on_event=hear, device="cpu", progress=False)
import os
(folder / f"{name}-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(losses))
"""


@pytest.mark.thorough
def test_two_processes_learn_the_same_as_one_with_twice_the_batch(dataset, tmp_path, monkeypatch):
    script = tmp_path / "steps.py"
    script.write_text(STEPS)
    two = torchrun(str(script), str(dataset), "1", "two")
    monkeypatch.setattr(sys, "argv", [str(script), str(dataset), "2", "one"])
    runpy.run_path(str(script))
    _, said = two.communicate(timeout=280)
    assert two.returncode == 0, said
    losses = {name: json.loads((dataset / f"{name}.json").read_text()) for name in ("one-0", "two-0", "two-1")}
    # Mean over the processes, and known to all of them.
    assert losses["two-0"] == losses["two-1"]
    np.testing.assert_allclose(losses["two-0"], losses["one-0"], rtol=1e-5, atol=1e-9)
    weights = [load_model(dataset / f"{name}.embedseg", "cpu").network.state_dict() for name in ("one", "two")]
    for name, value in weights[0].items():
        # Adam takes a whole step, of up to 2e-3, also where a gradient is nothing but rounding: hardly anywhere.
        away = (weights[1][name].double() - value.double()).abs().flatten().numpy()
        assert away.mean() < 5e-6, name
        assert np.count_nonzero(away > 1e-4) <= 1 + 1e-4 * away.size, name


@pytest.mark.slow
def test_what_goes_wrong_is_said_once_and_ends_all(tmp_path):
    run = torchrun("-m", "embedseg_napari", "train", str(tmp_path), "--output", str(tmp_path / "m.embedseg"))
    _, said = run.communicate(timeout=100)
    assert run.returncode != 0
    assert said.count("found neither images/ and masks/") == 1


def test_several_devices_without_their_launcher_are_refused_at_once(blobs, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(SettingsError, match="torchrun --nproc_per_node 2"):
        drain(Trainer(TrainingConfig(devices=2), [blobs(2)], []).run())
