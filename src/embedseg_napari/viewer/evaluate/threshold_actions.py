"""From the click on *Find* to the saved model: what happens with the thresholds' part of the Evaluate panel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog

from embedseg_napari.core.axes import ordered, reorder, result_axes
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.model.model_file import SUFFIX
from embedseg_napari.jobs.segment import SegmentJob
from embedseg_napari.jobs.training_pairs import FRAMES
from embedseg_napari.jobs.tune import TuningImage, predict_and_tune, store_thresholds, tune
from embedseg_napari.viewer.labelled_images import labelled_part, ordered_labels
from embedseg_napari.viewer.layers import FOUND, RESULT, TUNED, found_in, of_image
from embedseg_napari.viewer.model_list import models, read_config
from embedseg_napari.viewer.provenance import maps_of, remember
from embedseg_napari.viewer.result_layers import is_shown, show_labels, spatial_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image, Labels

    from embedseg_napari.core.files.tiff import Picture
    from embedseg_napari.jobs.tune import Tuning
    from embedseg_napari.viewer.evaluate.source import EvaluationSource
    from embedseg_napari.viewer.evaluate.threshold_panel import ThresholdPanel

SPACE = {2: "YX", 3: "ZYX", 4: "TZYX"}
"""Axes of labels by their number; frames of an image lie along the first, whatever it is called."""
SUFFIX_OF_TUNED = " tuned"
"""Follows the name of the labels whose thresholds were tuned."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Layers that thresholds are searched for; others may be chosen before they are found."""

    truth: Labels
    predicted: Labels | None
    axes: str
    """Of the prediction; empty without one."""
    is_flat: bool
    """Whether the truth has a depth of one plane, and the objects are found without depth."""
    found_in: dict[str, Any]
    """Which image the objects are found in, as metadata of their layer say it; empty where that is not known."""


class TuningFlow(QObject):
    """Searches for thresholds, shows what they give, and stores them with the model.

    Parameters
    ----------
    viewer : napari viewer
        Where labels are shown.
    panel : ThresholdPanel
        Choices and results.
    source : EvaluationSource
        Truth and prediction.
    start : callable
        Runs a generator in the background: ``start(run, on_result, what)``.
    say : callable
        Shows a sentence.
    evaluate : callable
        Evaluates what is chosen.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        panel: ThresholdPanel,
        source: EvaluationSource,
        start: Callable[[Callable[..., Any], Callable[[Any], None], str], None],
        say: Callable[[str], None],
        evaluate: Callable[[], None],
    ) -> None:
        super().__init__(panel)
        self.viewer, self.panel, self.source = viewer, panel, source
        self.start, self.say, self.evaluate = start, say, evaluate
        self._pair: _Pair | None = None
        """What the thresholds that are shown were found for."""
        panel.find_clicked.connect(self.find)
        panel.show_clicked.connect(self.show_labels)
        panel.save_clicked.connect(self.save)

    def follow(self) -> None:
        """List the channels of the image that the chosen model is run on."""
        image, path = self.panel.image.layer(), self.panel.model_path()
        if image is None or path is None or self.source.truth.layer() is None:
            return
        try:
            config, picture = read_config(path), self._picture(image)
        except EmbedSegError:
            # It is said once thresholds are searched for.
            return
        sizes = dict(zip(picture.axes, picture.array.shape, strict=True))
        self.panel.list_channels(sizes.get("C", 1), 1 if config is None else config.n_channels)

    def _picture(self, image: Image) -> Picture:
        """The image that a model is run on beside the truth, or the part in which that was found."""
        has_frames = self.source.predicted.layer() is not None and self.source.has_frames()
        truth = self.source.truth.layer()
        assert truth is not None
        return labelled_part(image, truth, FRAMES if has_frames else None)

    def find(self) -> None:
        """Search on the maps at hand, or run the chosen model first."""
        try:
            self._find()
        except EmbedSegError as error:
            self.say(str(error))

    def _find(self) -> None:
        true_layer, predicted = self.source.truth.layer(), self.source.predicted.layer()
        path, origin, image = self.panel.model_path(), maps_of(predicted), self.panel.image.layer()
        if true_layer is None:
            return
        fault = self.source.fault()
        if path is None:
            if origin is None or fault:
                missing = "The maps are no longer in memory; segment again, or choose a model."
                self.say(missing if origin is None else fault)
                return
            (truth, found, ignore), axes = self.source.compared(), self.source.axes()
            is_flat = "Z" in axes and found.shape[-3] == 1 and found.ndim > origin.segmentation.labels.ndim
            if is_flat:
                truth, ignore = _first_plane(truth), _first_plane(ignore)
            assert predicted is not None
            known = [(origin.segmentation, truth, ignore)]
            model, pair = origin.model_path, _Pair(true_layer, predicted, axes, is_flat, of_image(predicted))
            self.start(lambda stop: tune(known, model, stop), partial(self._show, pair), "thresholds")
            return
        if image is None:
            return
        picture = self._picture(image)
        truth, ignore = self.source.known(ordered_labels(true_layer, result_axes(picture.axes), image.name))
        axes = ordered(picture.axes)
        array = reorder(picture.array, picture.axes, axes)
        config = read_config(path)
        is_flat = "Z" in axes and array.shape[-3] == 1 and config is not None and config.ndim == 2
        if is_flat:
            is_flat = truth.ndim >= len(result_axes(axes))
            if is_flat:
                truth, ignore = _first_plane(truth), _first_plane(ignore)
            array, axes = array[..., 0, :, :], axes.replace("Z", "")
        if fault:
            # It does not lie where the objects are found, which may be a part of the image.
            predicted = None
        axes_of_both = "" if predicted is None else self.source.axes()
        pair = _Pair(true_layer, predicted, axes_of_both, is_flat, found_in(image))
        job = SegmentJob(array, axes, self.panel.channel.channel(), path, "auto", None, {}, advise=False)
        annotated = [TuningImage(job, truth, ignore)]
        self.start(lambda stop: predict_and_tune(annotated, path, stop), partial(self._show, pair), "running the model")

    def _show(self, pair: _Pair, tuning: Tuning) -> None:
        self._pair = pair
        self.panel.show_tuning(tuning, pair.truth.name)

    def show_labels(self) -> None:
        """Add the labels at the best thresholds as a layer and evaluate them, whatever is chosen by now."""
        tuning, pair = self.panel.tuning, self._pair
        if tuning is None or pair is None:
            return
        truth, predicted, labels = pair.truth, pair.predicted, tuning.segmentation.labels
        if not is_shown(self.viewer, truth):
            self.say(f"{truth.name} was removed, against which these labels were scored; find the thresholds again.")
            return
        n_axes = labels.ndim + pair.is_flat
        if predicted is not None and len(result_axes(pair.axes)) == n_axes:
            frame = spatial_frame(predicted, pair.axes)
        else:
            frame = spatial_frame(truth, SPACE[truth.ndim])
            if truth.ndim > n_axes:
                # A truth of planes has an axis more, in front.
                frame = frame.without(SPACE[truth.ndim][0])
            frame = replace(frame, axes=SPACE[n_axes])
        name = (truth if predicted is None else predicted).name.removesuffix(SUFFIX_OF_TUNED)
        frame = frame.flat() if pair.is_flat else frame
        found = {RESULT: FOUND, TUNED: True, **pair.found_in}
        layer = show_labels(self.viewer, f"{name}{SUFFIX_OF_TUNED}", labels, frame=frame, metadata=found)
        remember(layer, tuning.segmentation, tuning.model_path)
        self.source.choose(truth, layer)
        self.evaluate()

    def save(self) -> None:
        """Ask where the model with the best thresholds shall go, and write it."""
        tuning = self.panel.tuning
        if tuning is None:
            return
        source = tuning.model_path
        is_bundled = any(model.is_bundled and model.path == source for model in models.all())
        is_replaceable = source.suffix == SUFFIX and not is_bundled
        suggestion = source if is_replaceable else Path.home() / f"{source.stem}-tuned{SUFFIX}"
        title = f"Save {source.stem} with these thresholds"
        path, _ = QFileDialog.getSaveFileName(self.panel, title, str(suggestion), "Models (*.embedseg)")
        if path:
            self.write(Path(path))

    def write(self, path: Path) -> None:
        """Write the model with the best thresholds, and list it.

        The dialog has asked whether the file of this very name may be replaced; one of another name is not.
        """
        tuning = self.panel.tuning
        assert tuning is not None
        source, best = tuning.model_path, tuning.thresholds
        target = path if path.suffix == SUFFIX else path.with_name(f"{path.name}{SUFFIX}")
        may_replace = target == path
        if target.exists() and not may_replace:
            self.say(f"{target}: exists already; give its whole name to replace it, or another one.")
            return

        def saved(written: Path) -> None:
            models.remember(written)
            self.say(
                f"Saved {written} with seed threshold {best.seed_threshold:.2g} and "
                f"foreground threshold {best.foreground_threshold:.2g}."
            )

        self.start(
            lambda stop: store_thresholds(source, target, best, stop, overwrite=may_replace), saved, "saving the model"
        )


def _first_plane(labels: Any) -> Any:
    """Labels, or pixels of unknown class, without their depth of one plane."""
    return None if labels is None else labels[..., 0, :, :]
