"""``embedseg track`` as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from embedseg_napari.core.files.tiff import write_image, write_labels


@pytest.fixture
def files(tmp_path):
    """A movie of two objects that change their numbers, as one file and as a folder of frames; and its image."""
    movie = np.zeros((4, 40, 60), np.uint16)
    movie[:, 5:15, 5:25] = [[[1]], [[2]], [[1]], [[2]]]
    movie[:, 25:35, 40:50] = [[[2]], [[1]], [[2]], [[1]]]
    write_labels(tmp_path / "movie.tif", movie, "TYX", (0.5, 0.5), "um")
    write_image(tmp_path / "image.tif", (movie > 0).astype(np.uint8) * 100, "TYX")
    for t in (0, 1, 2, 3):
        write_labels(tmp_path / "frames" / f"t{t}.tif", movie[t], "YX")
        write_image(tmp_path / "images" / f"t{t}.tif", (movie[t] > 0).astype(np.uint8) * 100, "YX")
    return tmp_path


@pytest.mark.parametrize(("labels", "image"), [("movie.tif", "image.tif"), ("frames", "images")])
def test_a_movie_or_a_folder_of_frames(embedseg, files, labels, image) -> None:
    ended = embedseg("track", files / labels, "--image", files / image, "--output", files / "out")
    assert ended.status == 0, ended.err
    assert "2 tracks with 0 divisions in 4 frames" in ended.out
    assert (files / "out/res_track.txt").read_text() == "1 0 3 0\n2 0 3 0\n"
    assert "intensity_mean_0" in (files / "out/tracks.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("labels", ["movie.tif", "frames"])
@pytest.mark.parametrize("stored", [{}, {"imagej": True, "metadata": {"axes": "ZYX"}}])
def test_an_image_that_does_not_name_time_is_a_movie_as_its_labels(embedseg, files, labels, stored) -> None:
    image = tifffile.imread(files / "image.tif")
    tifffile.imwrite(files / "plain.tif", image, photometric="minisblack", **stored)
    ended = embedseg("track", files / labels, "--image", files / "plain.tif", "--output", files / "out")
    assert ended.status == 0, ended.err
    assert "2 tracks with 0 divisions in 4 frames" in ended.out
    assert "intensity_mean_0" in (files / "out/tracks.csv").read_text().splitlines()[0]


def test_a_graph(embedseg, files) -> None:
    assert embedseg("track", files / "movie.tif", "-o", files / "out", "--format", "geff").status == 0
    assert (files / "out/tracks.geff").is_dir()


def test_the_largest_step_is_in_micrometres_whatever_the_unit_of_the_file(embedseg, tmp_path) -> None:
    movie = np.zeros((3, 80, 60), np.uint16)
    for t in range(3):
        movie[t, 10:20, 5 + 12 * t : 15 + 12 * t] = 1
    # Others stay where they are: the specimen does not drift.
    movie[:, 40:50, 5:15], movie[:, 40:50, 40:50], movie[:, 60:70, 20:30] = 2, 3, 4
    found = {}
    for name, step, unit in (("um", 0.5, "um"), ("nm", 500.0, "nm")):
        write_labels(tmp_path / f"{name}.ome.tif", movie, "TYX", (step, step), unit)
        for most in (5, 7):
            ended = embedseg(
                "track", tmp_path / f"{name}.ome.tif", "-o", tmp_path / f"{name}{most}", "--max-distance", most
            )
            assert ended.status == 0, ended.err
            found[name, most] = (tmp_path / f"{name}{most}" / "res_track.txt").read_text()
    assert found["um", 5] == found["nm", 5]
    # 12 pixels are 6 micrometres.
    assert found["um", 7] == found["nm", 7]
    assert len(found["um", 7].splitlines()) == 4 < len(found["um", 5].splitlines())


def test_corrections_of_an_export_are_taken(embedseg, files) -> None:
    done = {"corrections": [{"do": "cut", "from": [1, 2], "to": [2, 1]}]}
    (files / "corrections.json").write_text(json.dumps(done))
    words = ("track", files / "movie.tif", "-o", files / "out", "--corrections", files / "corrections.json")
    assert embedseg(*words).status == 0
    assert (files / "out/res_track.txt").read_text() == "1 0 1 0\n2 0 3 0\n3 2 3 0\n"
    assert json.loads((files / "out/corrections.json").read_text()) == done


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["frames/t0.tif"], "no time axis"),
        (["movie.tif", "--axes", "ZYX"], "no time axis"),
        (["missing.tif"], "missing.tif"),
        (["movie.tif", "--format", "xml"], "choose ctc or geff"),
        (["movie.tif", "--max-gap", "-1"], "0 or more"),
        (["movie.tif", "--image", "frames/t0.tif"], "image has the axes"),
        (["movie.tif", "--spacing", "1,1,1"], "one number for each"),
        (["movie.tif", "--corrections", "res.json"], "res.json"),
        (["movie.tif", "--corrections", "list.json"], "corrections"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(embedseg, files, words, sentence) -> None:
    (files / "list.json").write_text("[1]")
    words = [files / word if "." in word and not word.startswith("-") else word for word in words]
    ended = embedseg("track", *words, "-o", files / "out")
    assert ended.status == 1
    assert sentence in ended.err
    assert not (files / "out").exists()


def test_a_frame_that_cannot_be_read_is_named_once(embedseg, files) -> None:
    broken = files / "frames/t2.tif"
    broken.write_bytes(b"nothing")
    ended = embedseg("track", files / "frames", "-o", files / "out")
    assert ended.status == 1
    assert ended.err.replace("\n", "").count("frames") == 1
    assert broken.name in ended.err
    assert not (files / "out").exists()


def test_a_folder_that_exists_is_left_alone(embedseg, files) -> None:
    (files / "out").mkdir()
    ended = embedseg("track", files / "movie.tif", "-o", files / "out")
    assert ended.status == 1
    assert "exists already" in ended.err
    assert not list((files / "out").iterdir())


def test_frames_that_are_missing_are_told_and_images_belong_to_their_labels(embedseg, files) -> None:
    (files / "frames/t1.tif").unlink()
    ended = embedseg("track", files / "frames", "--image", files / "images", "--output", files / "out")
    assert ended.status != 0
    assert "frames: holds no labels of the frame t1 (1 are missing)." in " ".join(ended.err.split())
    (files / "images/t1.tif").unlink()
    ended = embedseg("track", files / "frames", "--image", files / "images", "--output", files / "out")
    assert ended.status == 0, ended.err
    said = " ".join((ended.out + ended.err).split())
    assert "frames, t1 is missing; its neighbours are taken for frames that follow each other." in said
