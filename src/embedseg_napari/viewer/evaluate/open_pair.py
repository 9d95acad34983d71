"""One image of an evaluated folder, brought into the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.evaluation.label_pair import read_pair
from embedseg_napari.core.files.pairing import by_name, image_name, partners
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.jobs.evaluate import Evaluation, evaluate_parts, with_errors
from embedseg_napari.viewer.result_layers import is_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.viewer import Viewer

    from embedseg_napari.core.evaluation.folders import FilePair


@dataclass(frozen=True, slots=True)
class OpenedPair:
    """Truth and prediction of one image, compared."""

    name: str
    truth: np.ndarray
    """Label image, with the frames of a time-lapse in front; of overlapping planes the later ones cover the earlier."""
    predicted: np.ndarray
    image: np.ndarray | None
    """The image itself, where it lies in a folder ``images`` beside that of the truth."""
    scores: Evaluation


def open_files(files: FilePair, threshold: float, should_stop: Callable[[], bool]) -> Generator[Any, None, OpenedPair]:
    """Read and compare one pair of files.

    Parameters
    ----------
    files : FilePair
        Truth and prediction.
    threshold : float
        IoU at which mistakes are shown.
    should_stop : callable
        As in `evaluate_parts`.
    """
    parts, _ = read_pair(files)
    scores = yield from evaluate_parts(parts, should_stop, files)
    scores = yield from with_errors(scores, threshold, should_stop)
    truth, predicted = (
        np.stack([_flat(getattr(one, part), one.ndim) for one in scores.parts]) for part in ("true", "predicted")
    )
    if not scores.has_frames:
        truth, predicted = truth[0], predicted[0]
    name, image = image_name(files.true), None
    folder = files.true.parent.parent / "images"
    if files.true.parent.name == "masks" and folder.is_dir():
        path = partners([name], by_name(list_images(folder))).get(name)
        image = None if path is None else read_image(path).array
    if image is not None and image.shape != predicted.shape:
        # Channels and colours are not needed to recognise the place.
        image = None
    return OpenedPair(files.name, truth, predicted, image, scores)


def _flat(labels: np.ndarray, ndim: int) -> np.ndarray:
    """Labels, or planes as labels: the later ones cover the earlier."""
    if labels.ndim == ndim:
        return labels
    flat = np.zeros(labels.shape[1:], np.int32)
    for number, plane in enumerate(labels, 1):
        flat[plane != 0] = number
    return flat


def show_opened(viewer: Viewer, opened: OpenedPair, into: dict[str, Any]) -> dict[str, Any]:
    """Show a pair as layers, in place of the pair shown before.

    Parameters
    ----------
    viewer : Viewer
        Where.
    opened : OpenedPair
        What.
    into : dict of str to layer
        Layers of the pair shown before, by their part: image, truth, prediction.
    """
    for layer in into.values():
        if is_shown(viewer, layer):
            viewer.layers.remove(layer)
    shown = {}
    if opened.image is not None:
        shown["image"] = viewer.add_image(opened.image, name=f"{opened.name} image")
    shown["truth"] = viewer.add_labels(_as_labels(opened.truth), name=f"{opened.name} truth", visible=False)
    shown["prediction"] = viewer.add_labels(
        _as_labels(opened.predicted), name=f"{opened.name} prediction", visible=False
    )
    return shown


def _as_labels(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint8) if array.dtype == bool else array
