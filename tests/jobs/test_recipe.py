"""Recipes: run again, they give the same labels."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import numpy as np
import pytest
from store_steps import write_store

import embedseg_napari as es
from embedseg_napari.cli import main
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.plane_stack import is_plane_file
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.core.inference import predictor
from embedseg_napari.core.inference.scale_search import FoundScale
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.stores.labels import create_labels
from embedseg_napari.jobs.folder.plan import FolderJob
from embedseg_napari.jobs.folder.segment_folder import segment_folder
from embedseg_napari.jobs.recipe import SegmentRecipe, file_hash, methods_sentence, of_image, of_words, read_recipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def image(tmp_path) -> Path:
    """Two channels of nuclei, the second one empty, with a pixel size."""
    path = tmp_path / "some images" / "nuclei 1.tif"
    one = nuclei((128, 160), diameter=24, seed=2).image
    write_image(path, np.stack([one, 0 * one]), "CYX", (0.5, 0.5), "um")
    return path


def run(command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "embedseg"
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    assert ended.value.code in (0, None)


CHANGES = {"seed_threshold": 0.85, "fill_holes": True, "drop_border_objects": True, "tta": False, "scale": 1.1}


def test_command_and_script_give_the_same_labels(image, tmp_path) -> None:
    job = SegmentRecipe(image, "nuclei-2d", tmp_path / "out", "CYX", 0, (0.5, 0.5), "cpu", CHANGES)
    wanted = es.load_model("nuclei-2d", device="cpu").predict(
        read_image(image).array[0], "YX", spacing=(0.5, 0.5), **CHANGES
    )
    assert wanted.labels.max() > 3
    recipe = of_image(job)
    run(recipe.command)
    made = read_image(tmp_path / "out" / "nuclei 1.tif", labels=True)
    np.testing.assert_array_equal(made.array, wanted.labels)
    made.path.unlink()
    exec(compile(recipe.script, "script", "exec"), {})
    again = read_image(tmp_path / "out" / "nuclei 1.tif", labels=True)
    np.testing.assert_array_equal(again.array, wanted.labels)
    assert (again.axes, again.spacing, again.unit) == ("YX", (0.5, 0.5), "um")


@pytest.mark.parametrize("said", [None, "nm"])
def test_a_pixel_size_that_was_typed_counts_in_the_script_as_in_the_command(tmp_path, said) -> None:
    path, made = tmp_path / "movie.tif", tmp_path / "out" / "movie.tif"
    movie = np.stack([nuclei((96, 96), diameter=24, seed=seed).image for seed in range(2)])
    write_image(path, movie, "TYX", None if said is None else (7.0, 7.0), said, interval=30.0)
    recipe = of_image(SegmentRecipe(path, "nuclei-2d", tmp_path / "out", "TYX", spacing=(0.5, 0.25), device="cpu"))
    run(recipe.command)
    by_command = read_image(made, labels=True)
    made.unlink()
    exec(compile(recipe.script, "script", "exec"), {})
    by_script = read_image(made, labels=True)
    np.testing.assert_array_equal(by_script.array, by_command.array)
    told = [(one.spacing, one.unit, one.interval) for one in (by_command, by_script)]
    assert told == [(pytest.approx((0.5, 0.25)), "um", 30)] * 2


def test_objects_shown_whole_are_written_as_planes(image, tmp_path) -> None:
    wanted = es.load_model("nuclei-2d", device="cpu").predict(read_image(image).array[0], "YX", spacing=(0.5, 0.5))
    recipe = of_image(SegmentRecipe(image, "nuclei-2d", tmp_path / "out", "CYX", 0, (0.5, 0.5), "cpu", planes=True))
    made = tmp_path / "out" / "nuclei 1.tif"
    run(recipe.command)
    np.testing.assert_array_equal(read_image(made, labels=True).array, wanted.planes)
    made.unlink()
    exec(compile(recipe.script, "script", "exec"), {})
    np.testing.assert_array_equal(read_image(made, labels=True).array, wanted.planes)
    assert is_plane_file(made)


def test_a_part_of_an_image_is_a_script(image, tmp_path) -> None:
    job = SegmentRecipe(image, "nuclei-2d", tmp_path / "out", "CYX", 0, region={"Y": (10, 110), "X": (0, 120)})
    recipe = of_image(job)
    assert recipe.command == ""
    exec(compile(recipe.script, "script", "exec"), {})
    wanted = es.load_model("nuclei-2d").predict(read_image(image).array[0, 10:110, :120], "YX")
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "nuclei 1.tif").array, wanted.labels)


def test_labels_of_a_run_have_their_recipe_beside_them(image, tmp_path) -> None:
    job = FolderJob((image,), tmp_path / "out", "nuclei-2d", "cpu", {"seed_threshold": 0.8}, channel=0)
    drain(segment_folder(job, never))
    labels = tmp_path / "out" / "nuclei 1.tif"
    first = read_image(labels).array
    recipe = read_recipe(labels)
    assert recipe["settings"]["seed_threshold"] == 0.8
    assert recipe["model"]["name"] == "nuclei-2d"
    assert len(recipe["model"]["sha256"]) == len(recipe["image"]["sha256"]) == 64
    assert recipe["labels"]["n_objects"] == first.max()
    assert "nuclei-2d" in recipe["methods"]
    assert "seed threshold 0.8" in recipe["methods"]
    assert any("Lalit" in reference for reference in recipe["references"])
    # Nothing is replaced by the command of the recipe.
    labels.unlink()
    (tmp_path / "out" / "recipes" / "nuclei 1.json").unlink()
    run(recipe["command"])
    np.testing.assert_array_equal(read_image(labels).array, first)


def test_a_threshold_that_was_not_looked_at_is_not_told() -> None:
    told = methods_sentence({"name": "nuclei-2d"}, PredictionConfig(seeds="local_maxima"))
    assert "(seeds at local maxima, foreground threshold 0.5" in told
    assert "seed threshold" not in told


def test_the_recipe_holds_the_scale_that_was_found(image, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(predictor, "find_scale", lambda *_: FoundScale(0.5, 1.0))
    job = FolderJob((image,), tmp_path / "out", "nuclei-2d", "cpu", {"find_scale": True}, channel=0)
    drain(segment_folder(job, never))
    recipe = read_recipe(tmp_path / "out" / "nuclei 1.tif")
    assert recipe["settings"]["scale"] == 0.5
    assert "images resized by 0.5" in recipe["methods"]
    assert "--find-scale" in recipe["command"]


def test_a_script_runs_a_command(tmp_path, image) -> None:
    table = tmp_path / "it's.csv"
    labels = tmp_path / "l.tif"
    write_image(labels, np.ones((3, 3), np.uint8), "YX")
    recipe = of_words(["embedseg", "measure", str(labels), "--output", str(table)])
    with pytest.raises(SystemExit):
        exec(compile(recipe.script, "script", "exec"), {})
    first = table.read_text()
    table.unlink()
    run(recipe.command)
    assert table.read_text() == first


@pytest.mark.parametrize("image", ["", "0"])
def test_labels_that_a_store_holds_are_no_part_of_its_image(tmp_path, image) -> None:
    pixels = np.ones((20, 20), np.uint16)
    # As bioformats2raw does, or an image itself.
    path = write_store(tmp_path / "a.zarr" / image, pixels)
    before = file_hash(tmp_path / "a.zarr")
    create_labels(path, open_image(path), name="nuclei", block=(20, 20))
    assert file_hash(tmp_path / "a.zarr") == before
    write_store(path, pixels + 1)
    assert file_hash(tmp_path / "a.zarr") != before


def test_what_is_no_recipe_is_refused(tmp_path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "a.json").write_text(json.dumps({"shapes": []}))
    with pytest.raises(es.EmbedSegError, match="is no recipe"):
        read_recipe(tmp_path / "a.tif")
