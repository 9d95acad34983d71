from __future__ import annotations

from pathlib import Path

import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.names import dataset_name, from_home, identity, is_device, portable_name


@pytest.mark.parametrize(
    ("name", "portable"),
    [
        ("cells", "cells"), ("a b.c", "a b.c"), ("x__y", "x__y"), ("größe 3 µm", "größe 3 µm"), ("a/b:c", "a_b_c"),
        ("a\x1b[31m", "a_[31m"), ("a\u202etxt", "a_txt"), ("a\ud800", "a_"), ("", "layer"), (" . ", "layer"),
        ("con", "con_"),
        ("NUL.tar", "NUL_tar"), ("com¹", "com¹_"), ("concern", "concern"), ("é" * 200, "é" * 50),
    ],
)  # fmt: skip
def test_every_name_becomes_one_that_files_can_have(name, portable):
    found = portable_name(name, "layer")
    assert found == portable
    assert not is_device(found)


def test_home_is_found_and_strangers_are_left_alone():
    assert from_home("~") == Path.home()
    assert from_home("~nobody-has-this-name/x") == Path("~nobody-has-this-name/x")
    for path in (5, None, "a\0b"):
        with pytest.raises(DataError, match="is no path"):
            from_home(path)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("sets/dsb2018/train", "dsb2018"),
        ("sets/dsb2018", "dsb2018"),
        ("sets/dsb2018/Training/", "dsb2018"),
        ("sets/cells-3d/train_data", "cells-3d"),
        ("sets/worms/training set/images", "worms"),
        ("sets/dsb2018/train/../val", "dsb2018"),
        ("sets/train-station", "train-station"),
        ("/train", "train"),
        ("/", "data set"),
    ],
)
def test_a_data_set_is_called_by_its_folder_not_by_the_part_of_it(folder, name):
    assert dataset_name(folder) == name


def test_a_relative_folder_has_a_name_too(tmp_path, monkeypatch):
    (tmp_path / "worms" / "train").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "worms" / "train")
    assert dataset_name(".") == "worms"


def test_a_file_is_the_same_under_all_its_names(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "lost").symlink_to("nowhere")
    same = identity(tmp_path / "a")
    assert same == identity(tmp_path / "hard") == identity(tmp_path / "link") == identity(tmp_path / "." / "a")
    assert same != identity(tmp_path / "b")
    assert identity(tmp_path / "lost") is identity(tmp_path / "c") is None
