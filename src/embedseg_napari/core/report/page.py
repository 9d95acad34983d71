"""The page of a report: HTML that needs nothing else, and runs no scripts."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from embedseg_napari.core.report.entry import quantile
from embedseg_napari.core.report.histogram import large_histogram, small_histogram, spanned
from embedseg_napari.core.report.outliers import LEAST_IMAGES, MOST, number, outliers, percent
from embedseg_napari.core.report.style import STYLE
from embedseg_napari.core.wording import count, printable, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from embedseg_napari.core.report.entry import Entry
    from embedseg_napari.core.report.outliers import Reason
    from embedseg_napari.core.report.thumbnail import Thumbnail

GENERATOR = "embedseg-napari report"
"""How a page says what wrote it."""


@dataclass(frozen=True, slots=True)
class Content:
    """What the page tells."""

    title: str
    key: str
    """Stands for the images that it is about."""
    summary: Sequence[str]
    """Sentences above all."""
    failures: Sequence[tuple[Sequence[str], str]]
    """Names of files that have no labels, and why."""
    entries: Sequence[Entry]
    sizes: NDArray[np.int64]
    """(N_BINS,) objects of all images by size."""
    unit: str
    """What sizes are counted in, ``"pixels"`` or ``"voxels"``."""
    command: str
    recipe: Sequence[tuple[str, str]]
    """Names and values: model, settings, versions."""
    methods: str
    """A sentence for a paper."""


def head_of(key: str) -> str:
    """How the page of a report begins that is about the images which `key` stands for."""
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta name="generator" content="{GENERATOR} {key}">\n'


def figure(drawn: Thumbnail, name: str, shown: str) -> str:
    """The picture of an image with its outlines."""
    jpeg, png = (base64.b64encode(part).decode() for part in (drawn.jpeg, drawn.outlines))
    words = _text(f"{name}{f', {shown}' if shown else ''}")
    return (
        f'<div class="picture"><img src="data:image/jpeg;base64,{jpeg}" width="{drawn.width}" height="{drawn.height}" '
        f'alt="{words}"><img class="lines" src="data:image/png;base64,{png}" alt=""></div>'
    )


def page(content: Content, picture: Callable[[int], str]) -> Iterator[str]:
    """The parts of the page, one after the other, so that no two pictures are in memory.

    Parameters
    ----------
    content : Content
        What it tells.
    picture : callable
        Returns the `figure` of the entry at a place; empty where there is none.
    """
    unusual = outliers(content.entries)
    bins = spanned(content.sizes)
    yield head_of(content.key)
    yield (
        '<meta charset="utf-8">\n'
        # Nothing is fetched and no script runs, whatever a file is called.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(content.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{_text(content.title)}</h1>\n"
    )
    yield "".join(f"<p>{_text(sentence)}</p>\n" for sentence in content.summary)
    yield "</header>\n<main>\n"
    if content.failures:
        n = sum(len(names) for names, _ in content.failures)
        yield f'<section><h2>Failed <span class="n">{n}</span></h2>\n<ul class="failures">\n'
        for names, why in content.failures:
            yield f"<li><b>{_text(', '.join(names))}</b>: {_text(why)}</li>\n"
        yield "</ul></section>\n"
    if content.sizes.any():
        yield _sizes(content)
    yield '<input type="checkbox" id="outlines" checked> <label for="outlines">Show outlines</label>\n'
    yield f'<section><h2>To look at first <span class="n">{len(unusual)}</span></h2>\n'
    yield f"<p>{_why(content, len(unusual))}</p>\n"
    yield from _cards(content.entries, unusual, unusual, picture, bins)
    yield "</section>\n"
    others = [i for i in range(len(content.entries)) if i not in unusual]
    rest = "The other images" if unusual else "Images"
    yield f'<section><h2>{rest} <span class="n">{len(others)}</span></h2>\n'
    yield from _cards(content.entries, others, unusual, picture, bins)
    yield "</section>\n"
    yield from _table(content, unusual)
    yield _recipe(content)
    yield "</main>\n</body>\n</html>\n"


def _text(text: str) -> str:
    """Text that comes from files or people, for the page."""
    return escape(printable(readable(text)))


def _why(content: Content, n_unusual: int) -> str:
    if len(content.entries) < LEAST_IMAGES:
        return f"Fewer than {LEAST_IMAGES} images are too few to tell which of them stand out."
    what = "by the number of objects, their size, the mean score, the brightness, or the share of objects at the border"
    if not n_unusual:
        return f"No image stands out {what}."
    return f"Images that stand out {what}: a robust z-score of {MOST:g} or more. That is no fault by itself."


def _sizes(content: Content) -> str:
    low, middle, high = (f"{float(f'{quantile(content.sizes, part):.2g}'):g}" for part in (0.05, 0.5, 0.95))
    words = (
        f"Half of the {content.sizes.sum()} objects have about {middle} {content.unit} or fewer; 9 of 10 have {low} to "
        f"{high}."
    )
    chart = large_histogram(content.sizes, content.unit, f"Histogram of the sizes of all objects. {words}")
    return f"<section><h2>Sizes</h2>\n{chart}\n<p>{words} The axis is logarithmic.</p></section>\n"


def _cards(
    entries: Sequence[Entry],
    places: Sequence[int] | Mapping[int, object],
    unusual: Mapping[int, Sequence[Reason]],
    picture: Callable[[int], str],
    bins: range,
) -> Iterator[str]:
    yield '<div class="cards">\n'
    for place in places:
        entry = entries[place]
        yield f'<article><h3>{_text(entry.name)}</h3>{picture(place)}<p class="facts">{_facts(entry)}</p>'
        if entry.objects and entry.objects.n:
            yield small_histogram(entry.objects.sizes, bins)
        for reason in unusual.get(place, ()):
            yield f'<p class="reason"><b>{reason.what.capitalize()}</b>: {reason.words}</p>'
        yield from (f'<p class="remark">{_text(remark)}</p>' for remark in entry.remarks)
        yield "</article>\n"
    yield "</div>\n"


def _facts(entry: Entry) -> str:
    if entry.objects is None:
        facts = []
    else:
        facts = [f"<b>{count(entry.objects.n, 'object')}</b>"]
        if entry.objects.median_size is not None:
            facts.append(f"median size {number(entry.objects.median_size)}")
    if entry.score is not None:
        facts.append(f"mean score {entry.score:.3f}")
    if entry.shown:
        facts.append(_text(entry.shown))
    if entry.is_earlier:
        facts.append("segmented by an earlier run")
    return "; ".join(facts)


def _table(content: Content, unusual: Mapping[int, Sequence[Reason]]) -> Iterator[str]:
    """All numbers, to be copied into a spreadsheet."""
    names = ("Image", "Objects", "Median size", "Mean score", "Brightness", "At the border", "Stands out by")
    yield "<details><summary>All numbers as a table</summary>\n<table><thead><tr>"
    yield "".join(f'<th scope="col">{name}</th>' for name in names)
    yield "</tr></thead><tbody>\n"
    for place, entry in enumerate(content.entries):
        objects = entry.objects
        cells = (
            "" if objects is None else str(objects.n),
            "" if objects is None or objects.median_size is None else f"{objects.median_size:g}",
            "" if entry.score is None else f"{entry.score:.3f}",
            "" if entry.brightness is None else f"{entry.brightness:.6g}",
            "" if entry.at_border is None else percent(entry.at_border),
            ", ".join(reason.what for reason in unusual.get(place, ())),
        )
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        yield f'<tr><th scope="row">{_text(entry.name)}</th>{row}</tr>\n'
    yield "</tbody></table></details>\n"


def _recipe(content: Content) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>\n' for name, value in content.recipe
    )
    return (
        "<section><h2>How it was made</h2>\n"
        f"<p>To repeat it:</p>\n<pre>{_text(content.command)}</pre>\n"
        f"<p>For a methods section: {_text(content.methods)}</p>\n"
        f"<table><tbody>\n{rows}</tbody></table></section>\n"
    )
