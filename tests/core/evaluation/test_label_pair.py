"""Truth and prediction of one file: time axes, orders of axes, planes, and what is said of guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.folders import pair_folders
from embedseg_napari.core.evaluation.label_pair import read_pair

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.core.evaluation.label_pair import LabelPair


def frame(t: int) -> np.ndarray:
    """Four squares with numbers of their own in each frame."""
    labels = np.zeros((24, 30), np.uint16)
    for k in range(4):
        labels[2 + 12 * (k // 2) :, 3 + 14 * (k % 2) :][:6, :7] = 1 + (k + t) % 4
    return np.roll(labels, t, 1)


MOVIE = np.stack([frame(t) for t in range(5)])
OTHER = MOVIE.copy()
for t in range(5):
    OTHER[t] = np.array([0, 3, 1, 4, 2])[MOVIE[t]]


def save(path: Path, array: np.ndarray, axes: str | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if axes is None:
        tifffile.imwrite(path, array, photometric="minisblack")
    elif axes in ("TYX", "ZYX", "TZYX"):
        tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes})
    else:
        tifffile.imwrite(path, array, ome=True, photometric="minisblack", metadata={"axes": axes})


def read(folder: Path, axes: str | None = None) -> tuple[list[LabelPair], str]:
    (pair,), _ = pair_folders(folder / "truth", folder / "predicted")
    return read_pair(pair, axes=axes)


def ap(images: list[LabelPair]) -> list[float]:
    return [one.match()[0].ap for one in images]


@pytest.mark.parametrize(
    ("truth", "predicted", "word"),
    [("TYX", "TYX", ""), (None, "TYX", ""), ("TYX", None, ""), ("ZYX", "TYX", "--axes ZYX"), ("TYX", "ZYX", "--axes")],
)
def test_frames_are_images_of_their_own(tmp_path: Path, truth: str, predicted: str, word: str) -> None:
    save(tmp_path / "truth" / "a.tif", MOVIE, truth)
    save(tmp_path / "predicted" / "a.tif", OTHER, predicted)
    images, note = read(tmp_path)
    assert ap(images) == [1] * 5
    assert [(one.name, one.frame) for one in images] == [(f"a {t}", t) for t in range(5)]
    assert word in note
    assert bool(note) == bool(word)


def test_a_stack_that_no_file_explains_is_a_volume_and_that_is_said(tmp_path: Path) -> None:
    save(tmp_path / "truth" / "a.tif", MOVIE, None)
    save(tmp_path / "predicted" / "a.tif", OTHER, None)
    (one,), note = read(tmp_path)
    assert one.ndim == 3
    assert "--axes TYX" in note
    images, note = read(tmp_path, axes="TYX")
    assert (ap(images), note) == ([1] * 5, "")


def test_volumes_over_time(tmp_path: Path) -> None:
    volumes = np.repeat(MOVIE[:, None], 3, axis=1)
    others = np.repeat(OTHER[:, None], 3, axis=1)
    save(tmp_path / "truth" / "a.tif", volumes, "TZYX")
    for number, axes in enumerate(("TZYX", None)):
        save(tmp_path / "predicted" / "a.tif", others, axes)
        images, _ = read(tmp_path)
        assert ap(images) == [1] * 5, number
        assert images[0].ndim == 3
    save(tmp_path / "truth" / "a.tif", volumes, None)
    images, note = read(tmp_path)
    assert ap(images) == [1] * 5
    assert "TZYX" in note


def test_axes_in_another_order_are_turned(tmp_path: Path) -> None:
    save(tmp_path / "truth" / "a.ome.tif", np.repeat(MOVIE[None], 2, axis=0), "ZTYX")
    save(tmp_path / "predicted" / "a.tif", np.repeat(OTHER[:, None], 2, axis=1), "TZYX")
    images, _ = read(tmp_path)
    assert ap(images) == [1] * 5


def test_planes_of_frames(tmp_path: Path) -> None:
    planes = np.stack([[one == k for k in range(1, 5)] for one in MOVIE]).astype(np.uint8) * 255
    save(tmp_path / "truth" / "a.tif", planes, None)
    save(tmp_path / "predicted" / "a.tif", OTHER, "TYX")
    images, _ = read(tmp_path)
    assert ap(images) == [1] * 5
    assert images[0].is_true_planes


@pytest.mark.parametrize("axes", [None, "ZYX"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_planes_as_predictions(tmp_path: Path, axes: str | None, kind: type) -> None:
    planes = np.stack([MOVIE[0] == k for k in range(1, 5)])
    save(tmp_path / "truth" / "a.tif", planes.astype(kind) * 255, axes)
    save(tmp_path / "predicted" / "a.tif", planes[::-1].astype(kind), axes)
    (one,), note = read(tmp_path)
    assert one.are_planes
    assert ap([one]) == [1]
    assert "planes of one object each" in note
    assert read(tmp_path, axes="YX")[1] == ""
    save(tmp_path / "truth" / "a.tif", MOVIE[0], None)
    (one,), note = read(tmp_path)
    assert ap([one]) == [1]
    assert (one.is_true_planes, one.is_predicted_planes, note) == (False, True, "")


def test_a_volume_of_labels_is_not_taken_for_planes(tmp_path: Path) -> None:
    save(tmp_path / "truth" / "a.tif", MOVIE, None)
    save(tmp_path / "predicted" / "a.tif", OTHER[0], None)
    with pytest.raises(DataError, match=r"truth.a\.tif: plane 0 holds several numbers"):
        read(tmp_path)


@pytest.mark.parametrize("predicted", [MOVIE[:4], MOVIE[0], MOVIE[:, 1:]])
def test_time_lapses_that_do_not_fit(tmp_path: Path, predicted: np.ndarray) -> None:
    save(tmp_path / "truth" / "a.tif", MOVIE, "TYX")
    save(tmp_path / "predicted" / "a.tif", predicted, "TYX" if predicted.ndim == 3 else None)
    with pytest.raises(DataError, match=r"predicted.a\.tif"):
        read(tmp_path)


def test_unknown_pixels_of_frames(tmp_path: Path) -> None:
    save(tmp_path / "set" / "masks" / "a.tif", MOVIE, "TYX")
    save(tmp_path / "set" / "ignore" / "A.ome.tif", (MOVIE == 1).astype(np.uint8), None)
    save(tmp_path / "predicted" / "a.tif", np.where(MOVIE == 1, 0, OTHER), "TYX")
    (pair,), _ = pair_folders(tmp_path / "set", tmp_path / "predicted")
    images, _ = read_pair(pair)
    assert ap(images) == [1] * 5
    images, _ = read_pair(pair, ignore_label=2)
    assert all(one.ignore is not None and one.ignore.any() for one in images)
    save(tmp_path / "set" / "ignore" / "A.ome.tif", np.zeros((4, 24, 30), np.uint8), None)
    with pytest.raises(DataError, match=r"ignore.A\.ome\.tif: has 4 frames"):
        read_pair(pair)
