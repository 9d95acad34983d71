"""What a person said of a sample, and how good the labels are after that."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.estimate.intervals import Interval, found_share, missed_objects, right_objects
from embedseg_napari.core.estimate.sample import Place, Sample, SampledObject
from embedseg_napari.core.files.atomic import write_text
from embedseg_napari.core.files.documents import Unreadable, parse_json, read_text
from embedseg_napari.core.measure.table_files import write_table
from embedseg_napari.core.settings import Settings
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORMAT_VERSION = 1
BLOCK = 10
"""Objects that are judged before areas have their turn: who stops half-way has judged some of both."""
Point = Annotated[tuple[float, ...], Field(min_length=2, max_length=3)]


@dataclass(frozen=True)
class Estimate:
    """How good labels are; of each interval the estimate, and its limits at 95 %. None where too little was judged."""

    n_found: int
    """Objects in the labels."""
    n_judged: int
    """Objects that a person has judged."""
    n_areas: int
    share: float
    """Part of all pixels that the areas are in which missed objects were counted."""
    precision: Interval | None
    """Part of the found objects that are right."""
    missed: Interval | None
    """Number of objects that no label outlines rightly."""
    recall: Interval | None
    """Part of all objects that are found and right."""

    def __str__(self) -> str:
        lines = []
        if self.precision is not None:
            right = Interval(*(part * self.n_found for part in self.precision))
            of = f"{_words(right, 0)} of {count(self.n_found, 'object')} are right"
            lines.append(f"Precision: {_words(self.precision, 2)}; {of}.")
        if self.missed is not None:
            lines.append(f"Missed objects: {_words(self.missed, 0)}.")
        if self.recall is not None:
            lines.append(f"Recall: {_words(self.recall, 2)}.")
        judged = f"{count(self.n_judged, 'object')} and {count(self.n_areas, 'area')}"
        part = f" ({100 * self.share:.3g} % of all pixels)" if self.n_areas else ""
        lines.append(f"In brackets 95 % intervals, from {judged}{part} chosen at random and judged by a person.")
        return "\n".join(lines)


def _words(one: Interval, digits: int) -> str:
    return f"{one.value:.{digits}f} ({one.low:.{digits}f} to {one.high:.{digits}f})"


def estimate(sample: Sample, right: Sequence[bool | None], missed: Sequence[int | None]) -> Estimate:
    """Estimate precision, missed objects and recall from what a person said of a sample.

    Precision has the exact interval of a sample from a finite whole (Wright 1991). Missed objects are estimated from
    the areas alone, by the ratio estimator, with a Clopper-Pearson interval by the design effect of clumps (Korn and
    Graubard 1998). The interval of recall combines the two (MOVER-R; Donner and Zou 2012).

    Parameters
    ----------
    sample : Sample
        From :func:`draw_sample`.
    right : sequence of bool or None
        Whether each object of the sample is right, in their order; fewer than were drawn if the judge has stopped
        early, and None for an object of which one cannot tell. Such objects, and areas, are left out.
    missed : sequence of int or None
        How many objects whose middle lies in each area are outlined by no label, or by a wrong one.

    Returns
    -------
    Estimate
        Its text is a summary.

    Raises
    ------
    SettingsError
        If there are more answers than questions.
    """
    if len(right) > len(sample.objects) or len(missed) > len(sample.areas):
        raise SettingsError(
            f"The sample has {count(len(sample.objects), 'object')} and {count(len(sample.areas), 'area')}, but "
            f"{len(right)} and {len(missed)} were judged; give the judgements of this sample."
        )
    verdicts = [bool(one) for one in right if one is not None]
    looked_at = [(area, n) for area, n in zip(sample.areas, missed, strict=False) if n is not None]
    share = sum(area.n_pixels for area, _ in looked_at) / math.prod(sample.shape)
    n_right = right_objects(sum(verdicts), len(verdicts), sample.n_found)
    counts = [n for _, n in looked_at]
    n_missed = missed_objects(counts, share)
    precision = None if n_right is None or sample.n_found == 0 else n_right.over(sample.n_found)
    recall = found_share(n_right, n_missed, sum(counts))
    return Estimate(sample.n_found, len(verdicts), len(looked_at), share, precision, n_missed, recall)


class Answer(Settings):
    """What a person said of an object or an area."""

    right: bool | None = None
    """Of an object; None where one cannot tell."""
    missed: tuple[Point, ...] | None = None
    """Of an area: middles of missed objects, (z, y, x) in pixels; None where one cannot tell."""


class _Record(Settings):
    """What is saved."""

    labels: Annotated[str, Field(max_length=4096)] = ""
    """Name of the labels that were judged."""
    sample: Sample
    answers: tuple[Answer, ...] = ()


class Judgement:
    """A sample that is gone through step by step, in blocks of objects and areas.

    Parameters
    ----------
    sample : Sample
        What is judged.
    labels : str
        Name of the labels.
    answers : sequence of Answer
        To the first steps, where the judgement goes on.
    """

    def __init__(self, sample: Sample, labels: str = "", answers: Sequence[Answer] = ()) -> None:
        self.sample, self.labels, self.answers = sample, labels, list(answers)
        objects, areas = sample.objects, sample.areas
        n_blocks = max(math.ceil(len(objects) / BLOCK), 1)
        self.steps: list[SampledObject | Place] = []
        for block in range(n_blocks):
            first, end = (len(areas) * one // n_blocks for one in (block, block + 1))
            self.steps += [*objects[block * BLOCK : (block + 1) * BLOCK], *areas[first:end]]

    @property
    def current(self) -> SampledObject | Place | None:
        """What is to be judged next; None where all is done."""
        return self.steps[len(self.answers)] if len(self.answers) < len(self.steps) else None

    def answer(self, answer: Answer) -> None:
        """Judge the current step."""
        if self.current is not None:
            self.answers.append(answer)

    def undo(self) -> Answer | None:
        """Take the last answer back; it is the current step again."""
        return self.answers.pop() if self.answers else None

    def estimate(self) -> Estimate:
        """What the answers so far say."""
        right: list[bool | None] = []
        missed: list[int | None] = []
        for step, answer in zip(self.steps, self.answers, strict=False):
            if isinstance(step, SampledObject):
                right.append(answer.right)
            else:
                missed.append(None if answer.missed is None else len(answer.missed))
        return estimate(self.sample, right, missed)

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Save all of it as JSON, or what was judged as a table: the ending says which.

        Raises
        ------
        DataError
            If the file exists, or cannot be written.
        """
        if path.suffix.lower() != ".json":
            write_table(path, self._table(), overwrite=overwrite)
            return
        record = _Record(labels=self.labels, sample=self.sample, answers=tuple(self.answers))
        said = {
            name: value._asdict() if isinstance(value, Interval) else value
            for name, value in vars(self.estimate()).items()
        }
        values = {"format_version": FORMAT_VERSION, "estimate": said, **record.model_dump(mode="json")}
        write_text(path, json.dumps(values, indent=1), overwrite=overwrite)

    def _table(self) -> dict[str, Any]:
        """A row for each step that was judged."""
        rows = list(zip(self.steps, self.answers, strict=False))
        areas = [not isinstance(step, SampledObject) for step, _ in rows]
        said = {True: "right", False: "wrong", None: "unsure"}
        table: dict[str, Any] = {
            "kind": ["area" if is_area else "object" for is_area in areas],
            "frame": [step.frame for step, _ in rows],
            "label": [step.label if isinstance(step, SampledObject) else "" for step, _ in rows],
        }
        for i, letter in enumerate(self.sample.axes[-len(self.steps[0].lower) :].lower()):
            table[f"bbox_min_{letter}_px"] = [step.lower[i] for step, _ in rows]
            table[f"bbox_max_{letter}_px"] = [step.upper[i] for step, _ in rows]
        table["verdict"] = [
            ("unsure" if answer.missed is None else "judged") if is_area else said[answer.right]
            for (_, answer), is_area in zip(rows, areas, strict=True)
        ]
        table["missed"] = ["" if answer.missed is None else len(answer.missed) for _, answer in rows]
        return {name: np.array(values, object) for name, values in table.items()}


def read_judgement(path: Path) -> Judgement:
    """Read a judgement that was saved as JSON, to go on with it.

    Raises
    ------
    DataError
        If the file is none, damaged, or of a later version.
    """
    try:
        values = parse_json(read_text(path))
    except (Unreadable, OSError) as error:
        raise DataError(f"{path}: is no saved judgement of labels ({error}).") from error
    if values.pop("format_version", None) != FORMAT_VERSION or "sample" not in values:
        raise DataError(f"{path}: is no saved judgement of labels, or one of another version of embedseg-napari.")
    values.pop("estimate", None)
    try:
        record = _Record.parse(values)
    except SettingsError as error:
        raise DataError(f"{path}: is damaged. {error}") from error
    sample, n = record.sample, len(record.sample.axes.replace("T", ""))
    made = Judgement(sample, record.labels, record.answers)
    fits = (
        len(sample.shape) == len(sample.axes)
        and len(record.answers) + len(made.steps) > 0
        and len(record.answers) <= len(made.steps)
        and all(len(step.lower) == len(step.upper) == n for step in made.steps)
        and all(len(point) == n for answer in record.answers for point in answer.missed or ())
        and all(low < high for step in made.steps for low, high in zip(step.lower, step.upper, strict=True))
        and len(sample.objects) <= sample.n_found
        and math.prod(sample.shape) > 0
    )
    if not fits:
        raise DataError(f"{path}: is damaged; its sample and its answers do not fit together.")
    return made
