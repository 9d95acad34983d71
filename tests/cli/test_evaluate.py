"""``embedseg evaluate`` as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from embedseg_napari.cli import main

KEYS = ["0.50", "0.55", "0.60", "0.65", "0.70", "0.75", "0.80", "0.85", "0.90"]


def write(folder, name, array):
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / name, array, photometric="minisblack")


@pytest.fixture
def folders(tmp_path, draw):
    """Truth and predictions of two images: one perfect, one with one of four objects missing."""
    for number in range(2):
        labels = draw(number)[1]
        write(tmp_path / "truth", f"im{number}.tif", labels)
        write(tmp_path / "predicted", f"im{number}.tif", np.where(labels == 3, 0, labels) if number else labels * 7)
    return tmp_path / "truth", tmp_path / "predicted"


def test_scores_are_right_on_screen_and_in_the_file(embedseg, folders, tmp_path):
    truth, predicted = folders
    ended = embedseg("evaluate", "--truth", truth, "--predicted", predicted, "--json", tmp_path / "scores.json")
    assert ended.status == 0, ended.err
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["n_images"] == 2
    assert list(scores["ap"]) == KEYS
    assert list(scores["ap"].values()) == pytest.approx([(1 + 0.75) / 2] * 9)
    assert scores["ap_mean"] == pytest.approx(0.875)
    assert scores["precision"]["0.50"] == 1
    assert scores["recall"]["0.50"] == pytest.approx(7 / 8)
    assert scores["f1"]["0.50"] == scores["pq"]["0.50"] == pytest.approx(14 / 15)
    assert (scores["tp"]["0.90"], scores["fp"]["0.90"], scores["fn"]["0.90"]) == (7, 0, 1)
    assert scores["images"]["im1"]["ap"]["0.75"] == pytest.approx(0.75)
    assert "lenient_ap" not in scores
    assert "2 images, 8 true and " in ended.out
    for key in [*KEYS, "mean"]:
        assert any(line.split()[:2] == [key, "0.875"] for line in ended.out.splitlines())


def test_finding_nothing_is_neither_precise_nor_complete(embedseg, draw, tmp_path):
    write(tmp_path / "truth", "a.tif", draw(0)[1])
    write(tmp_path / "predicted", "a.tif", np.zeros((48, 48), np.uint16))
    words = ["--truth", tmp_path / "truth", "--predicted", tmp_path / "predicted", "--json", tmp_path / "s.json"]
    assert embedseg("evaluate", *words).status == 0
    scores = json.loads((tmp_path / "s.json").read_text())
    assert [scores[name]["0.50"] for name in ("ap", "precision", "recall", "f1", "pq")] == [0] * 5


def test_suffixes_may_differ_and_masks_may_lie_in_a_dataset(embedseg, draw, tmp_path):
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "masks", "a.tif", draw(0)[1])
    write(tmp_path / "predicted", "a.tiff", draw(0)[1])
    ended = embedseg("evaluate", "--truth", tmp_path / "set", "--predicted", tmp_path / "predicted")
    assert ended.status == 0, ended.err


def test_overlapping_truth_is_scored_both_ways(embedseg, tmp_path):
    planes = np.zeros((2, 20, 20), np.uint8)
    planes[0, 2:12, 2:12] = 255
    planes[1, 10:18, 10:18] = 255
    labels = np.zeros((20, 20), np.uint16)
    labels[2:12, 2:12] = 1
    labels[10:18, 10:18] = 2
    write(tmp_path / "truth", "worms.tif", planes)
    write(tmp_path / "predicted", "worms.tif", labels)
    ended = embedseg(
        "evaluate", "--truth", tmp_path / "truth", "--predicted", tmp_path / "predicted", "--json", tmp_path / "s.json"
    )
    assert ended.status == 0, ended.err
    scores = json.loads((tmp_path / "s.json").read_text())
    assert scores["ap"]["0.50"] == 1
    assert scores["lenient_ap"]["0.50"] == 1
    assert "Lenient AP" in ended.out


def test_missing_predictions_are_named(embedseg, folders):
    truth, predicted = folders
    (predicted / "im1.tif").unlink()
    ended = embedseg("evaluate", "--truth", truth, "--predicted", predicted)
    assert ended.status == 1
    assert "lacks the predictions for 1 of 2 true images (im1)" in ended.err
    assert ended.out == ""


def test_predictions_without_truth_are_left_out_with_a_warning(embedseg, draw, folders):
    truth, predicted = folders
    write(predicted, "more.tif", draw(3)[1])
    ended = embedseg("evaluate", "--truth", truth, "--predicted", predicted)
    assert ended.status == 0
    assert "Warning" in ended.err
    assert "more" in ended.err


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda labels: labels.astype(np.float32), "float32"),
        (lambda labels: labels[:40], "shape"),
        (lambda labels: -labels.astype(np.int16), "negative"),
    ],
)
def test_a_prediction_that_cannot_be_scored_is_named(embedseg, draw, folders, spoil, fault):
    truth, predicted = folders
    write(predicted, "im1.tif", spoil(draw(1)[1]))
    ended = embedseg("evaluate", "--truth", truth, "--predicted", predicted)
    assert ended.status == 1
    assert "im1.tif" in ended.err
    assert fault in ended.err


def test_missing_and_empty_folders_are_named(embedseg, folders, tmp_path):
    truth, _ = folders
    ended = embedseg("evaluate", "--truth", truth, "--predicted", tmp_path / "nowhere")
    assert (ended.status, "nowhere" in ended.err) == (1, True)
    (tmp_path / "empty").mkdir()
    ended = embedseg("evaluate", "--truth", tmp_path / "empty", "--predicted", truth)
    assert (ended.status, "empty" in ended.err) == (1, True)


def test_unknown_pixels_of_the_truth_are_left_out(embedseg, draw, tmp_path):
    labels = draw(0)[1]
    truth = np.where(labels == 2, 99, labels)
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "masks", "a.tif", truth)
    write(tmp_path / "set" / "ignore", "a.tif", (labels == 3).astype(np.uint8))
    write(tmp_path / "predicted", "a.tif", np.where(np.isin(labels, [2, 3]), 0, labels))
    words = ["--truth", tmp_path / "set", "--predicted", tmp_path / "predicted", "--json", tmp_path / "s.json"]
    words.append("--overwrite")

    def counts(*more):
        assert embedseg("evaluate", *words, *more).status == 0
        scores = json.loads((tmp_path / "s.json").read_text())
        return scores["tp"]["0.50"], scores["fp"]["0.50"], scores["fn"]["0.50"]

    assert counts() == (labels.max() - 2, 0, 1)
    assert counts("--ignore-label", 99) == (labels.max() - 2, 0, 0)
    write(tmp_path / "set" / "ignore", "a.tif", np.ones((3, 3), np.uint8))
    ended = embedseg("evaluate", *words)
    assert ended.status == 1
    assert "ignore" in ended.err
    assert "shape (3, 3)" in ended.err


@pytest.mark.parametrize("name", ["notes.json", "mine.tif"])
def test_the_file_of_scores_replaces_nothing_unasked(embedseg, folders, tmp_path, name):
    words = ["evaluate", "--truth", folders[0], "--predicted", folders[1], "--json", tmp_path / name]
    (tmp_path / name).write_text("notes of three days")
    ended = embedseg(*words)
    assert ended.status == 1
    assert f"{name}: exists already; add --overwrite" in ended.err
    assert (tmp_path / name).read_text() == "notes of three days"
    assert embedseg(*words, "--overwrite").status == 0
    assert json.loads((tmp_path / name).read_text())["n_images"] == 2


def movies(tmp_path, draw, axes):
    """Truth and prediction of four frames: perfect, but numbered anew in each."""
    truth = np.stack([draw(number)[1] for number in range(4)]).astype(np.uint16)
    predicted = np.stack([np.where(frame > 0, (frame + t) % frame.max() + 1, 0) for t, frame in enumerate(truth)])
    for folder, movie in (("truth", truth), ("predicted", predicted)):
        (tmp_path / folder).mkdir()
        options = {"imagej": True, "metadata": {"axes": axes}} if axes else {"photometric": "minisblack"}
        tifffile.imwrite(tmp_path / folder / "m.tif", movie.astype(np.uint16), **options)
    return ["evaluate", "--truth", tmp_path / "truth", "--predicted", tmp_path / "predicted"]


def test_frames_are_images_of_their_own(embedseg, draw, tmp_path):
    ended = embedseg(*movies(tmp_path, draw, "TYX"), "--json", tmp_path / "s.json")
    assert (ended.status, ended.err) == (0, "")
    scores = json.loads((tmp_path / "s.json").read_text())
    assert (scores["n_images"], scores["ap_mean"]) == (4, 1)
    assert list(scores["images"]) == ["m 0", "m 1", "m 2", "m 3"]


def test_a_stack_that_may_be_a_movie_is_spoken_of(embedseg, draw, tmp_path):
    words = movies(tmp_path, draw, None)
    ended = embedseg(*words)
    assert ended.status == 0
    assert "--axes TYX" in ended.err
    ended = embedseg(*words, "--axes", "TYX")
    assert (ended.status, ended.err) == (0, "")
    assert "4 images" in ended.out
    ended = embedseg(*words, "--axes", "TQYX")
    assert (ended.status, "unknown letter 'Q'" in ended.err) == (1, True)
    ended = embedseg(*words, "--axes", "TZCYX")
    assert (ended.status, "m.tif" in ended.err) == (1, True)


def test_truth_that_is_no_truth(embedseg, draw, folders):
    truth, predicted = folders
    words = ["evaluate", "--truth", truth, "--predicted", predicted]
    labels = [draw(number)[1] for number in range(2)]
    for binary in ((labels[1] > 0).astype(np.uint8) * 255, labels[1] > 0):
        write(truth, "im1.tif", binary)
        ended = embedseg(*words)
        assert (ended.status, "im1.tif" in ended.err, "binary mask" in ended.err) == (1, True, True)
    for number in range(2):
        write(truth, f"im{number}.tif", np.zeros_like(labels[number]))
    ended = embedseg(*words)
    assert (ended.status, "no object in any image" in ended.err) == (0, True)
    for number in range(2):
        write(truth, f"im{number}.tif", labels[number])
    write(predicted, "im1.tif", (labels[1] > 0).astype(np.uint8) * 255)
    ended = embedseg(*words)
    assert (ended.status, "give every object its own number first" in ended.err) == (0, True)


def test_binary_masks_are_known_by_all_of_them_together(embedseg, tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[2:12, 2:12] = mask[20:36, 20:36] = 1
    labels = mask.copy()
    labels[20:36, 20:36] = 2
    words = ["evaluate", "--truth", tmp_path / "truth", "--predicted", tmp_path / "predicted"]
    for name in "abc":
        write(tmp_path / "truth", f"{name}.tif", mask)
        write(tmp_path / "predicted", f"{name}.tif", labels)
        ended = embedseg(*words)
        # Of one or two masks it may be that an object lies in two pieces.
        assert (ended.status, "binary mask" in ended.err) == (int(name == "c"), True)
        if name != "c":
            assert "a.tif: 2 separate pieces share one number and count as one object" in ended.err


def test_overlaps_that_labels_cannot_show_are_spoken_of(embedseg, tmp_path):
    planes = np.zeros((5, 40, 40), np.uint8)
    for k in range(5):
        planes[k, 2 + 5 * k : 12 + 5 * k, 4:20] = 1
    write(tmp_path / "truth", "a.tif", planes)
    write(tmp_path / "predicted", "a.tif", (planes * np.arange(1, 6, dtype=np.uint8)[:, None, None]).max(0))
    ended = embedseg("evaluate", "--truth", tmp_path / "truth", "--predicted", tmp_path / "predicted")
    assert (ended.status, "a.tif, objects overlap each other" in ended.err) == (0, True)
    write(tmp_path / "predicted", "a.tif", planes[::-1])
    ended = embedseg("evaluate", "--truth", tmp_path / "truth", "--predicted", tmp_path / "predicted")
    assert ended.status == 0
    assert ["mean", "1.000"] in [line.split()[:2] for line in ended.out.splitlines()]


def test_two_files_of_one_name_are_refused(embedseg, draw, folders):
    truth, predicted = folders
    write(predicted, "im1.ome.tif", draw(1)[1])
    ended = embedseg("evaluate", "--truth", truth, "--predicted", predicted)
    assert (ended.status, "same name as" in ended.err) == (1, True)


def test_what_a_label_file_holds_besides_is_said_once_for_all_files(embedseg, draw, folders):
    truth, predicted = folders
    for number in range(2):
        labels = draw(number)[1]
        with tifffile.TiffWriter(truth / f"im{number}.tif") as tif:
            tif.write(labels, metadata=None)
            tif.write(labels[:9, :7], metadata=None)
    ended = embedseg("evaluate", "--truth", truth, "--predicted", predicted)
    assert ended.status == 0, ended.err
    assert "im0.tif (and 1 more): holds 2 images; the largest (48 x 48) is read" in " ".join(ended.err.split())


def test_files_of_the_working_folder_are_scored(tmp_path, monkeypatch, capsys):
    for name in ("truth.tif", "found.tif"):
        tifffile.imwrite(
            tmp_path / name, np.kron(np.arange(4, dtype=np.uint16).reshape(2, 2), np.ones((9, 9), np.uint16))
        )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--truth", "truth.tif", "--predicted", "found.tif"])
    assert end.value.code == 0
    assert "1.000" in capsys.readouterr().out
