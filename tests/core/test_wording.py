from __future__ import annotations

from embedseg_napari.core.wording import printable, readable


def test_names_cannot_command_a_terminal():
    assert printable("a\x1b[31m\u202eb\x9bc\udcff\td") == "a\\x1b[31m\\u202eb\\x9bc\\udcff\\td"
    assert printable("größe 3 µm, 細胞\nsecond line") == "größe 3 µm, 細胞\nsecond line"


def test_names_of_other_bytes_become_text():
    assert readable("a\udcff") == "a\\udcff"
    assert readable("größe") == "größe"
