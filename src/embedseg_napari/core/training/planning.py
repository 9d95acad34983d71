"""What a training will do with given images and settings, decided before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.data.resizing import scaled_shape
from embedseg_napari.core.data.statistics import (
    least_object_size,
    measure,
    scale_to_known,
    scaled_sizes,
    suggested_crop_size,
    weighed_extent,
)
from embedseg_napari.core.device import choose_device, free_memory, supports_bfloat16
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.networks.network import STRIDE
from embedseg_napari.core.training.origin import Origin, steps_before
from embedseg_napari.core.wording import alpha_words, count, shape_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from embedseg_napari.core.config import Architecture, Precision, TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.statistics import DatasetStatistics
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.training.checkpoint import TrainingState

PIXELS_PER_STEP = {2: 65536, 3: 409600}
"""Pixels in an automatic batch: enough to keep two cores busy, few enough for many steps in a short training."""
LARGER_BATCH, ROOM_FOR_IT = 4, 8e9
"""How much larger an automatic batch is on a GPU that has that many bytes free: one keeps a CPU busy, but no GPU."""
FOREGROUND_WEIGHT: dict[Architecture, float] = {"branched-erfnet": 10.0, "unet": 3.0}
"""Of foreground in the seed term in 2D: the paper's, and what gave sharper outlines (`docs/choices.md`)."""
START_RATE = {2: 1.0, 3: 0.3}
"""Part of the learning rate that a training from a model takes: with all of it, short ones made a model of volumes
worse, and one of images learned those of another kind sooner (`docs/choices.md`)."""
LEAST_CROP = {2: 128, 3: 80}
"""Side in Y and X that shows an object together with its neighbours."""
LARGE_CROP = 512
"""Side of crops that may be larger than images whatever their size."""
NETWORK_REACH = 300
"""Objects wider than this in pixels are beyond what the network's effective reach serves well."""
LARGE = 1.4
"""Factor between extents up to which a new network learns objects quickly enough as they are."""
LEAST_PIXELS = {2: 30, 3: 100}
"""Pixels that the smallest objects (2 % of them) keep at least when images are made smaller."""
THIN, FINE = 7.0, 7.5
"""Pixels across objects in 2D (their area over their extent) below which outlines suffer, and that keep them."""
LEAST_SCALE, LARGEST_SCALE = 0.25, 2.0
"""Images are made no smaller, and no larger, than that."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that follows from images and settings."""

    statistics: DatasetStatistics
    device: torch.device
    precision: Precision
    crop_size: tuple[int, ...]
    """Pixels per axis (z, y, x)."""
    batch_size: int
    steps_per_epoch: int
    foreground_weight: float
    rate: float
    """Part of the learning rate that is taken."""
    scale: float
    """Factor by which images are resized for the network."""
    model_config: ModelConfig
    """Of the model to be: grid, normalisation, scale, object sizes, first thresholds."""
    known_least_size: int | None = None
    """Pixels of the images up to which the model that is started from drops objects."""
    usual_seed_threshold: float = 0.9
    """What the seed threshold is lowered from where the annotated objects do not reach it."""

    def fixed(self) -> dict[str, Any]:
        """What a training keeps to the end, also where labels join it or it is resumed with more of them."""
        return {
            "crop_size": self.crop_size,
            "steps_per_epoch": self.steps_per_epoch,
            "batch_size": self.batch_size,
            "foreground_weight": self.foreground_weight,
            "rate": self.rate,
            "scale": self.scale,
        }

    def network(self) -> dict[str, Any]:
        """Which network learns, and on which grid and after which normalisation: its weights mean nothing on others."""
        return self.model_config.model_dump(
            mode="json", include={"architecture", "n_channels", "grid_spacing", "normalization"}
        )

    def origin(self, start: Model | None) -> Origin:
        """What a training begins with that starts from this model."""
        prediction = self.model_config.prediction
        return Origin(
            seed_threshold=prediction.seed_threshold,
            foreground_threshold=prediction.foreground_threshold,
            usual_seed_threshold=self.usual_seed_threshold,
            known_least_size=self.known_least_size,
            started_from=None if start is None else start.config.name,
            steps_before=steps_before(start),
        )

    def resumed(self, state: TrainingState) -> TrainingPlan:
        """The plan of a resumed training: what it keeps is taken from its state, as far as that knows it."""
        kept = {name: getattr(state, name) for name in self.fixed()}
        kept = {name: value for name, value in kept.items() if value is not None}
        values = self.model_config.model_dump() | (state.network or {})
        model_config = ModelConfig.parse(values | {"reference_scale": kept.get("scale", self.scale)})
        if (origin := state.origin) is not None:
            changes = {
                "seed_threshold": origin.seed_threshold,
                "foreground_threshold": origin.foreground_threshold,
                "min_object_size": least_object_size(self.statistics.sizes, origin.known_least_size),
            }
            prediction = model_config.prediction.model_copy(update=changes)
            model_config = model_config.model_copy(update={"prediction": prediction})
            kept["known_least_size"] = origin.known_least_size
            kept["usual_seed_threshold"] = origin.usual_seed_threshold
        return replace(self, **kept, model_config=model_config)


def plan_training(
    config: TrainingConfig, training: Sequence[Example], start_from: ModelConfig | None = None, device: str = "auto"
) -> TrainingPlan:
    """Derive what the settings leave open from the images.

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    training : sequence of Example
        Training images.
    start_from : ModelConfig, optional
        Configuration of the model that training starts from.
    device : str
        As in :func:`choose_device`.

    Raises
    ------
    DataError
        If no image holds an object.
    SettingsError
        If settings do not fit the images or the start model.
    ComputeError
        If the device is missing.
    """
    statistics = measure(training)
    if statistics.n_objects == 0:
        raise DataError("No training image holds an object; label some objects first.")
    target = choose_device(device)
    scale = _scale(config, statistics, start_from)
    crop = _crop_size(config, statistics, training, scale)
    pixels = config.batch_pixels or PIXELS_PER_STEP[statistics.ndim] * batch_factor(target)
    batch = config.batch_size or max(1, round(pixels / math.prod(crop)))
    if batch * math.prod(crop) < 2 * STRIDE**statistics.ndim:
        # Batch norm compares values, and of this the network keeps one.
        raise SettingsError(
            f"A batch of one crop of {shape_words(crop)} pixels is too little to train on; take a larger crop_size or "
            "batch_size."
        )
    steps = config.steps_per_epoch or max(1, math.ceil(statistics.n_objects / (batch * config.virtual_batches)))
    rate = 1.0 if start_from is None else config.start_rate or START_RATE[statistics.ndim]
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(target) else "float32"
    known = None if start_from is None else _least_size_of(start_from, scale)
    model_config = _model_config(config, statistics, training, scale, start_from, known)
    balanced = statistics.background_over_foreground
    weight = config.foreground_weight or (
        FOREGROUND_WEIGHT[model_config.architecture] if model_config.ndim == 2 else balanced
    )
    usual = model_config.prediction.seed_threshold if start_from is None else start_from.usual_seed_threshold
    return TrainingPlan(
        statistics, target, precision, crop, batch, steps, weight, rate, scale, model_config, known, usual
    )


def batch_factor(device: torch.device) -> int:
    """How many times as large an automatic batch is on a device as on a CPU."""
    return LARGER_BATCH if device.type == "cuda" and free_memory(device) >= ROOM_FOR_IT else 1


def batch_note(plan: TrainingPlan, config: TrainingConfig) -> str:
    """A sentence on batches that are larger than on a CPU; empty where they are not."""
    if config.batch_size or config.batch_pixels or batch_factor(plan.device) == 1:
        return ""
    return (
        f"A batch holds {count(plan.batch_size, 'crop')}, {LARGER_BATCH} times as many pixels as on a CPU, to keep the "
        "GPU busy; batch_size sets another number."
    )


def scale_note(plan: TrainingPlan, from_scratch: bool = True) -> str:
    """What to know of the size at which the network sees the images; empty where they stay as they are.

    `docs/results.md`, worms, shows what thin objects lose. A start model decides on the size itself.
    """
    if plan.scale == 1:
        return ""
    sizes = plan.statistics.sizes
    extent = weighed_extent(sizes)
    note = (
        f"For the network images are resized by {plan.scale:.2g}, which makes objects about {plan.scale * extent:.0f} "
        "pixels wide; labels keep the size of the image."
    )
    across = sizes.mean_size / extent
    if from_scratch and plan.statistics.ndim == 2 and plan.scale * across < THIN:
        finer = math.floor(min(FINE / across, 0.98 / LARGE) * extent)
        note += (
            f" As they are thin, a reference_extent of {finer} gives finer outlines; it takes more than half an "
            "hour to gain by it."
        )
    return note


def reach_warning(plan: TrainingPlan) -> str:
    """A sentence on objects that are wider than the network can see; empty where there are none."""
    widest = max(plan.statistics.sizes.maximum)
    if widest * plan.scale <= NETWORK_REACH:
        return ""
    seen = f", {widest * plan.scale:.0f} as the network sees them" if plan.scale != 1 else ""
    return (
        f"Objects are up to {widest:.0f} pixels wide{seen}, more than the network can see at once (about "
        f"{NETWORK_REACH}); make images smaller with a lower reference_extent if such objects come out in pieces."
    )


def _scale(config: TrainingConfig, statistics: DatasetStatistics, start: ModelConfig | None) -> float:
    """Factor that gives objects a size that the network learns quickly, or that the start model knows."""
    before = 1.0 if start is None else start.reference_scale
    if config.reference_extent is None:
        return before
    if start is None:
        factor = config.reference_extent / weighed_extent(statistics.sizes)
        sizes = statistics.sizes
        kept = (LEAST_PIXELS[statistics.ndim] / max(sizes.small_size, 1)) ** (1 / statistics.ndim)
        factor = max(factor, kept, LEAST_SCALE)
        return factor if factor < 1 / LARGE else 1.0
    factor = scale_to_known(statistics.sizes, start.object_sizes)
    return before if factor == 1 else min(max(before * factor, LEAST_SCALE), LARGEST_SCALE)


def _crop_size(
    config: TrainingConfig, statistics: DatasetStatistics, training: Sequence[Example], scale: float
) -> tuple[int, ...]:
    if config.crop_size is None:
        least = LEAST_CROP[statistics.ndim] if config.crop_context else 8
        shapes = [scaled_shape(e.image.shape[1:], scale) for e in training]
        return suggested_crop_size(scaled_sizes(statistics.sizes, scale), shapes, least)
    if len(config.crop_size) != statistics.ndim:
        raise SettingsError(
            f"crop_size has {len(config.crop_size)} values; the images have {statistics.ndim} spatial axes."
        )
    largest = max(side for e in training for side in scaled_shape(e.image.shape[1:], scale))
    if max(config.crop_size) > max(LARGE_CROP, 2 * largest):
        raise SettingsError(
            f"crop_size {list(config.crop_size)} is far larger than the images, whose longest side has {largest} "
            "pixels; choose a smaller one, or leave it empty."
        )
    return config.crop_size


def _model_config(
    config: TrainingConfig,
    statistics: DatasetStatistics,
    training: Sequence[Example],
    scale: float,
    start: ModelConfig | None,
    known_least_size: int | None,
) -> ModelConfig:
    ndim, spacing = statistics.ndim, statistics.spacing
    step = 1.0 / (config.grid_samples - 1)
    grid = (step,) * ndim
    if ndim == 3 and spacing is not None:
        grid = (step * spacing[0] / spacing[-1], step, step)
    normalization = config.normalization
    if start is not None:
        if start.ndim != ndim or not start.takes_channels(statistics.n_channels):
            raise SettingsError(
                f"The start model works on {start.ndim}D images with {count(start.n_channels, 'channel')}; these are "
                f"{ndim}D with {statistics.n_channels}. Start from another model, or from a new network."
                + alpha_words(statistics.n_channels, start.n_channels)
            )
        # Weights mean nothing on another grid or after another normalisation.
        grid, normalization = start.grid_spacing, start.normalization
    return ModelConfig(
        architecture=config.architecture if start is None else start.architecture,
        ndim=2 if ndim == 2 else 3,
        n_channels=statistics.n_channels,
        grid_spacing=grid,
        spacing=spacing,
        spacing_unit=next((e.unit for e in training if e.spacing is not None), None),
        normalization=normalization,
        reference_scale=scale,
        object_sizes=statistics.sizes,
        prediction=PredictionConfig(
            # Weights come with the thresholds that were found for them.
            **(
                {} if start is None else start.prediction.model_dump(include={"seed_threshold", "foreground_threshold"})
            ),
            # An object that is only assumed to be as deep as wide must not become deeper.
            margin_scale=1.0 if statistics.n_open else config.margin_scale,
            min_object_size=least_object_size(statistics.sizes, known_least_size),
            faint_seeds=config.faint_seeds,
        ),
    )


def _least_size_of(start: ModelConfig, scale: float) -> int:
    """Pixels up to which a model drops objects, in images that are resized by another factor than its own were."""
    return round(start.prediction.min_object_size * (start.reference_scale / scale) ** start.ndim)
