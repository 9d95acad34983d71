"""``embedseg tune`` as a user types it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.model.model_file import read_model_config


@pytest.fixture
def own(trained, tmp_path):
    """A model of the user's, whose stored thresholds let nothing pass."""
    return shutil.copy(trained, tmp_path / "mine.embedseg")


def test_says_the_best_thresholds_and_stores_them_on_request(embedseg, own, dataset) -> None:
    stored, size = read_model_config(own).prediction, own.stat().st_size
    ended = embedseg("tune", own, dataset, "--device", "cpu")
    assert ended.status == 0, ended.err
    rows = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines() if line.split()}
    before, best = ([float(cell) for cell in rows[name]] for name in ("before", "best"))
    assert before[:2] == [stored.seed_threshold, stored.foreground_threshold]
    assert best[2] >= before[2]
    assert read_model_config(own).prediction == stored
    assert embedseg("tune", own, dataset, "--save", "--no-progress").status == 0
    found = read_model_config(own).prediction
    assert [found.seed_threshold, found.foreground_threshold] == best[:2]
    assert found.changed(stored.clustering) == stored
    assert abs(own.stat().st_size - size) < 200
    again = embedseg("tune", own, dataset, "--save")
    assert (again.status, "No thresholds are better" in again.out) == (0, True)


def test_a_bundled_model_is_duplicated_first(embedseg, dataset) -> None:
    ended = embedseg("tune", "nuclei-2d", dataset, "--save")
    assert ended.status == 1
    assert ended.err == "Error: nuclei-2d comes with the program and cannot be changed; duplicate it first.\n"
    assert ended.out == ""


def test_a_checkpoint_is_imported_first(embedseg, dataset, tmp_path) -> None:
    (tmp_path / "old.pth").write_bytes(b"")
    ended = embedseg("tune", tmp_path / "old.pth", dataset, "--save")
    assert (ended.status, "import this model first" in ended.err) == (1, True)


def test_held_out_images_count_where_there_are_some(embedseg, own, dataset, tmp_path) -> None:
    shutil.copytree(dataset, tmp_path / "set" / "train")
    for part in ("images", "masks"):
        (tmp_path / "set" / "val" / part).mkdir(parents=True)
        shutil.copy(dataset / part / "plate0_0.tif", tmp_path / "set" / "val" / part)
    ended = embedseg("tune", own, tmp_path / "set")
    assert ended.status == 0, ended.err
    assert "on 1 image" in ended.out


def test_what_is_wrong_is_one_sentence(embedseg, own, dataset, tmp_path) -> None:
    for words, fault in (
        (("no-such-model", dataset), "no-such-model"),
        ((own, tmp_path / "nowhere"), "nowhere"),
        ((own, dataset, "--channel", 3), "no channel 3"),
        ((own, dataset, "--device", "abacus"), "abacus"),
    ):
        ended = embedseg("tune", *words)
        assert ended.status == 1
        assert fault in ended.err
        assert len(ended.err.splitlines()) == 1


def test_the_file_that_is_wrong_is_named(embedseg, own, dataset, tmp_path) -> None:
    shutil.copytree(dataset, tmp_path / "set")
    for part in ("images", "masks"):
        one = tmp_path / "set" / part / "plate0_0.tif"
        array = tifffile.imread(one)
        # A volume among images.
        tifffile.imwrite(one, np.stack([array] * 5), imagej=True, metadata={"axes": "ZYX"})
    ended = embedseg("tune", own, tmp_path / "set")
    assert ended.status == 1
    assert f"{tmp_path / 'set' / 'images' / 'plate0_0.tif'}: The image has the spatial axes ZYX" in ended.err


def test_truth_that_is_no_truth_is_refused_before_anything_is_run(embedseg, own, dataset, tmp_path) -> None:
    shutil.copytree(dataset, tmp_path / "set")
    for one in (tmp_path / "set" / "masks").iterdir():
        tifffile.imwrite(one, np.zeros_like(tifffile.imread(one)))
    ended = embedseg("tune", own, tmp_path / "set")
    assert (ended.status, "no objects in this mask or any other" in ended.err) == (1, True)
    for one in (dataset / "masks").iterdir():
        tifffile.imwrite(tmp_path / "set" / "masks" / one.name, (tifffile.imread(one) > 0).astype(np.uint8) * 255)
    ended = embedseg("tune", own, tmp_path / "set")
    assert (ended.status, "binary mask" in ended.err) == (1, True)


def test_a_binary_mask_of_few_objects_is_named(embedseg, own, dataset, tmp_path) -> None:
    shutil.copytree(dataset, tmp_path / "set")
    first = sorted((tmp_path / "set" / "masks").iterdir())[0]
    labels = tifffile.imread(first)
    tifffile.imwrite(first, np.isin(labels, np.unique(labels)[1:3]).astype(np.uint8))
    ended = embedseg("tune", own, tmp_path / "set")
    assert ended.status == 0, ended.err
    assert f"Warning: {first}: 2 separate pieces share one number" in " ".join(ended.err.split())


def test_frames_of_movies_are_images_of_their_own(embedseg, own, dataset, tmp_path) -> None:
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
        movie = np.stack([tifffile.imread(dataset / part / "plate0_0.tif")] * 3)
        tifffile.imwrite(tmp_path / "set" / part / "m.tif", movie, imagej=True, metadata={"axes": "TYX"})
    ended = embedseg("tune", own, tmp_path / "set")
    assert ended.status == 0, ended.err
    assert "on 3 images" in ended.out
