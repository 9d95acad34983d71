from __future__ import annotations

from pathlib import Path

import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.names import from_home, is_device, portable_name


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
