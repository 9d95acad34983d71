"""What a network says about the image that is clicked on: as it is shown, or computed when clicking begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from scipy import ndimage

from embedseg_napari.core.annotation.click import Surroundings
from embedseg_napari.core.annotation.states import is_object
from embedseg_napari.core.config.limits import SCALES
from embedseg_napari.core.session.images import to_frame
from embedseg_napari.viewer.model_list import read_config
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from embedseg_napari.core.annotation.annotation import Annotation
    from embedseg_napari.core.config import ModelConfig, PredictionConfig
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.preview.preview import TrainingView
    from embedseg_napari.viewer.worker import BackgroundRun

ALIKE = 1.25
"""Factor between extents up to which a model sees the image at the size that it knows its objects by."""
MOST_SEEN = 50
"""Annotated objects whose mean extent is the usual one, the latest."""


class ClickMaps:
    """Gathers what an object under a click is found by.

    Parameters
    ----------
    layers : AnnotationLayers
        The image, and what is annotated in it.
    view : TrainingView
        What was predicted and is shown comes first: it is of the network in training, or of the latest round.
    model : callable
        Gives the model that the next round would start from, whose maps are computed where nothing is shown.
    device : callable
        Where to compute.
    """

    changed = Signal()
    """Maps have come, or will not."""

    def __init__(
        self,
        layers: AnnotationLayers,
        view: TrainingView,
        model: Callable[[], Path | None],
        device: Callable[[], str],
    ) -> None:
        self.layers, self.view, self.model, self.device = layers, view, model, device
        self.search: BackgroundRun | None = None
        self._measured: tuple[Annotation, tuple[float, ...] | None] | None = None
        self._image: tuple[Any, np.ndarray] | None = None
        self._computed: tuple[tuple[Any, ...], EmbeddingMaps] | None = None
        """Of which image and model file, and what."""

    @property
    def is_computing(self) -> bool:
        """Whether maps are on the way."""
        return self.search is not None and self.search.is_active

    def prepare(self) -> None:
        """Compute maps of the image in a thread, unless they are there or on the way."""
        model, wanted = self.model(), self._key()
        if model is None or self.is_computing or self._shown() is not None or self._is_computed():
            return
        picture, device, settings = self.layers.picture, self.device(), self._settings()

        def run(should_stop: Callable[[], bool]) -> Generator[Any, None, EmbeddingMaps]:
            from embedseg_napari.core.inference.predictor import Predictor
            from embedseg_napari.core.model.model import load_model

            loaded, frame = load_model(model, device), to_frame(picture)
            if loaded.config.n_channels == 1:
                frame = frame.mean(0, keepdims=True, dtype=np.float32)
            return (yield from Predictor(loaded, settings).embed(frame, loaded.config.axes, should_stop))

        def take(maps: EmbeddingMaps) -> None:
            self._computed = wanted, maps

        self.search = run_in_background(run, on_result=take, on_finished=self.changed.emit)

    def stop(self) -> None:
        """Compute no longer."""
        if self.search is not None:
            self.search.detach()
            self.search = None

    def surroundings(self) -> Surroundings:
        """What is known now."""
        config = self._config()
        maps, start = self._shown() or (self._computed[1] if self._computed and self._is_computed() else None, None)
        threshold = 0.5 if config is None else config.prediction.foreground_threshold
        return Surroundings(self._pixels(), self._extent(config), maps, start, threshold)

    def _config(self) -> ModelConfig | None:
        model = self.model()
        return None if model is None else read_config(model)

    def _settings(self) -> PredictionConfig:
        """Of the model, for objects as large as those that are annotated."""
        config, extents = self._config(), self._extents()
        assert config is not None
        known = config.object_sizes.mean[-2:]
        if extents is None or not known:
            return config.prediction
        factor = float(np.mean(known)) / float(np.mean(extents[-2:]))
        if 1 / ALIKE < factor < ALIKE:
            return config.prediction
        return config.prediction.model_copy(update={"scale": float(np.clip(factor, *SCALES))})

    def _key(self) -> tuple[Any, ...]:
        """What computed maps depend on."""
        model = self.model()
        return self.layers.image, model, None if model is None else model.stat().st_mtime_ns

    def _is_computed(self) -> bool:
        return self._computed is not None and self._computed[0] == self._key()

    def _shown(self) -> tuple[EmbeddingMaps, tuple[int, ...]] | None:
        frame = self.layers.frame
        return None if frame is None else self.view.known_maps(frame, self.layers.shape)

    def _pixels(self) -> np.ndarray:
        """The image, ((Z,) Y, X), the mean of its channels."""
        if self._image is None or self._image[0] is not self.layers.image:
            self._image = self.layers.image, to_frame(self.layers.picture).mean(0, dtype=np.float32)
        return self._image[1]

    def _extents(self) -> tuple[float, ...] | None:
        """Mean extents (z, y, x) of the annotated objects; None where there are none."""
        annotation = self.layers.annotation()
        if annotation is None:
            return None
        if self._measured is None or self._measured[0] is not annotation:
            boxes = ndimage.find_objects(np.where(is_object(annotation.labels), annotation.labels, 0))
            sides = [[side.stop - side.start for side in box] for box in boxes if box is not None][-MOST_SEEN:]
            self._measured = annotation, tuple(float(side) for side in np.mean(sides, axis=0)) if sides else None
        return self._measured[1]

    def _extent(self, config: ModelConfig | None) -> tuple[float, ...]:
        """Of a usual object: of the annotated ones, else of those that the model knows."""
        if (extents := self._extents()) is not None:
            return extents
        across = self.layers.across()
        known = () if config is None else config.object_sizes.mean
        if len(known) == self.layers.ndim:
            return tuple(extent * across / float(np.mean(known[-2:])) for extent in known)
        return (across,) * self.layers.ndim
