from __future__ import annotations

from embedseg_napari.core.wording import alpha_words, printable, readable


def test_names_cannot_command_a_terminal():
    assert printable("a\x1b[31m\u202eb\x9bc\udcff\td") == "a\\x1b[31m\\u202eb\\x9bc\\udcff\\td"
    assert printable("größe 3 µm, 細胞\nsecond line") == "größe 3 µm, 細胞\nsecond line"


def test_alpha_is_thought_of_where_three_colours_meet_four():
    assert "save the image as RGB" in alpha_words(4, 3)
    # An image of three has none to leave out.
    assert not any(alpha_words(*channels) for channels in ((3, 4), (3, 3), (1, 4), (2, 3)))


def test_names_of_other_bytes_become_text():
    assert readable("a\udcff") == "a\\udcff"
    assert readable("größe") == "größe"
