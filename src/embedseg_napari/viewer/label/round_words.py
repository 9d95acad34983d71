"""What a round of training was, and how it compares with where it started, in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.evaluation.before_after import ENOUGH_OBJECTS
from embedseg_napari.core.wording import count
from embedseg_napari.viewer.widgets.boxes import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.session.state import FoundObjects, Round

GROUPS = {"held_out": "held out", "accepted": "accepted", "painted": "painted"}


def round_line(row: Round) -> str:
    """A round in one line."""
    parts = [
        f"Round {row.number}",
        f"{count(row.n_objects, 'object')} in {count(row.n_images, 'image')}",
        f"{row.seconds / 60:.1f} min",
        _score(row),
    ]
    seeds = row.thresholds.get("seed_threshold")
    return " · ".join(parts if seeds is None else [*parts, f"seeds from {seeds:.2f}"])


def _score(row: Round) -> str:
    if row.comparison is not None and row.comparison.held_out.n_objects:
        found = row.comparison.held_out
        return f"found {found.now} of {count(found.n_objects, 'held-out object')}"
    return "not scored" if row.score is None else f"found {100 * row.score:.0f} % of held-out objects"


def start_round(row: Round, rounds: Sequence[Round]) -> Round | None:
    """The earlier round that a round started from, by the user's file of its model or the one in the session."""
    start = row.started_from.replace("\\", "/")
    for one in rounds:
        if start and one.number < row.number and (row.started_from == one.saved_as or start.endswith(one.model_file)):
            return one
    return None


def start_name(row: Round, rounds: Sequence[Round]) -> str:
    """What a round started from: an earlier round of the session, or a model by its name."""
    earlier = start_round(row, rounds)
    return short(Path(row.started_from).stem) if earlier is None else f"round {earlier.number}"


def comparison_words(row: Round, rounds: Sequence[Round]) -> str:
    """How a round compares with where it started; empty where nothing is known of that."""
    found = row.comparison
    if found is None:
        return ""
    groups = [f"{word} {_change(group)}" for name, word in GROUPS.items() if (group := getattr(found, name)).n_objects]
    total = found.in_images
    if total.before is None:
        return f"Round {row.number} finds, of the annotated objects: {', '.join(groups)}."
    start = start_name(row, rounds)
    in_all = f"in all {total.before:,} → {total.now:,} in {count(found.n_images, 'image')}"
    return (
        f"Found by {start} → by round {row.number}, of the annotated objects: {', '.join(groups)}; {in_all}. "
        f"{_verdict(row, start)}"
    )


def _change(group: FoundObjects) -> str:
    now = f"{group.now} of {group.n_objects}"
    return now if group.before is None else f"{group.before} → {now}"


def _verdict(row: Round, start: str) -> str:
    assert row.comparison is not None
    match row.comparison.verdict:
        case "worse":
            return f"Round {row.number} is worse than {start}."
        case "better":
            return f"Round {row.number} is better than {start}."
        case "alike":
            return "The held-out objects show no difference."
        case _:
            return f"Not enough to tell which is better: that takes {ENOUGH_OBJECTS} held-out objects."
