"""What a network says about the image that is clicked on: as it is shown, or computed when clicking begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from embedseg_napari.core.annotation.click import MOST_SEEN, Surroundings, latest_objects, maps_serve, sizes_of
from embedseg_napari.core.config.limits import SCALES
from embedseg_napari.core.data.statistics import ALIKE, scale_to_known
from embedseg_napari.core.session.images import to_frame
from embedseg_napari.viewer.layers import array_of
from embedseg_napari.viewer.model_list import read_config
from embedseg_napari.viewer.worker import run_in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from napari.layers import Image

    from embedseg_napari.core.annotation.edits import Indices
    from embedseg_napari.core.config import ModelConfig, ObjectSizes
    from embedseg_napari.core.maps import EmbeddingMaps
    from embedseg_napari.viewer.label.drawing.annotation_layers import AnnotationLayers
    from embedseg_napari.viewer.preview.preview import TrainingView
    from embedseg_napari.viewer.worker import BackgroundRun


class ClickMaps:
    """Gathers what an object under a click is found by.

    Parameters
    ----------
    layers : AnnotationLayers
        The image, and what is annotated in it.
    view : TrainingView
        What was predicted and is shown comes first: it is of the network in training, or of the latest round.
    model : callable
        Gives the model that the next round would start from, if it fits the image; its maps are computed where nothing
        is shown.
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
        self.objects: list[Indices] = []
        """The latest that are annotated."""
        self._read: tuple[Any, np.ndarray] | None = None
        """An array, and the image that it is."""
        self._wanted: _Source | None = None
        """Of what maps were asked for last, whether they came or not."""
        self._computed: tuple[_Source, EmbeddingMaps] | None = None
        self._serving: tuple[EmbeddingMaps, int, bool] | None = None
        """Maps, the number of objects that they were tried at, and whether they are of use."""

    @property
    def is_computing(self) -> bool:
        """Whether maps are on the way."""
        return self.search is not None and self.search.is_active

    def begin(self) -> None:
        """Look at what is annotated, and compute maps of the image in a thread, unless they are there or on the way."""
        self.objects = latest_objects(self.layers.array())
        if self._shown() is None:
            self._compute(self._source())

    def learn(self, pixels: Indices) -> None:
        """One more object is annotated."""
        self.objects = [*self.objects, pixels][-MOST_SEEN:]

    def stop(self) -> None:
        """Compute no longer."""
        if self.search is not None:
            self.search.detach()
            self.search = None

    def surroundings(self, pixel: tuple[int, ...]) -> Surroundings:
        """What is known of the image where it is clicked on (z, y, x)."""
        source, sizes = self._source(), self._sizes()
        config = None if source is None else source.config
        threshold = 0.5 if config is None else config.prediction.foreground_threshold
        alone = Surroundings(self._frame(), self._extent(config, sizes), sizes.mean_size or None, None, None, threshold)
        for maps, start in self._maps(source):
            around = replace(alone, maps=maps, maps_start=start)
            if around.is_served(pixel):
                return around if self._serve(around) else alone
        self._compute(source)
        return alone

    def _maps(self, wanted: _Source | None) -> Iterator[tuple[EmbeddingMaps, tuple[int, ...] | None]]:
        """Those that are shown, which are of the latest network, and those that were computed."""
        shown = self._shown()
        if shown is not None:
            yield shown
        if self._computed is not None and wanted is not None and self._computed[0].is_of(wanted):
            # Anew, where what was annotated since has another size.
            self._compute(wanted)
            yield self._computed[1], None

    def _serve(self, around: Surroundings) -> bool:
        """Whether maps are of use here, by the objects that are annotated; looked at anew where these have doubled."""
        maps, n = around.maps, len(self.objects)
        assert maps is not None
        if self._serving is None or self._serving[0] is not maps or n >= 2 * max(self._serving[1], 1):
            self._serving = maps, n, maps_serve(around, self.objects)
        return self._serving[2]

    def _compute(self, source: _Source | None) -> None:
        if source is None or (self._wanted is not None and self._wanted.is_alike(source)):
            return
        self.stop()
        self._wanted = source
        picture, device = self.layers.picture, self.device()

        def run(should_stop: Callable[[], bool]) -> Generator[Any, None, EmbeddingMaps]:
            from embedseg_napari.core.inference.predictor import Predictor
            from embedseg_napari.core.model.channels import seeing_channels
            from embedseg_napari.core.model.model import load_model

            frame = to_frame(picture)
            loaded = seeing_channels(load_model(source.model, device), len(frame))
            settings = loaded.config.prediction.model_copy(update={"scale": source.scale, "find_scale": False})
            return (yield from Predictor(loaded, settings).embed(frame, loaded.config.axes, should_stop))

        def take(maps: EmbeddingMaps) -> None:
            self._computed = source, maps

        self.search = run_in_background(run, on_result=take, on_finished=self.changed.emit)

    def _source(self) -> _Source | None:
        """What maps would be computed of now."""
        model, image = self.model(), self.layers.image
        config = None if model is None else read_config(model)
        if model is None or config is None or image is None:
            return None
        scale = scale_to_known(self._sizes(), config.object_sizes)
        return _Source(image, array_of(image), model, model.stat().st_mtime_ns, config, float(np.clip(scale, *SCALES)))

    def _frame(self) -> np.ndarray:
        """The image, C(Z)YX; one that is not in memory is read once."""
        array = array_of(self.layers.image)
        if self._read is None or self._read[0] is not array:
            self._read = array, to_frame(self.layers.picture)
        return self._read[1]

    def _shown(self) -> tuple[EmbeddingMaps, tuple[int, ...]] | None:
        frame = self.layers.frame
        return None if frame is None else self.view.known_maps(frame, self.layers.shape)

    def _spacing(self) -> tuple[float, ...] | None:
        return None if self.layers.frame is None else self.layers.frame.spacing()

    def _sizes(self) -> ObjectSizes:
        return sizes_of(self.objects, self._spacing())

    def _extent(self, config: ModelConfig | None, sizes: ObjectSizes) -> tuple[float, ...]:
        """Of a usual object (z, y, x): one that is annotated, else one that the model knows, else as deep as wide."""
        if sizes.mean:
            return sizes.mean
        across, spacing = self.layers.across(), self._spacing()
        known = () if config is None else config.object_sizes.mean
        if len(known) == self.layers.ndim:
            return tuple(extent * across / float(np.mean(known[-2:])) for extent in known)
        steps = spacing or (1.0,) * self.layers.ndim
        return tuple(max(1.0, across * steps[-1] / step) for step in steps)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What maps are computed of."""

    image: Image
    array: Any
    model: Path
    saved: int
    """When the model was."""
    config: ModelConfig
    scale: float

    def is_of(self, other: _Source) -> bool:
        """Whether image and model are the same."""
        return (self.image, self.model, self.saved) == (other.image, other.model, other.saved) and (
            self.array is other.array
        )

    def is_alike(self, other: _Source) -> bool:
        """Whether the scale is about the same, too."""
        return self.is_of(other) and 1 / ALIKE < self.scale / other.scale < ALIKE
