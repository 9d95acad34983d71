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
    return " · ".join(parts if seeds is None else [*parts, f"seed threshold {seeds:.2f}"])


def _score(row: Round) -> str:
    if row.comparison is not None and row.comparison.held_out.n_objects:
        found = row.comparison.held_out
        return f"found {found.now} of {count(found.n_objects, 'held-out object')}"
    return "not scored" if row.score is None else f"found {100 * row.score:.0f} % of held-out objects"


def start_round(row: Round, rounds: Sequence[Round]) -> Round | None:
    """The earlier round that a round started from, by the user's file of its model or the one in the session."""
    start = row.started_from.replace("\\", "/")
    for one in rounds:
        is_it = row.started_from == one.saved_as or (one.model_file and start.endswith(one.model_file))
        if start and one.number < row.number and is_it:
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
    total, images = found.in_images, count(found.n_images, "image")
    if total.before is None:
        return f"Found by round {row.number}: {', '.join(groups)}; in all {total.now:,} in {images}."
    return (
        f"{_verdict(row, start_name(row, rounds))} Found before → now: {', '.join(groups)}; in all "
        f"{total.before:,} → {total.now:,} in {images}."
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
            return f"The held-out objects show no difference to {start}."
        case _:
            return (
                f"Not enough to tell whether it is better than {start}: that takes {ENOUGH_OBJECTS} held-out objects."
            )
