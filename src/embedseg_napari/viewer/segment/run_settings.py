"""With what an image is segmented: model, device, scale, views; kept for the next session, and loaded beforehand."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QCheckBox, QHBoxLayout
from superqt.utils import qdebounced

from embedseg_napari.core.config import SCALES, PredictionConfig
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.jobs.segment import warm_up
from embedseg_napari.viewer.last_used import LastUsed
from embedseg_napari.viewer.layers import array_of, picture_of
from embedseg_napari.viewer.models.picker import ModelPicker
from embedseg_napari.viewer.widgets.boxes import FloatBox, device_box
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from qtpy.QtWidgets import QFormLayout

    from embedseg_napari.viewer.segment.threshold_box import ThresholdBox
    from embedseg_napari.viewer.worker import BackgroundRun

logger = logging.getLogger(__name__)

LAST_USED = LastUsed("segment")
SCALE_TIP = PredictionConfig.model_fields["scale"].description or ""
BEFORE_WARM_UP = 200
"""Milliseconds after the panel is opened, or another model chosen, until it is loaded: the panel is drawn first."""
LIGHT = 127
"""Median of the colours, of 255, above which an RGB image is taken for one of stained tissue on a light slide."""
COLOURED = 12
"""Between the colours of a pixel, of 255: those of a grey image differ by less, for noise and compression."""


class RunSettings(QObject):
    """Rows of the panel.

    Parameters
    ----------
    thresholds : ThresholdBox
        The other settings.
    """

    def __init__(self, thresholds: ThresholdBox, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.thresholds = thresholds
        self.model = ModelPicker()
        self.device = device_box()
        self.tta = QCheckBox("Average over flipped views")
        self.tta.setToolTip(PredictionConfig.model_fields["tta"].description or "")
        self.scale = FloatBox()
        self.scale.setRange(*SCALES)
        self.scale.setSingleStep(0.1)
        self.scale.setToolTip(SCALE_TIP)
        self.scale.valueChanged.connect(self._take_scale)
        self.find_scale = QCheckBox("Look for it")
        self.find_scale.setToolTip(PredictionConfig.model_fields["find_scale"].description or "")
        self.find_scale.toggled.connect(self._take_scale)
        self._suggested_for = ""
        """The image (`unique_id`) that a model was suggested for last."""
        self._scale_of: tuple[Layer, float, bool] | None = None
        """Image that the scale is meant for alone, and the scale before and whether it was looked for."""
        self._warming: BackgroundRun | None = None
        self._is_closed = False

    def add_to(self, form: QFormLayout) -> None:
        """Add the rows to a form."""
        for text, widget in (("&Model", self.model), ("&Device", self.device)):
            form.addRow(text, widget)
            form.labelForField(widget).setToolTip(widget.toolTip())
        scale = QHBoxLayout()
        scale.addWidget(self.scale, 1)
        scale.addWidget(self.find_scale)
        form.addRow("&Scale", scale)
        form.labelForField(scale).setToolTip(SCALE_TIP)
        form.labelForField(scale).setBuddy(self.scale)
        form.labelForField(self.model).setBuddy(self.model.box)
        form.addRow(self.tta)

    def take_model(self) -> None:
        """Show the settings stored with the chosen model, and load it while the person looks at the image."""
        config = self.model.config
        stored = config.prediction if config is not None else PredictionConfig()
        self.thresholds.take_model(self.model.path, stored.model_dump())
        self.tta.setChecked(stored.tta)
        self.scale.setValue(stored.scale)
        self.find_scale.setChecked(stored.find_scale)
        self._take_scale()
        self._warm_up()

    def suggest_model(self, layer: Image | None) -> None:
        """Take a model of volumes for planes that say they are one, of stained tissue for light colours, and back."""
        if layer is None:
            return
        try:
            picture = picture_of(layer)
        except DataError:
            # The panel says what is wrong with it.
            return
        sizes = dict(zip(picture.axes, picture.array.shape, strict=True))
        ndim = 3 if sizes.get("Z", 1) > 1 else 2
        n_channels: int | None = 1
        if picture.axes_guessed and not layer.rgb and array_of(layer).ndim > 2:
            # What its planes are is asked, and the answer takes the model; only one for colours goes before.
            if self.model.config is None or not self.model.is_bundled:
                return
            ndim = self.model.config.ndim
        elif layer.rgb and sizes["C"] == 3 and _is_stained(layer):
            n_channels = 3
        elif not layer.rgb and "C" in sizes and not self.model.is_bundled:
            # What one's own model is for is not known.
            n_channels = None
        # What is chosen for the image in hand is not taken back.
        key, before = str(layer.unique_id), self._suggested_for
        self._suggested_for = key
        self.model.suggest(ndim, n_channels, is_other=before not in ("", key))

    def fitting(self, letter: str) -> str:
        """Name of the model that fits a stack whose planes are depth, time or channels."""
        known = self.model.fitting(3 if letter == "Z" else 2)
        return "" if known is None else known.name

    def scale_for(self, layer: Layer, scale: float) -> None:
        """Take a scale for one image only, and look for no other there."""
        before = self.scale.value(), self.find_scale.isChecked()
        before = before if self._scale_of is None else self._scale_of[1:]
        self.scale.setValue(scale)
        self.find_scale.setChecked(False)
        self._scale_of = layer, *before
        others = f"is looked for from {before[0]:g} on" if before[1] else f"is {before[0]:g}"
        self.scale.setToolTip(f"For {layer.name} only; the scale of other images {others}. {SCALE_TIP}")

    def follow_image(self, layer: Layer | None) -> None:
        """Take back a scale that was meant for another image."""
        if self._scale_of is not None and layer is not None and layer != self._scale_of[0]:
            _, scale, is_looked_for = self._scale_of
            self.scale.setValue(scale)
            self.find_scale.setChecked(is_looked_for)
            self._take_scale()

    def _take_scale(self, *_: object) -> None:
        """A scale that a person or a model sets is for all images."""
        self._scale_of = None
        self.scale.setToolTip(SCALE_TIP)

    def changes(self) -> dict[str, Any]:
        """Settings that replace those stored with the model."""
        own = {"tta": self.tta.isChecked(), "scale": self.scale.value(), "find_scale": self.find_scale.isChecked()}
        return {**self.thresholds.of_next_run(), **own}

    def for_others(self) -> dict[str, Any]:
        """Model, device and changes for other images than the chosen one, whose own scale is none of them."""
        changes = self.changes()
        if self._scale_of is not None:
            _, changes["scale"], changes["find_scale"] = self._scale_of
        model = None if self.model.fault else self.model.path
        return {"model": model, "device": self.device.currentText(), "changes": changes}

    def take_up(self) -> None:
        """Begin where the person left off."""
        kept = LAST_USED.read()
        self.model.propose(Path(str(kept.get("model", ""))))
        if self.model.path is None or str(self.model.path) != kept.get("model"):
            return
        changes = kept.get("changes", {})
        try:
            settings = PredictionConfig.parse(changes)
        except SettingsError as error:
            logger.warning("The settings used last are left out: %s", error)
            return
        self.device.setCurrentText(str(kept.get("device", "")))
        self.tta.setChecked(settings.tta)
        self.scale.setValue(settings.scale)
        if "find_scale" in changes:
            self.find_scale.setChecked(settings.find_scale)
        self.thresholds.sliders.set_values(settings.clustering)
        self.thresholds.show_state()

    def keep(self) -> None:
        """Remember what is used."""
        LAST_USED.keep(**self.for_others() | {"model": str(self.model.path)})

    def close_down(self) -> None:
        """Load nothing any more, and follow the list of models no longer."""
        self._is_closed = True
        if self._warming is not None:
            self._warming.detach()
        self.model.close_down()

    @qdebounced(timeout=BEFORE_WARM_UP)
    def _warm_up(self) -> None:
        if self._is_closed:
            return
        _load_colouring()
        path, device = self.model.path, self.device.currentText()
        if self._warming is not None:
            self._warming.detach()
        self._warming = run_in_background(
            lambda should_stop: warm_up(path, device, should_stop),
            # A run says so where it is asked for.
            on_error=lambda error: logger.info("The model was not loaded beforehand: %s", error),
        )


@cache
def _load_colouring() -> None:
    """Load the loops by which napari colours labels, which the first result would wait for.

    Not in the thread that loads the model: pint's list of units, which each layer asks, is not made for two at once.
    """
    Labels(np.zeros((1, 1), np.int32))


def _is_stained(layer: Image) -> bool:
    """Whether an RGB layer is light and in colour: fluorescence is dark, and phase contrast saved as RGB is grey."""
    thumbnail = layer.thumbnail
    shown = thumbnail[thumbnail[..., 3] > 0][:, :3]
    if not len(shown) or np.median(shown) <= LIGHT:
        return False
    return bool(np.percentile(np.ptp(shown, axis=1), 98) > COLOURED)
