"""One image of an evaluated folder, brought into the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.evaluation.folders import read_pair
from embedseg_napari.core.evaluation.unknown import restrict_to_known
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.jobs.evaluate import Evaluation, evaluate_arrays
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
    """Label image; of overlapping planes the later ones cover the earlier."""
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
        As in `evaluate_arrays`.
    """
    truth, predicted, ignore = read_pair(files)
    if ignore is not None:
        truth, predicted = restrict_to_known(truth, predicted, ignore)
    scores = yield from evaluate_arrays(truth, predicted, threshold, False, should_stop)
    if truth.ndim > predicted.ndim:
        truth = np.max(truth * np.arange(1, len(truth) + 1, dtype=np.int32)[(..., *[None] * predicted.ndim)], axis=0)
    path = files.true.parent.parent / "images" / files.true.name
    image = read_image(path).array if files.true.parent.name == "masks" and path.is_file() else None
    if image is not None and image.shape != predicted.shape:
        # Channels and colours are not needed to recognise the place.
        image = None
    return OpenedPair(files.name, truth, predicted, image, scores)


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
