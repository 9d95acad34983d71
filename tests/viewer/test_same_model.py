"""Trained in the viewer, on the command line and from Python: the same model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import yaml

pytest.importorskip("pyqtgraph")

import embedseg_napari as es
from embedseg_napari.cli import main
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.model.model_file import read_model_file
from embedseg_napari.core.training.threads import ThreadTuner

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {
    "epochs": 2,
    "minutes": None,
    "steps_per_epoch": 3,
    "crop_size": [32, 32],
    "batch_size": 2,
    "precision": "float32",
    "validation_fraction": 0.34,
    "seed": 7,
}


@pytest.fixture
def dataset(tmp_path: Path, blobs) -> Path:
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for number in range(6):
        image, labels = blobs(2, n=4 + number)
        write_image(tmp_path / "set" / "images" / f"{number}.tif", image, "YX")
        write_labels(tmp_path / "set" / "masks" / f"{number}.tif", labels, "YX")
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The same number of threads for all three: PyTorch keeps it per thread, and earlier tests leave others behind."""
    before = torch.get_num_threads()

    class OneThread(ThreadTuner):
        def __init__(self, *args, **options) -> None:
            torch.set_num_threads(1)
            super().__init__(*args, **options)

    monkeypatch.setattr("embedseg_napari.core.training.run.ThreadTuner", OneThread)
    yield
    torch.set_num_threads(before)


def in_the_viewer(open_panel, qtbot, dataset: Path) -> Path:
    panel = open_panel("EmbedSeg: Train")
    panel.from_folder.setChecked(True)
    panel.folder.setText(str(dataset))
    panel.folder.editingFinished.emit()
    panel.settings.form.set_values({name: value for name, value in SETTINGS.items() if name != "devices"})
    panel.settings.form.changed.emit()
    assert panel.settings.config() == es.TrainingConfig.preset("fast", **SETTINGS)
    qtbot.waitUntil(lambda: panel.train.isEnabled(), timeout=60_000)
    panel.train.click()
    with qtbot.waitSignal(panel.background.finished, timeout=120_000):
        pass
    return panel.saved.path


def test_three_ways_one_model(open_panel, qtbot, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    arguments = ["train", str(dataset), "--output", str(tmp_path / "cli.embedseg"), "--no-progress"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--config", str(tmp_path / "settings.yaml")])
    assert ended.value.code == 0
    es.train(dataset, es.TrainingConfig.preset("fast", **SETTINGS), output=tmp_path / "python.embedseg")
    files = [tmp_path / "cli.embedseg", tmp_path / "python.embedseg", in_the_viewer(open_panel, qtbot, dataset)]
    (first, config), *others = [read_model_file(file) for file in files]
    for weights, other in others:
        assert weights.keys() == first.keys()
        for name, value in first.items():
            assert torch.equal(weights[name], value), name
        # Names differ; how long the steps took does, too.
        assert other.prediction == config.prediction
        assert other.object_sizes == config.object_sizes
        assert other.training["settings"] == config.training["settings"]
        assert [row["loss"] for row in other.history] == [row["loss"] for row in config.history]
