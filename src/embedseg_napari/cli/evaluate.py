"""``embedseg evaluate``: scores of label images against the truth."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedseg_napari.cli.console import complain, say, show_table
from embedseg_napari.cli.options import require_folder, require_writable, write_text
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from embedseg_napari.core.evaluation.folders import FilePair
    from embedseg_napari.core.evaluation.matching import MatchRow


def evaluate(
    truth: Annotated[
        Path, typer.Option("--truth", metavar="DIR", help="Folder of true label images, or of stacks of planes.")
    ],
    predicted: Annotated[
        Path, typer.Option("--predicted", metavar="DIR", help="Folder of label images of the same names.")
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the scores to this JSON file.")
    ] = None,
    ignore_label: Annotated[
        int | None,
        typer.Option("--ignore-label", metavar="N", help="Value of true pixels whose class is unknown."),
    ] = None,
) -> None:
    """Compare label images with the truth.

    AP = TP / (TP + FP + FN), objects matched one to one at IoU 0.5 to 0.9, mean over the images. Precision, recall and
    F1 are of all objects together. Where the truth is a stack of planes of overlapping objects, AP without one-to-one
    matching is given too. Pixels of unknown class, by an ignore/ folder beside the masks/ of the truth or by
    --ignore-label, are left out, together with predicted objects that lie mostly on them.
    """
    pairs = pair_up(truth, predicted)
    if json_file is not None:
        require_writable(json_file.parent, "--json")
    scores = score(pairs, ignore_label)
    _show(scores)
    if json_file is not None:
        write_text(json_file, json.dumps(scores, indent=2) + "\n")


def pair_up(truth: Path, predicted: Path) -> list[FilePair]:
    """Find the predicted file of every true one, and warn of those that have none.

    Raises
    ------
    DataError
        If a folder is missing or empty, or predictions are missing.
    """
    from embedseg_napari.core.evaluation.folders import pair_folders

    require_folder(truth, "Truth folder")
    require_folder(predicted, "Folder of predictions")
    pairs, extra = pair_folders(truth, predicted)
    if extra:
        complain(f"Warning: {count(len(extra), 'prediction')} without truth left out, the first {extra[0]}.")
    return pairs


def score(pairs: Sequence[FilePair], ignore_label: int | None = None) -> dict[str, Any]:
    """Score predicted files against true ones.

    Parameters
    ----------
    pairs : sequence of FilePair
        True and predicted file of each image.
    ignore_label : int, optional
        Value of true pixels whose class is unknown.

    Returns
    -------
    dict
        Ready for JSON: ``n_images``; ``ap`` per threshold and ``ap_mean``, means over the images; ``precision``,
        ``recall``, ``f1``, ``tp``, ``fp``, ``fn`` per threshold over all objects; ``lenient_ap`` and
        ``lenient_ap_mean`` where the truth overlaps; ``images`` with the AP of each.

    Raises
    ------
    DataError
        Naming a file that cannot be scored.
    """
    import numpy as np

    from embedseg_napari.core.evaluation.folders import read_pair
    from embedseg_napari.core.evaluation.matching import IOU_THRESHOLDS, lenient_ap, match
    from embedseg_napari.core.evaluation.summary import pool

    keys = [f"{threshold:.2f}" for threshold in IOU_THRESHOLDS]
    tables: list[list[MatchRow]] = []
    lenient: list[list[float]] = []
    for pair in pairs:
        true, predicted, ignore = read_pair(pair, ignore_label)
        tables.append(match(true, predicted, iou_thresholds=IOU_THRESHOLDS, ignore=ignore))
        if true.ndim > predicted.ndim:
            lenient.append(lenient_ap(true, predicted, IOU_THRESHOLDS))

    def per_threshold(values: Iterable[float]) -> dict[str, float]:
        return {key: float(value) for key, value in zip(keys, values, strict=True)}

    rows = pool(tables)
    scores: dict[str, Any] = {
        "n_images": len(pairs),
        "ap": per_threshold(row.ap for row in rows),
        "ap_mean": float(np.mean([row.ap for row in rows])),
        **{name: per_threshold(getattr(row, name) for row in rows) for name in ("precision", "recall", "f1")},
        **{name: {key: getattr(row, name) for key, row in zip(keys, rows, strict=True)} for name in ("tp", "fp", "fn")},
    }
    if len(lenient) == len(pairs):
        scores["lenient_ap"] = per_threshold(np.mean(lenient, axis=0))
        scores["lenient_ap_mean"] = float(np.mean(lenient))
    scores["images"] = {
        pair.true.stem: {"ap": per_threshold(row.ap for row in table)}
        for pair, table in zip(pairs, tables, strict=True)
    }
    return scores


def _show(scores: dict[str, Any]) -> None:
    columns = {"AP": "ap", "Precision": "precision", "Recall": "recall", "F1": "f1"}
    if "lenient_ap" in scores:
        columns["Lenient AP"] = "lenient_ap"
    rows = [[key, *(f"{scores[name][key]:.3f}" for name in columns.values())] for key in scores["ap"]]
    means = [sum(scores[name].values()) / len(scores[name]) for name in columns.values()]
    rows.append(["mean", *(f"{value:.3f}" for value in means)])
    first = next(iter(scores["ap"]))
    say(f"{count(scores['n_images'], 'image')}, {scores['tp'][first] + scores['fn'][first]} true objects")
    show_table("", ["IoU", *columns], rows)
