"""``embedseg info`` as a user types it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import tifffile
from store_steps import write_store

from embedseg_napari.core.config import ModelConfig
from embedseg_napari.core.files.leftovers import run_beside
from embedseg_napari.core.model.model import load_model


def test_the_card_says_what_the_model_takes(embedseg, trained):
    ended = embedseg("info", trained)
    assert ended.status == 0, ended.err
    for text in (
        "unet, 2D",
        "CYX, 1 channel",
        "Seed threshold",
        "on 6 images with 24 objects",
        "Training curve",
    ):
        assert text in ended.out
    assert "\x1b" not in ended.out


def test_json_is_the_whole_configuration(embedseg, trained):
    ended = embedseg("info", trained, "--json")
    assert ended.status == 0
    config = ModelConfig.parse(json.loads(ended.out))
    assert config.training["n_objects"] == 24
    assert len(config.history) == 1


def test_an_unknown_model_is_named(embedseg):
    ended = embedseg("info", "no-such-model")
    assert ended.status == 1
    assert "no-such-model" in ended.err


def test_scores_of_single_held_out_objects_are_not_called_images(embedseg, trained, tmp_path):
    model = load_model(trained, "cpu")
    record = {**model.config.training, "best_score": 0.5, "n_held_out_objects": 4, "n_validation_images": 0}
    model.config = model.config.model_copy(update={"training": record})
    ended = embedseg("info", model.save(tmp_path / "few.embedseg"))
    assert "it finds 50 % of the 4 held-out objects" in " ".join(ended.out.split())
    assert "image" in ended.out
    assert "held-out image" not in ended.out


def test_labels_say_how_they_were_made(embedseg, trained, tmp_path, draw) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", draw(0)[0], photometric="minisblack")
    assert embedseg("predict", trained, tmp_path / "in", "--output", tmp_path / "out").status == 0
    labels = tmp_path / "out" / "a.tif"
    ended = embedseg("info", labels)
    assert ended.status == 0, ended.err
    assert "Objects were segmented with EmbedSeg" in ended.out
    assert "Medical Image Analysis 81" in ended.out
    assert "was changed" not in ended.out
    recipe = json.loads(embedseg("info", labels, "--json").out)
    assert recipe["image"]["file"] == "a.tif"
    tifffile.imwrite(labels, tifffile.imread(labels), photometric="minisblack")
    assert "the label image was changed" in embedseg("info", labels).out


def test_an_image_is_described_with_what_its_file_leaves_open(embedseg, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.ones((3, 40, 50), np.uint16), imagej=True, resolution=(2, 2), metadata={"axes": "ZYX", "unit": "um"}
    )
    ended = embedseg("info", path)
    assert ended.status == 0, ended.err
    for text in ("Image a.tif", "ZYX", "3 x 40 x 50", "uint16", "0.5 x 0.5 µm"):
        assert text in ended.out
    assert json.loads(embedseg("info", path, "--json").out)["shape"] == [3, 40, 50]
    tifffile.imwrite(path, np.ones((3, 40, 50), np.uint16), photometric="minisblack")
    assert "not named" in embedseg("info", path).out
    path.write_text("no image")
    ended = embedseg("info", path)
    assert ended.status == 1
    assert "holds text" in ended.err


def test_a_store_is_described(embedseg, tmp_path):
    path = write_store(tmp_path / "im.ome.zarr", np.ones((2, 130, 100), np.uint8), "cyx", levels=2, channels=("a", "b"))
    ended = embedseg("info", path)
    assert ended.status == 0, ended.err
    for text in ("OME-Zarr im.ome.zarr (image)", "2 x 130 x 100", "2 x 65 x 50", "0.5 x 0.5 µm", "a, b"):
        assert text in ended.out
    found = json.loads(embedseg("info", path, "--json").out)
    assert (found["axes"], found["levels"], found["labels"]) == ("CYX", [[2, 130, 100], [2, 65, 50]], [])
    for name in ("0", "1"):
        shutil.copytree(path, tmp_path / "all.zarr" / name)
    (tmp_path / "all.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    assert "holds 2 images; the first, 0, is read" in " ".join(embedseg("info", tmp_path / "all.zarr").err.split())


def test_labels_that_are_not_complete_say_so_once_with_their_name(embedseg, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.eye(40, dtype=np.uint8), photometric="minisblack")
    path = tmp_path / "labels.ome.zarr"
    assert embedseg("export", tmp_path / "a.tif", "--format", "ome-zarr", "--output", path).status == 0
    assert json.loads(embedseg("info", path, "--json").out)["complete"]
    run_beside(path).mkdir()
    ended = embedseg("info", path)
    assert "not complete" in ended.out
    ended = embedseg("export", path, "--format", "geojson", "--output", tmp_path / "a.geojson")
    assert ended.status == 0
    assert ended.err.count("is not complete") == ended.err.count(f"{path}: is not complete") == 1
