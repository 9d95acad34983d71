from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from embedseg_napari import load_model
from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.model.known_models import models_folder
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.erfnet import BranchedERFNet

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_model_goes_through_its_life(embedseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[Path] = []
    monkeypatch.setattr("send2trash.send2trash", gone.extend)
    assert embedseg("models", "duplicate", "nuclei-2d", "mine").status == 0
    assert embedseg("models", "rename", "mine", "ours").status == 0
    listed = embedseg("models", "list")
    assert listed.status == 0
    assert "nuclei-2d" in listed.out
    assert "ours" in listed.out
    assert "mine" not in listed.out
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((32, 32), np.uint8))
    assert embedseg("predict", "ours", tmp_path / "a.tif", "--output", tmp_path / "out").status == 0
    assert embedseg("models", "export", "ours", tmp_path / "ours.embedseg").status == 0
    again = embedseg("models", "export", "ours", tmp_path / "ours.embedseg")
    assert again.status == 1
    assert "exists already" in again.err
    assert embedseg("models", "import", tmp_path / "ours.embedseg", "--name", "theirs").status == 0
    assert embedseg("info", "theirs").status == 0
    assert embedseg("models", "delete", "theirs", "--yes").status == 0
    assert gone == [models_folder() / "theirs.embedseg"]


def test_a_model_is_described_and_written_at_half_the_size(embedseg, tmp_path: Path) -> None:
    Model(ModelConfig(), BranchedERFNet(2)).save(models_folder() / "mine")
    assert embedseg("models", "describe", "mine").status == 2
    assert embedseg("models", "describe", "mine", "--description", "Cells.", "--license", "MIT").status == 0
    assert embedseg("models", "describe", "mine", "--default", "margin_scale=1.2").status == 0
    assert embedseg("models", "describe", "mine", "--default", "margin_scale").status == 2
    wrong = embedseg("models", "describe", "mine", "--default", "margin_scale=9")
    assert wrong.status == 1
    assert "margin_scale" in wrong.err
    assert embedseg("models", "describe", "mine", "--default", "tile=128,256").status == 0
    assert load_model("mine").config.prediction.margin_scale == 1.2
    assert load_model("mine").config.prediction.tile == (128, 256)
    info = embedseg("info", "mine").out
    assert "Cells." in info
    assert "MIT" in info
    embedseg("models", "export", "mine", tmp_path / "half.embedseg", "--half")
    embedseg("models", "export", "mine", tmp_path / "full.embedseg")
    sizes = [(tmp_path / f"{name}.embedseg").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.6 * sizes[1]
    assert load_model(tmp_path / "half.embedseg").config.description == "Cells."


def test_deleting_asks_first(embedseg, monkeypatch: pytest.MonkeyPatch) -> None:
    embedseg("models", "duplicate", "nuclei-2d", "mine")
    monkeypatch.setattr("typer.confirm", lambda text, abort: (_ for _ in ()).throw(__import__("typer").Abort()))
    assert embedseg("models", "delete", "mine").status != 0
    assert (models_folder() / "mine.embedseg").exists()


def test_what_cannot_be_done_is_one_sentence(embedseg, tmp_path: Path) -> None:
    for words, sentence in {
        ("models", "delete", "nuclei-2d", "-y"): "comes with the program",
        ("models", "rename", "nope", "x"): "no model 'nope'",
        ("models", "import", str(tmp_path / "gone.pth")): "no such file",
    }.items():
        ended = embedseg(*words)
        assert ended.status == 1
        assert sentence in ended.err
    assert embedseg("models", "import", "a", "b", "--name", "x").status == 2


def test_a_damaged_model_is_listed_as_such(embedseg) -> None:
    models_folder().mkdir(parents=True)
    (models_folder() / "bad.embedseg").write_bytes(b"x")
    ended = embedseg("models", "list")
    assert ended.status == 0
    assert "cannot be used" in ended.out
    assert "is damaged" in ended.err


def test_original_checkpoints_are_imported(embedseg, golden, tmp_path: Path) -> None:
    source = shutil.copy(golden("legacy_3d.pth"), tmp_path / "best_iou_model.pth")
    (tmp_path / "normalization.json").write_text('{"norm": "mean-std"}')
    ended = embedseg("models", "import", source)
    assert "best_iou_model (3D, 1 channel)" in ended.out
    assert "Warning: " in ended.err
    assert "assumed: a grid of 1024 samples, voxels as deep as wide" in ended.err
    assert load_model("best_iou_model").config.normalization.method == "mean-std"


def test_a_package_is_made_of_a_real_picture(embedseg, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 255, (40, 64), np.uint8))
    package = tmp_path / "nuclei.zip"
    assert (
        embedseg("models", "export", "nuclei-2d", package, "--image", tmp_path / "a.tif", "--author", "A").status == 0
    )
    assert embedseg("models", "import", package, "--name", "back").status == 0
    first, back = load_model("nuclei-2d"), load_model("back")
    image = tifffile.imread(tmp_path / "a.tif")
    np.testing.assert_array_equal(first.predict(image, "YX").labels, back.predict(image, "YX").labels)
