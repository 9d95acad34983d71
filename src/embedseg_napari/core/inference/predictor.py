"""From an image to its objects: understand the axes, run the network, collect the objects."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core import device as devices
from embedseg_napari.core.axes import (
    check_spacing,
    guess_axes,
    is_certain,
    ordered,
    parse_axes,
    result_axes,
    to_frames,
)
from embedseg_napari.core.clustering.clustering import warm_up
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.data.normalization import Prepared, prepare
from embedseg_napari.core.data.spoiled_pixels import Spoiled
from embedseg_napari.core.device import supports_precision
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.events import ClusteringStarted, EngineMessage, FrameFinished, Message, PredictionStarted
from embedseg_napari.core.files.named_axes import in_unit_of
from embedseg_napari.core.freed_memory import keeps_freed_memory
from embedseg_napari.core.inference.advice import is_unsure, remark, suggest
from embedseg_napari.core.inference.beside import Beside
from embedseg_napari.core.inference.given_image import as_array, check_fit, seen_shape
from embedseg_napari.core.inference.network_pass import NetworkPass
from embedseg_napari.core.inference.observations import Observations
from embedseg_napari.core.inference.openvino_engine import choose_engine
from embedseg_napari.core.inference.scale_search import find_scale
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.inference.size_check import usual_width
from embedseg_napari.core.inference.tiling import best_tile, resolve_tile
from embedseg_napari.core.inference.trial import DOUBTFUL, busiest_frame
from embedseg_napari.core.maps import EmbeddingMaps, missing_words
from embedseg_napari.core.networks.network import device_of
from embedseg_napari.core.runs import never
from embedseg_napari.core.scripts import warn
from embedseg_napari.core.settings import require_kind, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from embedseg_napari.core.events import PredictionEvent
    from embedseg_napari.core.maps import ForegroundMaps
    from embedseg_napari.core.networks.network import Trained


class Predictor:
    """Segments images with one model and fixed settings.

    Parameters
    ----------
    model : Model
        Network and what belongs to it.
    settings : PredictionConfig, optional
        Default: those stored with the model.
    n_images : int
        Images like the one of a run that will be segmented, so that OpenVINO is made ready where that pays.

    Raises
    ------
    SettingsError
        If tile or overlap do not fit the model.
    """

    def __init__(self, model: Trained, settings: PredictionConfig | None = None, n_images: int = 1) -> None:
        if not hasattr(model, "config"):
            raise SettingsError(f"Predictor takes a model, as load_model returns it, not {shown(model)}.")
        if settings is not None:
            require_kind(settings, PredictionConfig, "settings takes a PredictionConfig")
        self.model, self.n_images = model, n_images
        self.settings = model.config.prediction if settings is None else settings
        self.tile, self.overlap = resolve_tile(
            model.config.ndim, self.settings.tile, self.settings.tile_overlap, model.config.architecture
        )

    @keeps_freed_memory
    def run(
        self,
        image: Any,
        axes: str | None = None,
        should_stop: Callable[[], bool] = never,
        *,
        spacing: Sequence[float] | None = None,
        normalize: bool = True,
        keep_maps: bool = True,
        take_maps: Callable[[EmbeddingMaps], None] | None = None,
        take_frame: Callable[[int, Segmentation], None] | None = None,
        remarks: bool = False,
        advise: bool = False,
        others: Iterable[tuple[str, Trained]] = (),
        every_channel: Callable[[int], np.ndarray] | None = None,
    ) -> Generator[PredictionEvent, None, Segmentation]:
        """Segment an image, telling what happens; the generator's value is the Segmentation.

        Parameters
        ----------
        image : array
            Any real type. Every frame along a T axis is segmented by itself. Of an array of xarray, the names of the
            axes, coordinates and their units count unless `axes` and `spacing` say otherwise.
        axes : str, optional
            One letter per axis, such as ``"TCZYX"``; guessed if missing, with an AssumptionWarning where the shape
            leaves a choice.
        should_stop : callable
            Looked at between tiles and while objects are collected.
        spacing : sequence of float, optional
            Size of a pixel (z, y, x) in the model's unit; a message tells if it is far from the model's.
        normalize : bool
            False hands the numbers to the network as they are.
        keep_maps : bool
            False drops the maps of a frame once it is done, so that long time-lapses fit into memory.
        take_maps : callable, optional
            Called with the maps of each frame, one after the other, before its objects are collected.
        take_frame : callable, optional
            Called with the number of each frame and what was found there, objects from 1, axes ((Z,) Y, X). The frames
            of the result then hold no labels (their first axis has length 0), so that memory does not grow with them.
        remarks : bool
            Whether it is told that nothing was found, or that an image is blank or overexposed.
        advise : bool
            Tell so too. Where the model is unsure of the busiest frame, or finds nothing, try other scales and
            models on a part of it; an `Advice` names what is clearly better.
        others : iterable of (str, Model)
            Other models for such images, and their names, to be tried; taken only if they are needed.
        every_channel : callable, optional
            Gives the frame of a number with all its channels, axes (C, (Z,) Y, X), where `image` is one of them or
            their mean: for others that take them.

        Raises
        ------
        DataError, ModelError
            If the image cannot be understood or does not fit the model.
        ComputeError
            If memory runs out even with small tiles, or the device fails.
        Stopped
            If `should_stop` returned True.
        """
        image, axes, size = in_unit_of(image, axes, self.model.config)
        spacing = size if spacing is None else check_spacing(spacing, "ZYX"[-self.model.config.ndim :])
        frames, axes, plan, settings = yield from self._prepare(image, axes, normalize, should_stop)
        # Made ready beside the network's work, so that the first prediction need not wait for it.
        warm_up(n_pixels=math.prod(frames.shape))
        done: list[Segmentation] = []
        widths: list[float | None] = []
        spoiled, seen, n_missing, n_too_small = Spoiled(), Observations(), 0, 0
        tried: tuple[np.ndarray, Prepared] | None = None
        looked_at = busiest_frame(frames) if advise else 0

        def note(
            t: int, frame: np.ndarray, ready: Prepared, maps: EmbeddingMaps | ForegroundMaps, found: Segmentation
        ) -> FrameFinished:
            nonlocal tried, n_too_small
            seen.note(ready, found.labels)
            widths.append(usual_width(found.labels))
            if remarks or advise:
                n_too_small += self._n_too_small(maps, found, should_stop)
            if t == looked_at and advise and (is_unsure(maps) or not len(found.scores) + found.n_left_out):
                tried = frame, ready
            if take_frame is not None:
                take_frame(t, found)
                found = replace(found, labels=np.empty((0, *found.labels.shape[1:]), np.int32))
            done.append(found)
            return FrameFinished(t, len(frames), len(found.scores))

        # Local maxima of the seed map need all of it.
        needs_all = keep_maps or take_maps is not None or settings.seeds != "greedy"
        above = None if needs_all else min(settings.foreground_threshold, DOUBTFUL[0])
        is_beside = len(frames) > 1 and devices.queues_work(device_of(self.model.network))
        with Beside(is_beside) as beside:
            for t in range(len(frames)):
                frame = np.asarray(frames[t])
                ready = self._ready(frame, normalize)
                spoiled += ready.mended.found
                if spoiled.n_not_finite == frames.size:
                    raise DataError("The image holds no finite number.")
                maps = yield from plan.run(ready, t, should_stop, above)
                if take_maps is not None and isinstance(maps, EmbeddingMaps):
                    take_maps(maps)
                n_missing += maps.count_missing()
                # Of the frame before, whose objects were collected while a GPU saw this one.
                for finished in beside.results():
                    yield finished
                yield ClusteringStarted(t)
                collect = partial(Segmentation.collect, maps, settings, should_stop, keep_maps=keep_maps)
                beside.start(collect, partial(note, t, frame, ready, maps))
                if not is_beside or t == len(frames) - 1:
                    for finished in beside.results():
                        yield finished
        if told := spoiled_message(spoiled):
            yield told
        if words := missing_words(n_missing):
            yield Message(f"{words} If the image is sound, predict with precision float32.", "warning")
        better = None
        if tried is not None and not seen.is_blank:
            whole, is_found = every_channel and every_channel(looked_at), self.settings.find_scale
            better = suggest(self.model, settings, *tried, others, should_stop, whole, is_scale_found=is_found)
        n_left_out = sum(frame.n_left_out for frame in done)
        if advice := remark(
            self.model.config,
            seen if remarks or advise else None,
            sum(len(frame.scores) for frame in done),
            widths,
            settings,
            spacing,
            better,
            n_left_out,
            n_too_small,
        ):
            yield advice
        found, own = Segmentation.stack(done) if "T" in axes else done[0], result_axes(axes)
        return found if own == ordered(own) else found.turned(own)

    def _n_too_small(
        self, maps: EmbeddingMaps | ForegroundMaps, found: Segmentation, should_stop: Callable[[], bool]
    ) -> int:
        """Objects that the minimum size left out, where nothing else was found."""
        if len(found.scores) + found.n_left_out or not self.settings.min_object_size:
            return 0
        return len(Segmentation.collect(maps, self.settings.changed({"min_object_size": 0}), should_stop).scores)

    def advise(
        self,
        image: Any,
        axes: str,
        found: Segmentation,
        others: Iterable[tuple[str, Trained]] = (),
        should_stop: Callable[[], bool] = never,
        every_channel: np.ndarray | None = None,
    ) -> Generator[PredictionEvent, None, None]:
        """Look for something clearly better than what a run without advice found; an `Advice` names it, if any.

        Parameters
        ----------
        image, axes
            As for the run, one frame.
        found : Segmentation
            What the run found there.
        others, should_stop
            As for `run`; they may take the channels of `every_channel`.
        every_channel : ndarray, shape (C, (Z,) Y, X), optional
            That frame with all its channels, where `image` is one of them or their mean.

        Raises
        ------
        Stopped
            If `should_stop` returned True.
        """
        if len(found.scores) + found.n_left_out and found.kept_maps is not None and not is_unsure(found.kept_maps):
            return
        frame = np.asarray(to_frames(as_array(image), parse_axes(axes))[0])
        ready, seen = self._ready(frame, normalize=True), Observations()
        seen.note(ready, found.labels)
        yield ClusteringStarted(0)
        better = None
        if not seen.is_blank:
            is_found = self.settings.find_scale
            better = suggest(
                self.model, found.settings, frame, ready, others, should_stop, every_channel, is_scale_found=is_found
            )
        n_too_small = 0 if found.kept_maps is None else self._n_too_small(found.kept_maps, found, should_stop)
        told = remark(
            self.model.config,
            seen,
            len(found.scores),
            [usual_width(found.labels)],
            found.settings,
            None,
            better,
            found.n_left_out,
            n_too_small,
        )
        if better is not None and told:
            yield told

    @keeps_freed_memory
    def embed(
        self,
        image: Any,
        axes: str | None = None,
        should_stop: Callable[[], bool] = never,
        *,
        normalize: bool = True,
    ) -> Generator[PredictionEvent, None, EmbeddingMaps]:
        """Run the network on one image; the generator's value is the EmbeddingMaps. Parameters as for `run`.

        Raises
        ------
        DataError
            Also if the image has several frames.
        """
        image, axes, _ = in_unit_of(image, axes, self.model.config)
        frames, axes, plan, _ = yield from self._prepare(image, axes, normalize, should_stop)
        if len(frames) != 1:
            raise DataError(f"The image has {len(frames)} frames (axes {axes}); embed them one by one.")
        ready = self._ready(np.asarray(frames[0]), normalize)
        if told := spoiled_message(ready.mended.found):
            yield told
        return (yield from plan.run(ready, 0, should_stop))

    def _ready(self, frame: np.ndarray, normalize: bool) -> Prepared:
        return prepare(frame, self.model.config.normalization) if normalize else Prepared.as_given(frame)

    def _prepare(
        self, image: Any, axes: str | None, normalize: bool, should_stop: Callable[[], bool]
    ) -> Generator[PredictionEvent, None, tuple[np.ndarray, str, NetworkPass, PredictionConfig]]:
        """Frames TC(Z)YX, the axes as given or guessed, how the network will be run, and the settings for it."""
        network, config = self.model.network, self.model.config
        device = device_of(network)
        array = as_array(image)
        if axes is None:
            axes = guess_axes(array.shape, config.ndim, config.n_channels)
            yield Message(f"The axes of the image, shape {array.shape}, were guessed to be {axes}.")
            if not is_certain(array.shape, config.ndim, config.n_channels):
                warn(
                    f"The axes of the image, shape {array.shape}, were guessed to be {axes}; name them to be sure, "
                    f'axes="{axes}".'
                )
        axes = parse_axes(axes)
        frames = to_frames(array, axes)
        check_fit(config, frames.shape, axes)
        precision = self.settings.precision
        if not supports_precision(device, precision):
            yield EngineMessage(
                f"The network runs in float32: the {device.type} of this machine has no {precision} of its own."
            )
            precision = "float32"
        shape = tuple(int(n) for n in frames.shape[2:])
        settings = self.settings
        if settings.find_scale:
            frame = np.asarray(frames[busiest_frame(frames)])
            found = find_scale(self.model, settings, self._ready(frame, normalize), should_stop)
            least, own = settings.min_object_size, config.prediction.min_object_size
            settings = settings.at_scale(found.scale, config.ndim)
            if least != own:
                # A size that was asked for is one in the image.
                settings = settings.changed({"min_object_size": least})
            yield Message(found.words)
        tta, scale = settings.tta, settings.scale
        seen = seen_shape(shape, config.reference_scale * scale)
        tile = best_tile(seen, self.overlap) if settings.tile is None else self.tile
        plan = NetworkPass(network, config, shape, tile, self.overlap, precision, tta, scale)
        compiled, words, is_odd = choose_engine(
            settings.engine,
            network,
            config.n_channels,
            precision,
            n_pixels=self.n_images * len(frames) * len(plan.views) * math.prod(seen),
            calibration=config.calibration,
        )
        if words:
            yield EngineMessage(words, "warning" if is_odd else "info")
        plan = replace(plan, compiled=compiled)
        yield PredictionStarted(axes, len(frames), plan.n_passes)
        return frames, axes, plan, settings


def spoiled_message(spoiled: Spoiled) -> Message | None:
    """Words on pixels that were not taken as they are; a warning where they say that something else may be wrong."""
    is_odd = spoiled.n_not_finite or spoiled.n_glare or spoiled.n_lines
    return Message(str(spoiled), "warning" if is_odd else "info") if str(spoiled) else None
