"""``embedseg evaluate``: scores of label images against the truth."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 (the command line reads annotations at run time)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedseg_napari.cli.console import complain, count, say, show_table
from embedseg_napari.cli.options import require_folder, require_writable, write_text
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

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


def pair_up(truth: Path, predicted: Path) -> list[tuple[Path, Path]]:
    """Find the predicted file of every true one, by name without suffix.

    Raises
    ------
    DataError
        If a folder is missing or empty, or predictions are missing.
    """
    true_files, predicted_files = _files(truth, "Truth folder"), _files(predicted, "Folder of predictions")
    missing = [name for name in true_files if name not in predicted_files]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise DataError(
            f"{predicted} lacks {count(len(missing), 'prediction')} for {truth}: {named}; segment these images too."
        )
    extra = [name for name in predicted_files if name not in true_files]
    if extra:
        complain(f"Warning: {count(len(extra), 'prediction')} without truth left out, the first {extra[0]}.")
    return [(path, predicted_files[name]) for name, path in true_files.items()]


def _files(folder: Path, what: str) -> dict[str, Path]:
    from embedseg_napari.core.data.images import list_images

    require_folder(folder, what)
    found = list_images(folder)
    if not found and (folder / "masks").is_dir():
        found = list_images(folder / "masks")
    if not found:
        raise DataError(f"{what} {folder} holds no TIFF images.")
    return {path.stem: path for path in found}


def score(pairs: Sequence[tuple[Path, Path]], ignore_label: int | None = None) -> dict[str, Any]:
    """Score predicted files against true ones.

    Parameters
    ----------
    pairs : sequence of (Path, Path)
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

    from embedseg_napari.core.evaluation.matching import IOU_THRESHOLDS, lenient_ap, match

    keys = [f"{threshold:.2f}" for threshold in IOU_THRESHOLDS]
    tables: list[list[MatchRow]] = []
    lenient: list[list[float]] = []
    for true_path, predicted_path in pairs:
        true, predicted, ignore = _read_pair(true_path, predicted_path, ignore_label)
        tables.append(match(true, predicted, iou_thresholds=IOU_THRESHOLDS, ignore=ignore))
        if true.ndim > predicted.ndim:
            lenient.append([float(value) for value in lenient_ap(true, predicted, IOU_THRESHOLDS)])

    def per_threshold(values: np.ndarray) -> dict[str, float]:
        return {key: float(value) for key, value in zip(keys, values, strict=True)}

    ap = np.array([[row.ap for row in table] for table in tables])
    tp, fp, fn = (
        np.array([[getattr(row, name) for row in table] for table in tables]).sum(0) for name in ("tp", "fp", "fn")
    )
    total = tp + fp + fn
    scores: dict[str, Any] = {
        "n_images": len(pairs),
        "ap": per_threshold(ap.mean(0)),
        "ap_mean": float(ap.mean()),
        # As for a single image: nothing against nothing is no mistake.
        "precision": per_threshold(np.where(total > 0, tp / np.maximum(tp + fp, 1), 1.0)),
        "recall": per_threshold(np.where(total > 0, tp / np.maximum(tp + fn, 1), 1.0)),
        "f1": per_threshold(np.where(total > 0, 2 * tp / np.maximum(2 * tp + fp + fn, 1), 1.0)),
        **{
            name: dict(zip(keys, map(int, values), strict=True))
            for name, values in (("tp", tp), ("fp", fp), ("fn", fn))
        },
    }
    if len(lenient) == len(pairs):
        values = np.array(lenient)
        scores["lenient_ap"] = per_threshold(values.mean(0))
        scores["lenient_ap_mean"] = float(values.mean())
    scores["images"] = {path.stem: {"ap": per_threshold(row)} for (path, _), row in zip(pairs, ap, strict=True)}
    return scores


def _read_pair(
    true_path: Path, predicted_path: Path, ignore_label: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Truth, prediction and pixels of unknown class."""
    import numpy as np

    from embedseg_napari.core.data.images import read_image
    from embedseg_napari.core.data.sparse import split_ignore_label, union

    arrays = []
    unknown = None
    for path in (true_path, predicted_path):
        array = read_image(path).array
        if not (np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
            raise DataError(f"{path}: holds {array.dtype} values; a label image needs whole numbers, one per object.")
        if path == true_path:
            array, unknown = split_ignore_label(array, ignore_label)
        if np.issubdtype(array.dtype, np.signedinteger) and array.size and array.min() < 0:
            raise DataError(f"{path}: holds negative numbers; use 0 for background and 1, 2, 3 ... for objects.")
        arrays.append(array)
    true, predicted = arrays
    if true.shape != predicted.shape and true.shape[1:] != predicted.shape:
        raise DataError(
            f"{predicted_path}: has shape {predicted.shape}, but its truth {true_path} has {true.shape}; "
            "compare images of the same size."
        )
    if true.shape != predicted.shape:
        true = true != 0
        if unknown is not None:
            unknown = np.asarray(unknown.all(0) if ignore_label == 0 else unknown.any(0))
    ignore_path = true_path.parent.with_name("ignore") / true_path.name
    if true_path.parent.name != "masks" or not ignore_path.exists():
        return true, predicted, unknown
    ignore = read_image(ignore_path).array != 0
    if ignore.shape != predicted.shape:
        raise DataError(f"{ignore_path}: has shape {ignore.shape}, but its image {predicted.shape}.")
    return true, predicted, union(unknown, ignore)


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
