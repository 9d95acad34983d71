from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.diagnosis import compare, diagnose
from embedseg_napari.core.evaluation.error_map import Mark, paint
from embedseg_napari.core.evaluation.folders import pair_folders
from embedseg_napari.core.evaluation.label_pair import read_pair


def write(folder: Path, name: str, array: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / name, array, photometric="minisblack")


@pytest.fixture
def labels() -> np.ndarray:
    return np.kron(np.array([[1, 2], [0, 3]], np.uint16), np.ones((4, 4), np.uint16))


def test_pairs_by_name_in_natural_order(tmp_path: Path, labels: np.ndarray) -> None:
    for name in ("a10.tif", "a2.tif"):
        write(tmp_path / "truth" / "masks", name, labels)
        write(tmp_path / "predicted", name.replace(".tif", ".ome.tif"), labels)
    write(tmp_path / "predicted", "more.tif", labels)
    pairs, extra = pair_folders(tmp_path / "truth", tmp_path / "predicted")
    assert [pair.name for pair in pairs] == ["a2", "a10"]
    assert extra == ["more"]
    (one,), note = read_pair(pairs[0])
    assert (one.ignore, one.frame, note) == (None, None, "")
    np.testing.assert_array_equal(one.true, one.predicted)


def test_planes_are_told_by_their_axis(tmp_path: Path, labels: np.ndarray) -> None:
    write(tmp_path / "truth", "a.tif", np.stack([labels == i for i in (1, 2, 3)]).astype(np.uint8) * 255)
    write(tmp_path / "predicted", "a.tif", labels)
    (one,), _ = read_pair(pair_folders(tmp_path / "truth", tmp_path / "predicted")[0][0])
    assert one.true.dtype == bool
    assert one.true.shape == (3, 8, 8)


def test_missing_predictions_are_named(tmp_path: Path, labels: np.ndarray) -> None:
    write(tmp_path / "truth", "a.tif", labels)
    write(tmp_path / "truth", "b.tif", labels)
    write(tmp_path / "predicted", "a.tif", labels)
    with pytest.raises(DataError, match=r"1 of 2 true images \(b\)"):
        pair_folders(tmp_path / "truth", tmp_path / "predicted")


def test_empty_folder(tmp_path: Path, labels: np.ndarray) -> None:
    write(tmp_path / "truth", "a.tif", labels)
    (tmp_path / "predicted").mkdir()
    with pytest.raises(DataError, match="no images"):
        pair_folders(tmp_path / "truth", tmp_path / "predicted")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8), np.float32), "whole numbers"),
        (np.full((8, 8), -1, np.int16), "negative"),
        (np.zeros((8, 9), np.uint16), "same size"),
    ],
)
def test_files_that_cannot_be_scored(tmp_path: Path, labels: np.ndarray, array: np.ndarray, message: str) -> None:
    write(tmp_path / "truth", "a.tif", labels)
    write(tmp_path / "predicted", "a.tif", array)
    with pytest.raises(DataError, match=message):
        read_pair(pair_folders(tmp_path / "truth", tmp_path / "predicted")[0][0])


def test_two_files_are_a_pair_whatever_their_names(tmp_path: Path, labels: np.ndarray) -> None:
    for folder, name in (
        ("set/masks", "a.tif"),
        ("set/masks", "b.tif"),
        ("set/ignore", "A.tif"),
        ("set/ignore", "b.tif"),
    ):
        write(tmp_path / folder, name, labels)
    write(tmp_path, "found.tif", labels)
    ((pair,), extra) = pair_folders(tmp_path / "set" / "masks" / "a.tif", tmp_path / "found.tif")
    assert (pair.name, pair.predicted.name, pair.ignore, extra) == (
        "a",
        "found.tif",
        tmp_path / "set" / "ignore" / "A.tif",
        [],
    )
    with pytest.raises(DataError, match="no such folder"):
        pair_folders(tmp_path / "set", tmp_path / "found.tif")


def test_foreground_alone_is_one_object_whose_mistakes_can_be_painted(tmp_path: Path, labels: np.ndarray) -> None:
    for folder in ("truth", "predicted"):
        write(tmp_path / folder, "a.tif", labels != 0)
    (one,), _ = read_pair(pair_folders(tmp_path / "truth", tmp_path / "predicted")[0][0])
    compared = compare(one.true, one.predicted)
    painted = paint(one.true, one.predicted, compared, diagnose(compared, 0.5))
    np.testing.assert_array_equal(painted == Mark.FOUND, labels != 0)


@pytest.mark.parametrize("truth", [".", "a.tif"])
def test_ignore_masks_are_found_from_within_the_folder_of_masks(
    tmp_path: Path, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch, truth: str
) -> None:
    write(tmp_path / "set" / "masks", "a.tif", labels)
    write(tmp_path / "set" / "ignore", "a.tif", labels)
    write(tmp_path / "predicted", "a.tif", labels)
    monkeypatch.chdir(tmp_path / "set" / "masks")
    predicted = tmp_path / "predicted"
    ((pair,), _) = pair_folders(Path(truth), predicted / "a.tif" if truth == "a.tif" else predicted)
    assert pair.ignore == tmp_path / "set" / "ignore" / "a.tif"


def test_ignore_masks_without_truth_are_named(tmp_path: Path, labels: np.ndarray) -> None:
    write(tmp_path / "set" / "masks", "a.tif", labels)
    write(tmp_path / "set" / "ignore", "b.tif", labels)
    write(tmp_path / "predicted", "a.tif", labels)
    with pytest.raises(DataError, match=r"ignore.b\.tif: there is no label image of this name"):
        pair_folders(tmp_path / "set", tmp_path / "predicted")


def test_formats_may_differ(tmp_path: Path, labels: np.ndarray) -> None:
    write(tmp_path / "truth", "a.tif", labels)
    (tmp_path / "predicted").mkdir()
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "predicted" / "A.PNG")
    ((pair,), _) = pair_folders(tmp_path / "truth", tmp_path / "predicted")
    (one,), _ = read_pair(pair)
    np.testing.assert_array_equal(one.true, one.predicted)
