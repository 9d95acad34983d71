"""What a model file says of its network."""

from __future__ import annotations

from numbers import Integral
from typing import Annotated, Any, Literal, Required, Self

from pydantic import Field, JsonValue, model_validator
from typing_extensions import TypedDict

from embedseg_napari.core.config.images import NormalizationConfig
from embedseg_napari.core.config.limits import MAX_CHANNELS, SCALES, Architecture
from embedseg_napari.core.config.prediction import PredictionConfig
from embedseg_napari.core.settings import Amount, AmountPerAxis, Count, PositivePerAxis, Settings

USUAL_SEED_THRESHOLD = "usual_seed_threshold"
"""Where `ModelConfig.training` notes it."""
SURE_SEEDINESS = "sure_seediness"
"""The same, see `ModelConfig.sure_seediness`."""
Value = Annotated[float, Field(gt=-1e18, lt=1e18)]


class ObjectSizes(Settings):
    """Extents (max - min + 1) of the training objects, in pixels per axis (z, y, x)."""

    n_objects: Count = Field(0, description="Number of objects measured.")
    mean: AmountPerAxis = Field((), description="Mean extent per axis.")
    std: AmountPerAxis = Field((), description="Standard deviation of the extent per axis.")
    minimum: AmountPerAxis = Field((), description="Smallest extent per axis.")
    maximum: AmountPerAxis = Field((), description="Largest extent per axis.")
    mean_size: Amount = Field(0.0, description="Mean size of an object, in pixels.")
    min_size: Count = Field(0, description="Size of the smallest object, in pixels.")
    small_size: Count = Field(0, description="Size that 2 % of the objects do not exceed, in pixels.")


class CurveRow(TypedDict, total=False):
    """A row of a training curve: the values of `EpochFinished`; those that were no numbers are None."""

    epoch: Required[Count]
    step: Count
    seconds: Amount | None
    loss: float | None
    loss_instance: float | None
    loss_variance: float | None
    loss_seed: float | None
    learning_rate: Amount | None
    ap_50: float | None
    ap_mean: float | None
    is_best: bool


class Calibration(Settings):
    """What a network needs to be computed in 8-bit integers, and how well that went."""

    ranges: Annotated[dict[str, tuple[Value, Value]], Field(max_length=1000)] = Field(
        {}, description="Lowest and highest value that enters each convolution.", repr=False
    )
    rounds_sums: bool = Field(
        True, description="Whether pools and sums read the rounded numbers, too: less memory is read, and more is lost."
    )
    weights: str = Field("", max_length=64, description="Fingerprint of the weights that this was measured with.")
    n_images: Count = Field(0, description="Images that it was measured on.")
    n_checked: Count = Field(0, description="Other images that it was checked on.")
    ap: Amount = Field(0.0, description="Mean AP there in the number format of the model.")
    ap_int8: Amount = Field(0.0, description="Mean AP there in 8-bit integers.")

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        if any(low > 0 or high < 0 for low, high in self.ranges.values()):
            raise ValueError("ranges must hold zero, from the lowest value to the highest")
        return self


class ModelConfig(Settings):
    """Everything about a trained network but its weights; the JSON of a model file."""

    name: str = Field("", description="Name of the model, as shown in lists.")
    description: str = Field("", description="One sentence on what the model is for.")
    license: str = Field("", description="Licence of the weights and the training data.")
    architecture: Architecture = Field("branched-erfnet", description="Network architecture.")
    ndim: Literal[2, 3] = Field(2, description="Number of spatial dimensions.")
    n_channels: int = Field(1, ge=1, le=MAX_CHANNELS, description="Number of input channels.")
    channel_names: tuple[str, ...] = Field((), description="Names of the input channels.")
    grid_spacing: PositivePerAxis = Field((1 / 1023, 1 / 1023), description="Grid units per pixel, per axis (z, y, x).")
    spacing: PositivePerAxis | None = Field(None, description="Physical size of a training pixel, per axis (z, y, x).")
    spacing_unit: str | None = Field(None, description="Unit of the spacing.")
    reference_scale: float = Field(
        1.0, ge=SCALES[0], le=SCALES[1], description="Factor by which images are resized before the network sees them."
    )
    normalization: NormalizationConfig = Field(NormalizationConfig(), description="How intensities are normalised.")
    object_sizes: ObjectSizes = Field(ObjectSizes(), description="Sizes of the training objects.")
    prediction: PredictionConfig = Field(PredictionConfig(), description="Default settings for prediction.")
    calibration: Calibration | None = Field(None, description="For 8-bit integers, if they were tried.")
    history: tuple[CurveRow, ...] = Field((), description="Training curve, one row per epoch.", repr=False)
    training: dict[str, JsonValue] = Field(
        {}, description="How the model was trained: settings, amounts of data, start model.", repr=False
    )
    software_version: str = Field("", description="Version of this program that wrote the file.")

    @model_validator(mode="after")
    def _axes_agree(self) -> Self:
        if len(self.grid_spacing) != self.ndim:
            raise ValueError(f"grid_spacing has {len(self.grid_spacing)} values for {self.ndim} axes")
        if self.spacing is not None and len(self.spacing) != self.ndim:
            raise ValueError(f"spacing has {len(self.spacing)} values for {self.ndim} axes")
        for name in ("tile", "tile_overlap"):
            sides = getattr(self.prediction, name)
            if sides is not None and len(sides) != self.ndim:
                raise ValueError(f"{name} has {len(sides)} values for {self.ndim} axes")
        return self

    def takes_channels(self, n: int) -> bool:
        """Whether a training on images of `n` channels can start from this model: it has as many, or sees their mean.

        The paper's network cannot: its first layer joins the outputs of a convolution to the channels themselves.
        """
        return n == self.n_channels or (self.n_channels == 1 and self.architecture == "unet")

    def settings_with(self, **changes: Any) -> PredictionConfig:
        """The stored settings of prediction with others in place of some; one number of a tile is for every axis.

        Raises
        ------
        SettingsError
            If a setting does not fit.
        """
        for name in ("tile", "tile_overlap"):
            if isinstance(changes.get(name), Integral):
                changes[name] = (int(changes[name]),) * self.ndim
        return self.prediction.changed(changes)

    @property
    def n_steps(self) -> int | None:
        """Steps of its training and of those that it went on from, as far as they are known; None if its own is not."""
        steps, before = (self.training.get(name) for name in ("steps", "steps_before"))
        return steps + (before if isinstance(before, int) else 0) if isinstance(steps, int) else None

    @property
    def usual_seed_threshold(self) -> float:
        """The stored seed threshold, or the one that was lowered to it because a network of few labels is not yet sure.

        A training that goes on from the model makes it surer, and begins to lower it from here again.
        """
        stored, noted, settings = (
            self.prediction.seed_threshold,
            self.training.get(USUAL_SEED_THRESHOLD),
            self.training.get("settings"),
        )
        if isinstance(noted, float | int):
            return min(max(float(noted), stored), 1.0)
        if (
            isinstance(settings, dict)
            and settings.get("reached_seeds")
            and not self.training.get("n_validation_images")
        ):
            # It was saved before that was noted.
            return max(PredictionConfig().seed_threshold, stored)
        return stored

    @property
    def sure_seediness(self) -> float | None:
        """Seediness that most pixels of held-out objects reached at the end of training; None if that is not known.

        A network may find thin objects well, and still be less sure of them than others are of round ones.
        """
        noted = self.training.get(SURE_SEEDINESS)
        return float(noted) if isinstance(noted, float | int) else None

    def with_prediction(self, settings: PredictionConfig) -> Self:
        """The same with other settings of prediction that a person chose: a seed threshold is the usual one then."""
        update: dict[str, Any] = {"prediction": settings}
        if self.training and settings.seed_threshold != self.prediction.seed_threshold:
            update["training"] = {**self.training, USUAL_SEED_THRESHOLD: settings.seed_threshold}
        return self.model_copy(update=update)

    @property
    def axes(self) -> str:
        """Axes the network works on, ``"CYX"`` or ``"CZYX"``."""
        return "CYX" if self.ndim == 2 else "CZYX"
