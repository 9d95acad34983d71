"""JSON read value by value is what the standard library reads whole."""

from __future__ import annotations

import json

import pytest

from embedseg_napari.core.exchange.json_parts import json_parts
from embedseg_napari.core.files.documents import Unreadable

LARGEST = 1 << 26


@pytest.mark.parametrize(
    "content",
    [
        {"a": [1, {"b": [2, 3]}, "x,]"], "none": [], "c": {"d": [4]}, "e": -1.5e3, "f": None},
        [[1, 2], {"a": '\u00b5m "quoted"'}, 3],
        [],
        {},
        {"long": ["word" * 600_000, {"n": list(range(300_000))}, "end"]},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_all_values_come_in_order(tmp_path, content, indent) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content, indent=indent), encoding="utf-8-sig")
    outermost = content if isinstance(content, dict) else {"": content}
    wanted = [(key, one) for key, value in outermost.items() for one in (value if isinstance(value, list) else [value])]
    assert list(json_parts(tmp_path / "a.json", LARGEST)) == wanted


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2", "[1 2]", "[1,]", '{"a" 1}', '{"a": 1,}', "{1: 2}", "[1] x", '["a', "nul", "\x00", "[1}"]
)
def test_what_is_no_json_is_refused(tmp_path, text) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(Unreadable, match="is no valid JSON"):
        list(json_parts(tmp_path / "a.json", LARGEST))


def test_bounds(tmp_path) -> None:
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(Unreadable, match="nested too deeply"):
        list(json_parts(tmp_path / "a.json", LARGEST))
    with pytest.raises(Unreadable, match="more than 1000 bytes"):
        list(json_parts(tmp_path / "a.json", 1000))
    (tmp_path / "a.json").write_bytes(b'["\xff"]')
    with pytest.raises(Unreadable, match="no text in UTF-8"):
        list(json_parts(tmp_path / "a.json", LARGEST))
