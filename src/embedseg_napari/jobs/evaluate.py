"""Label images and their truth in, as arrays or as folders; scores and mistakes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError, Stopped
from embedseg_napari.core.evaluation.diagnosis import Comparison, Finding, Kind, compare, diagnose
from embedseg_napari.core.evaluation.error_map import paint
from embedseg_napari.core.evaluation.folders import FilePair, pair_folders
from embedseg_napari.core.evaluation.label_pair import LabelPair, read_pair
from embedseg_napari.core.evaluation.matching import IOU_THRESHOLDS, MatchRow
from embedseg_napari.core.evaluation.planes import require_planes, spatial_ndim
from embedseg_napari.core.evaluation.summary import pool
from embedseg_napari.core.evaluation.truth_check import TruthCheck
from embedseg_napari.core.events import Message
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.notes import Notes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ImageScored:
    """One more image (of layers: frame) has its scores."""

    done: int
    n_images: int


@dataclass(frozen=True, slots=True)
class ImageScore:
    """Scores of one image."""

    name: str
    rows: tuple[MatchRow, ...]
    files: FilePair | None = None
    """Where it came from, if not from layers."""
    frame: int | None = None
    """Which frame of a time-lapse it is."""


@dataclass(frozen=True, slots=True)
class Errors:
    """The mistakes at one threshold, painted and listed."""

    threshold: float
    overlay: np.ndarray
    """uint8, shape of the prediction; values of `error_overlay.Mark`."""
    findings: tuple[Finding, ...]
    """In a stack of frames, centres and boxes begin with the frame."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of all images together, and what is needed to show mistakes at other thresholds."""

    rows: tuple[MatchRow, ...]
    images: tuple[ImageScore, ...]
    lenient: tuple[float, ...] = ()
    """AP without one-to-one matching, where the truth is planes; else empty."""
    errors: Errors | None = None
    """Only for layers."""
    compared: tuple[Comparison, ...] = ()
    parts: tuple[LabelPair, ...] = ()
    """What was compared, an image or frame each."""
    has_frames: bool = False


def why_not_comparable(
    truth: tuple[int, ...], predicted: tuple[int, ...], has_frames: bool, are_planes: bool = False
) -> str:
    """Say in a sentence why two label arrays of these shapes cannot be compared; empty if they can.

    `are_planes` says that the prediction is planes of one object each, K, (Z), Y, X; the truth may be so, too.
    """
    if truth == predicted or (are_planes and predicted[1:] in (truth, truth[1:])):
        return ""
    # Planes of one object each: an axis more, in front of the spatial ones.
    at = int(has_frames)
    if len(truth) == len(predicted) + 1 and truth[:at] + truth[at + 1 :] == predicted:
        return ""
    there, here = (" x ".join(map(str, shape)) for shape in (truth, predicted))
    return f"The truth has {there} pixels, the prediction {here}: choose labels of the same image."


def evaluate_arrays(
    truth: Any,
    predicted: Any,
    threshold: float,
    has_frames: bool,
    should_stop: Callable[[], bool],
    ignore: NDArray[np.bool_] | None = None,
    are_planes: bool = False,
) -> Generator[ImageScored | Message, None, Evaluation]:
    """Score labels against the truth and show the mistakes.

    Parameters
    ----------
    truth, predicted : array, shape ((T,) (Z,) Y, X)
        Ids, perhaps lazy. A truth with one axis more than the prediction is planes of one object each, (T,) K, ...
    threshold : float
        IoU at which mistakes are shown.
    has_frames : bool
        Whether the first axis counts separate images.
    should_stop : callable
        Looked at between frames.
    ignore : ndarray of bool, shape ((T,) (Z,) Y, X), optional
        Pixels of unknown class.
    are_planes : bool
        Whether the prediction is planes of one object each, K, (Z), Y, X; a truth of as many axes is so, too.

    Raises
    ------
    DataError
        If shapes or types do not fit.
    Stopped
        If `should_stop` returned True.
    """
    # Two boolean arrays would be taken for planes; a layer's are foreground, one object each.
    truth, predicted = (a.view(np.uint8) if a.dtype == bool else a for a in (np.asarray(truth), np.asarray(predicted)))
    fault = why_not_comparable(truth.shape, predicted.shape, has_frames, are_planes)
    if fault:
        raise DataError(fault)
    ndim = predicted.ndim - has_frames - are_planes
    if truth.ndim - has_frames > ndim:
        for true in truth if has_frames else [truth]:
            require_planes(true, "The truth")
        truth = truth != 0
    if are_planes:
        require_planes(predicted, "The prediction")
        predicted = predicted != 0
    parts = [LabelPair("", truth, predicted, ignore, ndim)]
    if has_frames:
        frames = enumerate(zip(truth, predicted, ignore if ignore is not None else [None] * len(truth), strict=True))
        parts = [LabelPair(f"frame {t}", true, found, hidden, ndim, t) for t, (true, found, hidden) in frames]
    elif not are_planes and truth.ndim == predicted.ndim > spatial_ndim(truth, predicted):
        yield Message(
            "Every plane of both layers holds one number, and they were scored as volumes. If they are planes of one "
            "object each, save them and compare the folders.",
            "warning",
        )
    scores = yield from evaluate_parts(parts, should_stop)
    return (yield from with_errors(scores, threshold, should_stop))


def evaluate_parts(
    parts: Sequence[LabelPair], should_stop: Callable[[], bool], files: FilePair | None = None
) -> Generator[ImageScored | Message, None, Evaluation]:
    """Score one image, or the frames of one time-lapse, in a form whose mistakes can be shown; see `with_errors`.

    Parameters
    ----------
    parts : sequence of LabelPair
        What is compared.
    should_stop : callable
        Looked at between frames.
    files : FilePair, optional
        Where it came from, if not from layers.

    Raises
    ------
    DataError
        If the truth is no truth.
    Stopped
        If `should_stop` returned True.
    """
    names = ("The truth", "The prediction") if files is None else (str(files.true), str(files.predicted))
    known, compared, images, lenient, check = [], [], [], [], TruthCheck(is_of_layers=files is None)
    for one in parts:
        if should_stop():
            raise Stopped("The evaluation was stopped.")
        check.look(names, one)
        known.append(one.known())
        compared.append(compare(known[-1].true, known[-1].predicted, one.are_planes))
        images.append(ImageScore(one.name, tuple(one.match()), files, one.frame))
        lenient += [one.lenient_ap()] if one.is_true_planes else []
        yield ImageScored(len(images), len(parts))
    for warning in check.warnings():
        yield Message(warning, "warning")
    return Evaluation(
        tuple(pool([image.rows for image in images])),
        tuple(images),
        _mean_of_all(lenient, len(images)),
        None,
        tuple(compared),
        tuple(known),
        parts[0].frame is not None,
    )


def _mean_of_all(lenient: Sequence[Sequence[float]], n_images: int) -> tuple[float, ...]:
    """Mean of the scores that count overlaps leniently, where all images have some."""
    return tuple(np.mean(lenient, axis=0).tolist()) if len(lenient) == n_images else ()


def with_errors(
    scores: Evaluation, threshold: float, should_stop: Callable[[], bool]
) -> Generator[ImageScored, None, Evaluation]:
    """Show the mistakes of an evaluation of layers at another threshold; the scores stay.

    Raises
    ------
    Stopped
        If `should_stop` returned True.
    """
    if not scores.parts:
        return scores
    overlays = []
    findings: list[Finding] = []
    for index, (one, compared) in enumerate(zip(scores.parts, scores.compared, strict=True)):
        if should_stop():
            raise Stopped("The evaluation was stopped.")
        found = diagnose(compared, threshold)
        overlays.append(paint(one.true, one.predicted, compared, found))
        findings += [_in_frame(f, index) for f in found.findings] if scores.has_frames else found.findings
        yield ImageScored(index + 1, len(scores.compared))
    if scores.has_frames:
        order = list(Kind)
        findings.sort(key=lambda finding: order.index(finding.kind) if finding.kind is not Kind.FOUND else 99)
    overlay = np.stack(overlays) if scores.has_frames else overlays[0]
    return replace(scores, errors=Errors(threshold, overlay, tuple(findings)))


def _in_frame(finding: Finding, frame: int) -> Finding:
    return replace(
        finding,
        center=(float(frame), *finding.center),
        lower=(frame, *finding.lower),
        upper=(frame + 1, *finding.upper),
    )


def evaluate_folders(
    truth: Path,
    predicted: Path,
    should_stop: Callable[[], bool],
    ignore_label: int | None = None,
    axes: str | None = None,
) -> Generator[ImageScored | Message, None, Evaluation]:
    """Score the label images of a folder against those of the same names in another one.

    The frames of a time-lapse are images of their own.

    Parameters
    ----------
    truth, predicted : Path
        As :func:`pair_folders` takes them.
    should_stop : callable
        Looked at between images.
    ignore_label : int, optional
        Value of true pixels whose class is unknown.
    axes : str, optional
        Axes of the label images, where the files do not say or say wrong.

    Raises
    ------
    DataError
        Naming the folder or file that cannot be scored.
    Stopped
        If `should_stop` returned True.
    """
    pairs, extra = pair_folders(truth, predicted)
    if extra:
        left_out = count(len(extra), "prediction")
        yield Message(f"{left_out} without truth left out, the first {extra[0]}.", "warning")
    images: list[ImageScore] = []
    lenient, check = [], TruthCheck()
    notes = Notes()
    for index, pair in enumerate(pairs):
        if should_stop():
            raise Stopped("The evaluation was stopped.")
        parts, guess = read_pair(pair, ignore_label, axes, notes)
        if guess:
            notes(str(pair.true), guess)
        for one in parts:
            check.look((str(pair.true), str(pair.predicted)), one)
            images.append(ImageScore(one.name, tuple(one.match()), pair, one.frame))
            lenient += [one.lenient_ap()] if one.is_true_planes else []
        yield ImageScored(index + 1, len(pairs))
    for warning in (*notes.sentences(), *check.warnings()):
        yield Message(warning, "warning")
    rows = pool([image.rows for image in images])
    return Evaluation(tuple(rows), tuple(images), _mean_of_all(lenient, len(images)))


def scores_as_dict(scores: Evaluation) -> dict[str, Any]:
    """Scores of all images together, ready for JSON.

    Returns
    -------
    dict
        ``n_images``; ``ap`` per threshold and ``ap_mean``, means over the images; ``precision``, ``recall``, ``f1``,
        ``pq``, ``tp``, ``fp``, ``fn`` per threshold over all objects; ``lenient_ap`` and ``lenient_ap_mean`` where the
        truth overlaps; ``images`` with the AP of each.
    """
    keys = [f"{row.threshold:.2f}" for row in scores.rows]

    def column(name: str, rows: Sequence[MatchRow] = scores.rows) -> dict[str, Any]:
        return {key: getattr(row, name) for key, row in zip(keys, rows, strict=True)}

    found: dict[str, Any] = {"n_images": len(scores.images), "ap": column("ap"), "ap_mean": mean_ap(scores)}
    found |= {name: column(name) for name in ("precision", "recall", "f1", "pq", "tp", "fp", "fn")}
    if scores.lenient:
        found["lenient_ap"] = dict(zip(keys, scores.lenient, strict=True))
        found["lenient_ap_mean"] = float(np.mean(scores.lenient))
    found["images"] = {image.name: {"ap": column("ap", image.rows)} for image in scores.images}
    return found


def scores_as_csv(scores: Evaluation) -> str:
    """Scores of all images together and of each, as the text of a CSV file."""
    names = ("threshold", "tp", "fp", "fn", "precision", "recall", "f1", "ap", "pq")
    lines = ["image," + ",".join(names)]
    tables = [("all", scores.rows), *((image.name, image.rows) for image in scores.images if image.name)]
    for image, rows in tables:
        quoted = '"' + image.replace('"', '""') + '"'
        lines += [f"{quoted}," + ",".join(f"{getattr(row, name):.6g}" for name in names) for row in rows]
    return "\n".join(lines) + "\n"


def mean_ap(scores: Evaluation) -> float:
    """Mean AP over the thresholds 0.5 ... 0.9."""
    return sum(row.ap for row in scores.rows) / len(IOU_THRESHOLDS)
