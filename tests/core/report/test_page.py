"""The page of a report: complete, offline, and safe whatever files are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np

from embedseg_napari.core.report.entry import N_BINS, Entry, objects_of
from embedseg_napari.core.report.page import Content, figure, head_of, page
from embedseg_napari.core.report.thumbnail import thumbnail

HOSTILE = "a</h3><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\u202egnp.tif"
VOID = {"meta", "img", "input"}


class Checked(HTMLParser):
    """Every element is closed where it was opened, and nothing runs or is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in ("href", "srcset")
            assert name != "src" or value.startswith("data:image/")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def content(entries: list[Entry], **more) -> Content:
    sizes = sum((entry.objects.sizes for entry in entries if entry.objects), np.zeros(N_BINS, np.int64))
    values = {
        "title": HOSTILE,
        "key": "0123",
        "summary": [f"All of {HOSTILE}."],
        "failures": [([HOSTILE, "b.tif"], f"{HOSTILE} is no image.")],
        "unit": "pixels",
        "command": f"embedseg predict {HOSTILE}",
        "recipe": [("Model", HOSTILE)],
        "methods": HOSTILE,
    }
    return Content(entries=entries, sizes=sizes, **(values | more))


def checked(text: str) -> Checked:
    parser = Checked()
    parser.feed(text)
    assert parser.open == []
    return parser


def test_names_are_text_and_nothing_else():
    labels = np.zeros((20, 20), int)
    labels[4:9, 4:9] = 1
    drawn = figure(thumbnail(labels.astype(float), [labels], 9999), HOSTILE, "frame 1 of 2")
    one = Entry(HOSTILE, objects_of([labels], "YX"), 0.9, 4.0, HOSTILE, (HOSTILE,), is_earlier=True)
    text = "".join(page(content([one]), lambda _: drawn))
    assert "\u202e" not in text
    found = checked(text)
    assert "script" not in found.tags
    assert "default-src 'none'" in text
    assert text.startswith(head_of("0123"))
    read = "".join(found.text)
    assert read.count("<script>alert(1)</script>") >= 8
    assert "segmented by an earlier run" in read
    # What sees no pictures is told what they are.
    assert all('alt="' in image for image in re.findall("<img[^>]*>", text))


def test_what_stands_out_comes_before_the_others_and_every_image_once():
    def entry(name: str, n: int) -> Entry:
        labels = np.zeros((40, 40), int)
        labels.ravel()[np.arange(n) * 3] = np.arange(1, n + 1)
        return Entry(name, objects_of([labels], "YX"), 0.9, 50.0)

    entries = [entry(f"image{i}", 20 + i % 3) for i in range(10)] + [entry("odd", 500)]
    text = "".join(page(content(entries), lambda place: f"[picture {place}]"))
    checked(text)
    names = re.findall(r"<h3>(\w+)</h3>", text)
    assert names == ["odd", *(f"image{i}" for i in range(10))]
    assert "<b>Many objects</b>: 500 objects; half of the images have 20 to 22 (robust z " in text
    assert text.index("[picture 10]") < text.index("[picture 0]")
    assert text.count("[picture") == 11


def test_a_folder_in_which_nothing_was_found_has_a_page():
    empty = Entry("a", objects_of([np.zeros((4, 4), int)], "YX"), None, None)
    unread = Entry("b", None, None, None, remarks=("Not shown: damaged",))
    text = "".join(page(content([empty, unread], failures=()), lambda _: ""))
    checked(text)
    assert "0 objects" in text
    assert "Not shown: damaged" in text
    assert "Failed" not in text
    assert "Histogram" not in text
