"""Folders of frames: which of them are there, and which image is whose."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.tracking.frame_folder import FrameFolder


def folder_of(path, names):
    """Frames whose pixels are their place in the list."""
    path.mkdir()
    for number, name in enumerate(names):
        tifffile.imwrite(path / f"{name}.tif", np.full((4, 5), number, np.uint16))
    return path


def opened(path, labels_folder=None):
    said: list[str] = []
    return FrameFolder(path, "YX", True, said.append, labels_folder), said


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["t003", "t005"], ""),
        (["t003", "t004", "t006"], "t005 is missing"),
        (["t8 ch1", "t9 ch1", "t12 ch1"], "2 frames are missing, the first of them t10 ch1"),
        (["t1 ch0", "t1 ch1", "t3 ch0", "t3 ch1"], ""),
        (["a_9", "a_10", "a_14"], ""),
        (["a_8", "a_9", "a_10", "a_13"], "2 frames are missing, the first of them a_11"),
        (["t0", "t5", "t10", "t20"], "t15 is missing"),
        (["first", "second", "third"], ""),
        (["a1", "b2", "b4"], ""),
    ],
)
def test_frames_that_are_missing_are_told(tmp_path, names, words) -> None:
    _, said = opened(folder_of(tmp_path / "frames", names))
    expected = f"If the numbers in the names count frames, {words}"
    assert [one.split(";")[0] for one in said] == [expected] * bool(words)


@pytest.mark.parametrize(
    "images",
    [
        ["t1", "t2", "t10"],
        ["T1", "T2", "T10"],
        ["img001", "img002", "img010"],
        ["e1_t001_ch00", "e1_t002_ch00", "e1_t010_ch00"],
    ],
)
def test_images_are_those_of_their_labels_by_name_or_number(tmp_path, images) -> None:
    labels = folder_of(tmp_path / "labels", ["t1", "t2", "t10"])
    frames, _ = opened(folder_of(tmp_path / "images", images), labels)
    assert frames[:, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (["t1", "t2", "t4"], "images: holds no image of the frame t3"),
        (["t1", "t2", "t3", "t4"], "labels: holds no labels of the frame t4"),
        (["i1", "i2", "i4"], "images: holds no image of the frame t3"),
        (["x", "y", "z"], "images: which image and which labels are of one frame cannot be told from the names"),
        (["e1 c0", "e1 c1", "e2 c0"], "images: which image and which labels are of one frame cannot be told"),
    ],
)
def test_frames_without_image_or_labels_are_refused(tmp_path, images, words) -> None:
    labels = folder_of(tmp_path / "labels", ["t1", "t2", "t3"])
    with pytest.raises(DataError, match=words):
        opened(folder_of(tmp_path / "images", images), labels)
