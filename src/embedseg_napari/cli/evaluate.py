"""``embedseg evaluate``: scores of label images against the truth."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import Annotated, Any

import typer

from embedseg_napari.cli.console import say, show_table, tell_messages
from embedseg_napari.cli.options import parse_axes, require_writable
from embedseg_napari.core.config import IGNORE_LABELS
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.wording import count


def evaluate(
    truth: Annotated[
        Path,
        typer.Option(
            "--truth", metavar="DIR", help="Folder of true label images or stacks of planes, or a single file."
        ),
    ],
    predicted: Annotated[
        Path,
        typer.Option(
            "--predicted", metavar="DIR", help="Folder of predicted label images with the same names, or a single file."
        ),
    ],
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the scores to this JSON file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing JSON file.")] = False,
    ignore_label: Annotated[
        int | None,
        typer.Option(
            "--ignore-label",
            min=IGNORE_LABELS[0],
            max=IGNORE_LABELS[1],
            metavar="N",
            help="Value of true pixels whose class is unknown.",
        ),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            "--axes",
            metavar="AXES",
            help="Axes of the label images, such as YX, ZYX or TYX, where the files do not say.",
        ),
    ] = None,
) -> None:
    """Compare label images with the truth.

    AP = TP / (TP + FP + FN), objects matched one to one at IoU 0.5 to 0.9, mean over the images. Precision, recall,
    F1 and PQ (panoptic quality) are of all objects together. Every frame of a time-lapse is an image of its own. Where
    the truth is a stack of planes of overlapping objects, AP without one-to-one matching is given too. Pixels of
    unknown class, by an ignore/ folder beside the masks/ of the truth or by --ignore-label, are left out, together with
    predicted objects that lie mostly on them.
    """
    if json_file is not None:
        if json_file.exists() and not overwrite:
            raise DataError(f"{json_file}: exists already; add --overwrite to replace it, or choose another --json.")
        require_writable(json_file.parent, "--json")
    from embedseg_napari.jobs.evaluate import evaluate_folders, scores_as_dict

    scores = scores_as_dict(
        drain(evaluate_folders(truth, predicted, never, ignore_label, parse_axes(axes)), tell_messages)
    )
    _show(scores)
    if json_file is not None:
        from embedseg_napari.core.files.atomic import write_text

        write_text(json_file, json.dumps(scores, indent=2) + "\n", overwrite=overwrite)


def _show(scores: dict[str, Any]) -> None:
    columns = {"AP": "ap", "Precision": "precision", "Recall": "recall", "F1": "f1", "PQ": "pq"}
    if "lenient_ap" in scores:
        columns["Lenient AP"] = "lenient_ap"
    rows = [[key, *(f"{scores[name][key]:.3f}" for name in columns.values())] for key in scores["ap"]]
    means = [sum(scores[name].values()) / len(scores[name]) for name in columns.values()]
    rows.append(["mean", *(f"{value:.3f}" for value in means)])
    first = next(iter(scores["ap"]))
    n_true, n_predicted = (scores["tp"][first] + scores[one][first] for one in ("fn", "fp"))
    say(f"{count(scores['n_images'], 'image')}, {n_true} true and {count(n_predicted, 'predicted object')}")
    show_table("", ["IoU", *columns], rows)
