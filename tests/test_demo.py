"""The demonstration, made small: it tells its story and leaves what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.io import imread

from embedseg_napari import demo
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.files.tiff import read_image


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo, "N_TRAINING", 2)
    monkeypatch.setattr(demo, "N_HELD_OUT", 2)
    monkeypatch.setattr(demo, "SHAPE", (64, 80))
    monkeypatch.setattr(demo, "SMALL", {"crop_size": (32, 32), "batch_size": 1, "precision": "float32"})


@pytest.mark.usefixtures("small")
def test_goes_the_whole_way_and_again(tmp_path):
    lines = []
    for overwrite in (False, True):
        scores = demo.run(tmp_path / "demo", minutes=0.02, report=lines.append, overwrite=overwrite)
    assert set(scores) == {"otsu", "embedseg"}
    assert all(0 <= value <= 1 for value in scores.values())
    assert any(f"{scores['embedseg']:.3f}" in line for line in lines)
    assert any(f"{scores['otsu']:.3f}" in line for line in lines)
    names = ["nuclei-03.tif", "nuclei-04.tif"]
    assert sorted(path.name for path in (tmp_path / "demo" / "segmented").iterdir()) == names
    for name in names:
        image = read_image(tmp_path / "demo" / "held-out" / "images" / name)
        labels = read_image(tmp_path / "demo" / "segmented" / name)
        assert labels.array.shape == image.array.shape == (64, 80)
        assert labels.spacing == pytest.approx(image.spacing)
    assert (tmp_path / "demo" / "nuclei.embedseg").is_file()
    picture = imread(tmp_path / "demo" / "overview.png")
    # Two rows of four panels, enlarged, with a frame of two pixels.
    assert picture.shape == (2 * (2 * 64 + 4), 4 * (2 * 80 + 4), 3)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "name", ["nuclei.embedseg", "overview.png", "train/masks/nuclei-01.tif", "segmented/nuclei-04.tif"]
)
def test_replaces_nothing_unasked(tmp_path, name):
    mine = tmp_path / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(DataError, match=f"{mine.name}: exists already"):
        demo.run(tmp_path, minutes=0.02)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


@pytest.mark.usefixtures("small")
def test_a_stop_keeps_the_model_so_far_and_scores_nothing(tmp_path):
    lines = []

    def has_begun():
        return any("%  step" in line for line in lines)

    assert demo.run(tmp_path, minutes=0.1, report=lines.append, should_stop=has_begun) == {}
    assert (tmp_path / "nuclei.embedseg").is_file()
    assert not (tmp_path / "overview.png").exists()
    assert list((tmp_path / "segmented").iterdir()) == []


@pytest.mark.usefixtures("small")
def test_a_stop_before_the_first_step_saves_nothing(tmp_path):
    assert demo.run(tmp_path, minutes=0.1, should_stop=lambda: True) == {}
    assert not (tmp_path / "nuclei.embedseg").exists()


def test_picture_tells_right_from_wrong():
    truth = np.zeros((20, 40), np.int32)
    truth[5:15, 5:15] = 1
    found = np.zeros_like(truth)
    found[5:15, 6:15] = 1
    found[5:15, 25:35] = 2
    panels = demo.panels(np.zeros(truth.shape), truth, np.zeros_like(truth), found)
    ours = panels[:, 3 * (2 * 40 + 4) :]
    left, right = ours[:, :42].reshape(-1, 3), ours[:, 42:].reshape(-1, 3)
    assert (left == demo.GOOD).all(1).any()
    assert not (left == demo.WRONG).all(1).any()
    assert (right == demo.WRONG).all(1).any()
    assert not (right == demo.GOOD).all(1).any()


def test_thresholding_finds_what_is_apart(blobs):
    image, labels = blobs(2)
    found = demo.threshold_and_components(image)
    assert found.max() == ndimage.label(labels > 0)[1]


def test_no_time_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="positive"):
        demo.run(tmp_path, minutes=0)
