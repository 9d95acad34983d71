"""The objects of labels on the disk, measured block by block: the same numbers as for labels in memory."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from embedseg_napari.core.data.masks import require_kept_ids
from embedseg_napari.core.data.objects import MeasuredObjects, measure_pixels, sorted_pixels
from embedseg_napari.core.data.unknown import CLOSED, OpenIds, open_ids
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.region import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.data.medoid import CenterKind

BLOCK_PIXELS = 1 << 21
"""Pixels that are measured at once: some 100 MB of memory."""
RUN_PIXELS = 1 << 22
"""Pixels of objects across borders that are measured together."""
UNKNOWN = -1
SIDES = tuple(itertools.product(range(3), (0, 1)))
"""Axis, and whether it is the side further up, in the order that they are numbered."""
RECENT = 4
"""Surveys kept in memory: a form looks at the same images again with each setting that is changed."""
NAME = "objects-{}.safetensors"
OBJECTS = NAME.format("*")
"""Names of files that surveys are kept in."""
VERSION = 2
COLUMNS = {"ids": 1, "centers": 2, "lower": 2, "upper": 2, "sizes": 1}
"""Numbers of the table of objects, and their axes."""


class Labels(Protocol):
    """Labels that are read in parts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels per axis (z, y, x)."""

    @property
    def piece(self) -> tuple[int, ...]:
        """Pixels per axis that are read at once."""

    def read(self, part: Part) -> tuple[np.ndarray, NDArray[np.bool_] | None]:
        """Ids of a part, 0 where nothing is known, and where that is (None: everything is known)."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is measured of labels in one pass."""

    table: MeasuredObjects
    """Of the known pixels; numbers of pixels are those of the whole image."""
    n_background: int
    """Pixels known to be background."""
    n_unknown: int
    contacts: NDArray[np.int64]
    """(k, 4) of volumes: side on which objects end (as in `unknown.open_ids`), their id, what is there (an id, 0
    for background, -1 for unknown voxels), and on how many voxels."""

    def without(self, hidden: NDArray[np.int64]) -> Survey:
        """The same with these objects taken as unknown."""
        if len(hidden) == 0:
            return self
        gone = np.isin(self.table.ids, hidden)
        contacts = self.contacts[~np.isin(self.contacts[:, 1], hidden)].copy()
        contacts[np.isin(contacts[:, 2], hidden), 2] = UNKNOWN
        table = MeasuredObjects(*(getattr(self.table, name)[~gone] for name in COLUMNS))
        return replace(
            self, table=table, n_unknown=self.n_unknown + int(self.table.sizes[gone].sum()), contacts=contacts
        )

    def open_objects(self, scale: float = 1.0) -> OpenIds:
        """Objects of a volume that unknown voxels cut off; as `unknown.open_objects`."""
        if self.n_unknown == 0:
            return CLOSED
        ends = self.contacts.copy()
        ends[:, 2] = np.where(ends[:, 2] == UNKNOWN, ends[:, 3], 0)
        return open_ids(ends, self.table.ids, self.table.sizes, scale)


def survey_labels(
    labels: Labels,
    center: CenterKind,
    spacing: Sequence[float] | None,
    where: str,
    watch: Callable[[float], None] | None = None,
) -> Survey:
    """Measure the objects of labels that are read in parts.

    Parameters
    ----------
    labels : Labels
        What is measured.
    center : {"medoid", "approximate-medoid", "centroid"}
        Which centre.
    spacing : sequence of float, optional
        Physical size of a pixel per axis (z, y, x).
    where : str
        Name of the labels, for sentences.
    watch : callable, optional
        Called with the fraction that is done; what it raises ends the work.

    Raises
    ------
    DataError
        If values are no ids, or cannot be read.
    """
    shape = labels.shape
    parts = list(blocks(shape, labels.piece))
    tables: list[MeasuredObjects] = []
    runs: list[NDArray[np.int64]] = []
    contacts: list[NDArray[np.int64]] = []
    n_background = n_unknown = 0
    for done, part in enumerate(parts):
        known, unknown = labels.read(part)
        require_kept_ids(known, where)
        n_hidden = 0 if unknown is None else int(np.count_nonzero(unknown))
        n_unknown += n_hidden
        n_background += known.size - int(np.count_nonzero(known)) - n_hidden
        if known.ndim == 3:
            contacts += _contacts(labels, part, known, unknown)
        flat, values = sorted_pixels(known)
        cut = np.isin(values, _at_borders(known, part, shape))
        flat = _in_whole(flat, part, shape)
        tables.append(measure_pixels(flat[~cut], values[~cut], shape, center, spacing))
        runs.append(_runs(flat[cut], values[cut]))
        if watch is not None:
            watch((done + 1) / (2 * len(parts)))
    again = np.union1d(_in_several(tables), np.concatenate([one[:, 0] for one in runs]))
    for done, (part, table) in enumerate(zip(parts, tables, strict=True)):
        mine = table.ids[np.isin(table.ids, again)]
        if len(mine):
            # Numbers that lie in several places, each of them within a block.
            flat, values = sorted_pixels(np.where(np.isin(known := labels.read(part)[0], mine), known, 0))
            runs.append(_runs(_in_whole(flat, part, shape), values))
        if watch is not None:
            watch((len(parts) + done + 1) / (2 * len(parts)))
    across = np.concatenate(runs)
    tables = [MeasuredObjects(*(getattr(t, c)[~np.isin(t.ids, again)] for c in COLUMNS)) for t in tables]
    tables += _measured_runs(across, shape, center, spacing)
    joined = MeasuredObjects(*(np.concatenate([getattr(t, c) for t in tables]) for c in COLUMNS))
    order = np.argsort(joined.ids, kind="stable")
    joined = MeasuredObjects(*(getattr(joined, c)[order] for c in COLUMNS))
    return Survey(joined, n_background, n_unknown, _summed(contacts))


def blocks(shape: Sequence[int], piece: Sequence[int]) -> Iterator[Part]:
    """Parts that cover an image, of whole pieces where they are not too large, in array order."""
    side = [min(n, p) for n, p in zip(shape, piece, strict=True)]
    while math.prod(side) < BLOCK_PIXELS:
        growing = [axis for axis, n in enumerate(shape) if side[axis] < n]
        if not growing:
            break
        axis = min(growing, key=lambda one: side[one])
        side[axis] = min(shape[axis], 2 * side[axis])
    for start in itertools.product(*(range(0, n, step) for n, step in zip(shape, side, strict=True))):
        yield Part(start, tuple(min(a + step, n) for a, step, n in zip(start, side, shape, strict=True)))


def _in_whole(flat: NDArray[np.int64], part: Part, shape: Sequence[int]) -> NDArray[np.int64]:
    """Flat indices in a part as those in the whole image."""
    inside = tuple(b - a for a, b in zip(part.start, part.stop, strict=True))
    at = [index + a for index, a in zip(np.unravel_index(flat, inside), part.start, strict=True)]
    whole: NDArray[np.int64] = np.ravel_multi_index(at, tuple(shape)).astype(np.int64, copy=False)
    return whole


def _at_borders(known: np.ndarray, part: Part, shape: Sequence[int]) -> np.ndarray:
    """Ids on the sides of a part that others lie beside."""
    sides = [known.ravel()[:0]]
    for axis, (low, high, n) in enumerate(zip(part.start, part.stop, shape, strict=True)):
        if low > 0:
            sides.append(np.take(known, 0, axis).ravel())
        if high < n:
            sides.append(np.take(known, -1, axis).ravel())
    return np.unique(np.concatenate(sides))


def _runs(flat: NDArray[np.int64], values: np.ndarray) -> NDArray[np.int64]:
    """Pixels sorted by id as runs (n, 3): id, first, length."""
    if len(flat) == 0:
        return np.zeros((0, 3), np.int64)
    new = np.flatnonzero((np.diff(flat) != 1) | (values[1:] != values[:-1])) + 1
    first = np.concatenate([[0], new])
    return np.stack([values[first].astype(np.int64), flat[first], np.diff(first, append=len(flat))], 1)


def _measured_runs(
    runs: NDArray[np.int64], shape: Sequence[int], center: CenterKind, spacing: Sequence[float] | None
) -> Iterator[MeasuredObjects]:
    """Tables of the objects that runs make up, so many at a time."""
    runs = runs[np.lexsort((runs[:, 1], runs[:, 0]))]
    ends = np.flatnonzero(np.diff(runs[:, 0], append=runs[-1:, 0] + 1)) + 1
    pixels = np.cumsum(runs[:, 2])
    first, at = 0, 0
    while first < len(runs):
        reach = (pixels[first - 1] if first else 0) + RUN_PIXELS
        # Whole objects; one at least.
        at = max(at + 1, int(np.searchsorted(pixels[ends - 1], reach, "right")))
        some, first = runs[first : ends[at - 1]], int(ends[at - 1])
        n = some[:, 2]
        flat = np.repeat(some[:, 1] - (np.cumsum(n) - n), n) + np.arange(n.sum())
        yield measure_pixels(flat, np.repeat(some[:, 0], n), shape, center, spacing)


def _in_several(tables: Sequence[MeasuredObjects]) -> NDArray[np.int64]:
    """Ids that several tables have."""
    ids, n = np.unique(np.concatenate([table.ids for table in tables]), return_counts=True)
    several: NDArray[np.int64] = ids[n > 1]
    return several


def _contacts(
    labels: Labels, part: Part, known: np.ndarray, unknown: NDArray[np.bool_] | None
) -> list[NDArray[np.int64]]:
    """Where objects of a part end, and at what."""
    seen, hidden, first = known, unknown, 0
    low, high = part.start[0], part.stop[0]
    if low > 0 or high < labels.shape[0]:
        first = min(low, 1)
        end = min(high + 1, labels.shape[0])
        seen, hidden = labels.read(Part((low - first, *part.start[1:]), (end, *part.stop[1:])))
    around = seen.astype(np.int64)
    if hidden is not None:
        around[hidden] = UNKNOWN
    out = []
    for axis, up in SIDES:
        step = 2 * up - 1
        start, stop = (first, first + high - low) if axis == 0 else (0, around.shape[axis])
        start, stop = max(start, -min(step, 0)), min(stop, around.shape[axis] - max(step, 0))
        # Beyond the part nothing is read but in z: what lies on a plane at its border has ends on the other side.
        moved = np.moveaxis(around if axis == 0 else around[first : first + high - low], axis, 0)
        inner, outer = moved[start:stop], moved[start + step : stop + step]
        ends = (inner > 0) & (inner != outer)
        n = int(ends.sum())
        # Each side by itself: where objects are small, there are many such voxels.
        out.append(_summed([np.stack([np.full(n, 2 * axis + up), inner[ends], outer[ends], np.ones(n, np.int64)], 1)]))
    return out


def _summed(contacts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Contacts with equal ones added up."""
    if not contacts or not sum(map(len, contacts)):
        return np.zeros((0, 4), np.int64)
    every = np.concatenate(contacts)
    side, label, other = every[:, :3].T
    n_values = int(every[:, 1:3].max()) + 2
    if len(SIDES) * n_values**2 < 1 << 63:
        # As one number: rows of three take many times as long to sort.
        numbers, which = np.unique((side * n_values + label) * n_values + other - UNKNOWN, return_inverse=True)
        rest, other = np.divmod(numbers, n_values)
        keys = np.column_stack([*np.divmod(rest, n_values), other + UNKNOWN])
    else:
        keys, which = np.unique(every[:, :3], axis=0, return_inverse=True)
    return np.column_stack([keys, np.bincount(which.ravel(), every[:, 3]).astype(np.int64)])


_recent: OrderedDict[str, Survey] = OrderedDict()


def kept_survey(folder: Path | None, key: str, make: Callable[[], Survey]) -> Survey:
    """A survey from a folder where it is kept, or from now on kept there; the last few are kept in memory, too.

    Parameters
    ----------
    folder : Path, optional
        Where; without it nothing is written.
    key : str
        From :func:`key_of`.
    make : callable
        Measures.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    path = None if folder is None else folder / NAME.format(key)
    found = _recent.pop(key, None)
    if found is None and path is not None:
        found = _read(path)
    if found is None:
        found = make()
    _recent[key] = found
    while len(_recent) > RECENT:
        _recent.popitem(last=False)
    if path is not None and not path.exists():
        _write(path, found)
    return found


def key_of(places: Sequence[Path], **settings: Any) -> str:
    """What tells labels from any other: the files they lie in, their sizes and times, and how they are measured."""
    states = []
    for place in places:
        files = sorted(part for part in place.rglob("*") if part.is_file()) if place.is_dir() else [place]
        for file in files:
            about = file.stat()
            states.append([file.relative_to(place).as_posix(), about.st_size, about.st_mtime_ns])
    text = json.dumps([VERSION, [str(place.resolve()) for place in places], states, settings], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _write(path: Path, survey: Survey) -> None:
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(getattr(survey.table, name)) for name in COLUMNS}
    arrays |= {"contacts": survey.contacts, "counts": np.array([survey.n_background, survey.n_unknown])}
    write_atomically(path, lambda target: save_file(arrays, target), overwrite=True)


def _read(path: Path) -> Survey | None:
    """What was written; None where there is nothing, or nothing whole."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        return None
    try:
        arrays = load_file(path)
        table = MeasuredObjects(*(arrays[name] for name in COLUMNS))
        n = len(table.ids)
        is_whole = all(len(arrays[name]) == n and arrays[name].ndim == axes for name, axes in COLUMNS.items())
        n_background, n_unknown = arrays["counts"].tolist()
        contacts = arrays["contacts"]
    except (SafetensorError, OSError, KeyError, ValueError, TypeError):
        return None
    return Survey(table, n_background, n_unknown, contacts) if is_whole and contacts.shape[1:] == (4,) else None
