"""The runs of the panel, one at a time: what is chosen is segmented, and its objects become layers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.events import Message
from embedseg_napari.core.model.known_models import model_at
from embedseg_napari.jobs.segment import SegmentJob, segment
from embedseg_napari.viewer.layers import SEGMENTED, is_users, time_lapse_of
from embedseg_napari.viewer.segment.progress import SegmentProgress
from embedseg_napari.viewer.step_back import bring_up, give_way, meet, shows_found, shows_objects_or_drawn, take_place
from embedseg_napari.viewer.widgets.boxes import short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari.layers import Layer
    from napari.viewer import Viewer

    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.viewer.segment.advice_box import AdviceBox
    from embedseg_napari.viewer.segment.image_input import ImageInput
    from embedseg_napari.viewer.segment.large_images import LargeImages
    from embedseg_napari.viewer.segment.regions import Selection
    from embedseg_napari.viewer.segment.results import Result, ResultLayers
    from embedseg_napari.viewer.segment.run_settings import RunSettings
    from embedseg_napari.viewer.widgets.run_controls import RunControls


class SegmentRuns(QObject):
    """Starts a run on what the panel has chosen, and shows what it finds; an image larger than memory goes in blocks.

    Parameters
    ----------
    viewer : napari viewer
        Where the result is shown.
    image : ImageInput
        What is segmented.
    settings : RunSettings
        With what.
    large : LargeImages
        Says whether, and how, that goes in blocks.
    results : ResultLayers
        Takes what is found.
    advice : AdviceBox
        Takes what there is to say of it.
    controls : RunControls
        Show how far a run is.
    """

    shown = Signal(object, float)
    """The `Result` that is shown now, and the seconds since its run was started."""

    def __init__(
        self,
        viewer: Viewer,
        image: ImageInput,
        settings: RunSettings,
        large: LargeImages,
        results: ResultLayers,
        advice: AdviceBox,
        controls: RunControls,
    ) -> None:
        super().__init__(controls)
        self.viewer, self.image, self.settings, self.large = viewer, image, settings, large
        self.results, self.advice, self.controls = results, advice, controls
        self.job: SegmentJob | None = None
        """The last run; None where it went in blocks."""
        self.advised: Layer | None = None
        """Image that the advice is about."""
        self._told: Result | None = None
        """What was found there."""
        self._selection: Selection | None = None
        self._model_path: Path | None = None
        self._began = 0.0
        self._active_before: Layer | None = None
        large.runs.begun.connect(self._uncover)
        large.runs.shown.connect(self._select)
        controls.finished.connect(self._take_end)
        advice.changed.connect(self._keep_doubt)

    @property
    def layer(self) -> Layer | None:
        """The image that is being segmented."""
        return self._selection.layer if self._selection is not None else self.large.runs.layer

    def start(self) -> None:
        """Segment what is chosen; the caller has looked whether it can be."""
        if self.large.in_blocks and self.large.is_whole:
            self._start_in_blocks()
        elif self.large.in_blocks:
            self.start_view()
        else:
            self._start()

    def _start(self) -> None:
        assert self.settings.model.path is not None
        try:
            selection = self.image.selection()
            job = SegmentJob(
                selection.array,
                selection.axes,
                selection.channel,
                self.settings.model.path,
                self.settings.device.currentText(),
                selection.spacing,
                self.settings.changes(),
                # Looked for afterwards, so that nobody waits for it.
                advise=False,
                remarks=True,
            )
        except EmbedSegError as error:
            self.controls.fail(error)
            return
        self._prepare(selection.layer)
        self._selection, self.job = selection, job
        self.controls.start(
            lambda should_stop: segment(job, should_stop),
            SegmentProgress(self.controls, self.advice.take),
            self._take_result,
        )

    def _start_in_blocks(self) -> None:
        """Segment an image that is larger than memory."""
        settings = self.settings
        assert settings.model.path is not None
        assert self.image.layer is not None
        try:
            self._prepare(self.image.layer)
            self.large.start(settings.model.path, settings.device.currentText(), settings.changes())
        except EmbedSegError as error:
            self.controls.fail(error)

    def start_view(self) -> None:
        """Segment a part of an image that is larger than memory, as its blocks would."""
        settings = self.settings
        assert settings.model.path is not None
        try:
            selection, run, words = self.large.part(
                settings.model.path, settings.device.currentText(), settings.changes()
            )
        except EmbedSegError as error:
            self.controls.fail(error)
            return
        self._prepare(selection.layer)
        self._selection = selection
        if words:
            self.advice.take(Message(words))
        self.controls.start(run, SegmentProgress(self.controls, self.advice.take), self._take_result)

    def _prepare(self, layer: Layer) -> None:
        """Forget what was said of the last run, and remember what is used in the next one."""
        self.settings.thresholds.reclustering.cancel()
        self.advice.begin(layer.name)
        self._selection = self.job = self._told = None
        self.advised = layer
        self._model_path = self.settings.model.path
        self._active_before = self.viewer.layers.selection.active
        self._began = time.monotonic()
        self.settings.keep()

    def _take_result(self, segmentation: Segmentation) -> Iterator[None]:
        selection = self._selection
        assert selection is not None
        assert self._model_path is not None
        result = None
        if selection.layer in self.viewer.layers:
            result = yield from self.results.show_steps(selection, segmentation, self._model_path)
        if result is None:
            self.controls.say("The image was removed in the meantime; its result was discarded.")
            return
        assert result.labels is not None
        # They may have been hidden while something was painted there.
        result.hidden.release()
        result.labels.visible = True
        self._select(result.labels)
        self.clear(result)
        bring_up(self.viewer.layers, selection.layer)
        self._told = result
        self._keep_doubt()
        self.shown.emit(result, time.monotonic() - self._began)

    def clear(self, result: Result) -> None:
        """Let other objects, annotations and previews at the place of a result give way: both would be taken for one.

        What was found in the same image, with other settings, stays, and so does all of an image of its own. Frames of
        a time-lapse and all of it are none, nor are a part of a large image and the whole: of them the one is seen that
        was segmented.
        """
        image, layers = result.selection.layer, self.viewer.layers
        of_it = [layer for layer in layers if isinstance(layer, Image) and is_users(layer)]
        of_it = [layer for layer in of_it if layer != image and time_lapse_of(layer) == time_lapse_of(image)]
        if of_it:
            give_way(of_it)
            take_place([image])
            image.visible = True
        for layer in layers:
            other = self.results.of(layer)
            if other is None or (other is not result and other.selection.layer == image):
                is_of_it = layer.metadata.get(SEGMENTED) == str(image.unique_id)
                if result.selection.stands_alone and is_of_it and shows_found(layer):
                    layer.visible = False
            elif other.selection.layer != image and time_lapse_of(other.selection.layer) == time_lapse_of(image):
                other.hidden.hold([layer])
        images = {str(layer.unique_id) for layer in layers}
        over = [
            layer
            for layer in layers
            if shows_objects_or_drawn(layer)
            and layer != layers.selection.active
            and layer.metadata.get(SEGMENTED) not in images
            and self.results.of(layer) is None
            and meet(layer, image)
        ]
        users = [layer for layer in give_way(over) if is_users(layer)]
        if users:
            # A notification shows some forty letters.
            names = short(users[0].name) if len(users) == 1 else f"{len(users)} layers of labels"
            show_info(f"Hidden for now: {names}.")

    def _uncover(self, labels: Layer) -> None:
        """Let what was found in a part of a large image give way to the labels of all of it."""
        for layer in self.viewer.layers:
            result = self.results.of(layer)
            if result is not None and str(result.selection.layer.unique_id) == labels.metadata[SEGMENTED]:
                result.hidden.hold([layer])

    def _select(self, layer: Layer) -> None:
        """Select a result, but not where the user went on to another layer meanwhile."""
        if layer in self.viewer.layers and self.viewer.layers.selection.active == self._active_before:
            self.viewer.layers.selection.active = layer

    def doubts(self, result: Result) -> bool:
        """Whether advice speaks against a result, which is then hardly of objects, or is still being looked for."""
        return result.is_doubted or (result.selection.layer == self.advised and self.advice.is_looking)

    def _keep_doubt(self) -> None:
        """Remember what advice says of a result, also when that is no longer shown.

        A model of one's own may well be unsure where nothing else is better.
        """
        told, result = self.advice.advice, self._told
        if told is not None and result is not None:
            is_bad = told.labels and model_at(result.model_path).is_bundled
            result.is_doubted = bool(told.model or "scale" in told.changes or is_bad)

    def _take_end(self) -> None:
        self._selection = None
        self.large.runs.over()
