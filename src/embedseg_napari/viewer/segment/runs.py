"""The runs of the panel, one at a time: what is chosen is segmented, and its objects become layers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.units import MICROMETRE
from embedseg_napari.core.model.known_models import model_at
from embedseg_napari.jobs.segment import SegmentJob, segment
from embedseg_napari.viewer.layers import LINES, RESULT, SEGMENTED, TRACKED, TUNED, is_users, time_lapse_of
from embedseg_napari.viewer.result_layers import is_shown
from embedseg_napari.viewer.segment.progress import SegmentProgress
from embedseg_napari.viewer.stage import Scene, is_drawn, is_of_another, shows_found, stage_of

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
    scene_changed = Signal()
    """What is to be seen is another: the labels of all of a large image are there, still empty, or an image of another
    size than others in its place was chosen."""

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
        self.spared: Layer | None = None
        """What the user went on to during the run, which is not hidden by what came of it."""
        self._in_blocks: Layer | None = None
        """Labels of all of a large image, if they came after any other result."""
        large.runs.begun.connect(self._take_whole)
        large.runs.shown.connect(self._select)
        controls.finished.connect(self._take_end)
        # Whoever hears of a new layer finds it where it is.
        self._soon = QTimer(self, interval=0, singleShot=True)
        self._soon.timeout.connect(self._look_elsewhere)
        image.layer_box.changed.connect(lambda _: self._soon.start())
        advice.changed.connect(self._keep_doubt)
        settings.thresholds.replaced.connect(self._take_replaced)

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
                MICROMETRE,
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
            self.settings.thresholds.catch_up()

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
        self._select(result.labels)
        active, self._in_blocks = self.viewer.layers.selection.active, None
        self.spared = None if active == result.labels else active
        self.settings.keep()
        self._told = result
        self._keep_doubt()
        self.shown.emit(result, time.monotonic() - self._began)

    def scene(self) -> Scene | None:
        """The chosen result on its image: what else lies there would be taken for its own. Without one, the image.

        What this panel found in the same image, with other settings, stays, and so does all of an image of its own.
        Frames of a time-lapse and all of it are none, nor are a part of a large image and the whole: of them the one is
        seen that was segmented.
        """
        results, images = self.results, {str(layer.unique_id): layer for layer in self.viewer.layers}
        is_whole = is_shown(self.viewer, self._in_blocks)
        result = None if is_whole else results.chosen or results.of_image(self.image.layer)
        labels = self._in_blocks if is_whole else None if result is None else result.labels
        if labels is None or not is_shown(self.viewer, labels):
            labels, result, image = None, None, self.image.layer
            of = "" if image is None else str(image.unique_id)
        else:
            of = labels.metadata.get(SEGMENTED, "")
            image = images.get(of)
        if image is None and labels is None:
            return None
        is_part = result is not None and result.selection.stands_alone

        def gives_way(layer: Layer) -> bool:
            other = results.of(layer)
            place = images.get(layer.metadata.get(SEGMENTED), layer) if other is None else other.selection.layer
            if place != image and (place != layer or (isinstance(layer, Image) and is_users(layer))):
                return image is not None and time_lapse_of(place) == time_lapse_of(image)
            if other is not None:
                return is_whole or (result is not None and other.selection.stands_alone != is_part)
            return is_part and layer.metadata.get(SEGMENTED) == of and shows_found(layer)

        def is_own(layer: Layer) -> bool:
            marks, of_image = layer.metadata, layer.metadata.get(SEGMENTED)
            # Of the same image, but not found here: as those of another segmentation they would lie over its labels.
            is_theirs = of_image == of and (TRACKED in marks or TUNED in marks or marks.get(RESULT) == LINES)
            is_other = results.of(layer) is not None or (of_image in images and not is_theirs)
            return is_other or layer == self.spared or (labels is None and not is_drawn(layer))

        subject = of if result is None else id(result)
        return Scene(image, [] if labels is None else [labels], is_own, gives_way, self.spared, subject)

    def _take_whole(self, labels: Layer) -> None:
        """Show the labels of all of a large image, which come block by block, instead of what was found in a part."""
        self._in_blocks, self.spared = labels, None
        self.settings.keep()
        self.scene_changed.emit()

    def _select(self, layer: Layer) -> None:
        """Select a result, but not where the user went on to another layer meanwhile."""
        if layer in self.viewer.layers and self.viewer.layers.selection.active == self._active_before:
            self.viewer.layers.selection.active = layer

    def _look_elsewhere(self) -> None:
        image, scene = self.image.layer, self.scene()
        if image is None or scene is None or scene.image != image or self.controls.current is not None:
            return
        # One that gave way to an image of another size is still hidden where that is gone, or lies elsewhere by now.
        is_hidden = stage_of(self.viewer).hides(image)
        if is_hidden or any(is_of_another(layer, image, self.viewer.layers) for layer in self.viewer.layers):
            self.scene_changed.emit()

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

    def _take_replaced(self, result: Result) -> None:
        if result is self._told:
            # What would help where nothing was found.
            self.advice.clear()

    def _take_end(self) -> None:
        self._selection = None
        self.large.runs.over()
        self.settings.thresholds.catch_up()
        if self.image.layer is not None and stage_of(self.viewer).hides(self.image.layer):
            # It was chosen during the run, as its image was removed.
            self._soon.start()
