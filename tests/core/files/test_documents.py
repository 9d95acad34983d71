from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from embedseg_napari.core.files.documents import Unreadable, parse_json, parse_yaml, read_text


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "5", '"x"', "\x00", b"\xff\xfe", "[" * 100_000, '{"a":' * 50_000, '{"a": "\\ud800"}',
        '{"a": 1' + "0" * 30 + "}", '{"a": 1' + "0" * 6000 + "}", '{"a":' * 60 + "1" + "}" * 60,
    ],
)  # fmt: skip
def test_json_that_is_no_table_of_plain_values(text):
    with pytest.raises(Unreadable):
        parse_json(text)


@pytest.mark.parametrize(
    "value",
    [
        "2020-99-99", "2020-01-01", "!!int x", "!!bool x", "!!timestamp x", "!!binary x", "!!binary aGk=", "!!set {a}",
        "!!python/name:os.system", "[" * 3000 + "]" * 3000, "9" * 6000, "9" * 30, "*nothing", "{[1]: 2}", "'",
        "\t- 1", "\x07",
    ],
)  # fmt: skip
def test_yaml_whose_values_nothing_can_be_made_of(value):
    with pytest.raises(Unreadable):
        parse_yaml(f"seed: {value}")


def test_yaml_that_holds_itself_or_unfolds_without_end():
    with pytest.raises(Unreadable, match="too many values"):
        parse_yaml("a: &a [*a]")
    layers = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 12))
    with pytest.raises(Unreadable, match="too many values"):
        parse_yaml(f"x0: &x0 [1]\n{layers}")


def test_sound_texts_are_read(tmp_path):
    assert parse_json('{"a": [1, 2.5, null, true, "ü"]}') == {"a": [1, 2.5, None, True, "ü"]}
    assert parse_yaml("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_text(tmp_path / "a") == "a: 1"


def test_a_file_too_large_and_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    with pytest.raises(Unreadable, match="more than 99 bytes"):
        read_text(tmp_path / "a", 99)
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(Unreadable, match="UTF-8"):
        read_text(tmp_path / "a")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_what_may_never_end_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(Unreadable, match="is no file"):
            read_text(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_what_a_shell_hands_over_is_read():
    ours, theirs = os.pipe()
    os.write(theirs, b"seed: 3\n")
    os.close(theirs)
    try:
        assert parse_yaml(read_text(Path(f"/dev/fd/{ours}"))) == {"seed": 3}
    finally:
        os.close(ours)
