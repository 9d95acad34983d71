"""Every setting, once: default, range, unit, one sentence. Forms, command line and docs are made from these."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from embedseg_napari.core.errors import SettingsError

Precision = Literal["float32", "bfloat16", "float16"]
Architecture = Literal["unet", "branched-erfnet"]
SCALES = (0.05, 20.0)
"""Smallest and largest factor by which images are resized for the network."""
MAX_CHANNELS = 15
"""Input channels: the paper's network has 16 feature maps in its first layer, one of them at least a convolution's; the
others hold the pooled input."""


class Settings(BaseModel):
    """Base of all settings: immutable, unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate a dictionary, turning pydantic's report into one sentence.

        Raises
        ------
        SettingsError
            Naming the first setting that does not fit, and why.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or cls.__name__
            raise SettingsError(f"Setting {name!r}: {first['msg']}.") from error


class NormalizationConfig(Settings):
    """How intensities are brought to a common scale, per image and channel."""

    method: Literal["percentile", "mean-std", "dtype-range"] = Field(
        "percentile",
        description="Map two percentiles to 0 and 1, or subtract mean and divide by standard deviation, "
        "or divide by the largest value of the data type.",
    )
    low: float = Field(1.0, ge=0, lt=50, description="Percentile mapped to 0 (not clipped).")
    high: float = Field(99.8, gt=50, le=100, description="Percentile mapped to 1 (not clipped).")


class AugmentationConfig(Settings):
    """Random changes to each training crop."""

    flips: bool = Field(
        True, description="Random flips and quarter turns (in 3D: quarter turns in YX only, and flips)."
    )
    rotation: bool = Field(False, description="Turn crops in YX by any angle.")
    scale: float = Field(0.3, ge=0, le=0.7, description="Zoom crops by a factor drawn from 1/(1+s) to 1+s.")
    shift: float = Field(
        0.25, ge=0, le=0.5, description="Move the crop off its object by up to this fraction of its size."
    )
    paste: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Part of the crops that get objects of another crop, both turned by any angle; leave empty for "
        "half of them where masks are planes, as objects lie on top of each other there, and none elsewhere.",
    )
    gain: float = Field(0.3, ge=0, le=0.9, description="Multiply intensities by a factor drawn from 1-g to 1+g.")
    offset: float = Field(0.1, ge=0, le=0.9, description="Add a constant drawn from -o to o (in normalised units).")
    gamma: float = Field(0.3, ge=0, le=0.9, description="Raise intensities to a power drawn from 1/(1+g) to 1+g.")
    noise: float = Field(
        0.05, ge=0, le=0.5, description="Largest standard deviation of added Gaussian noise (normalised units)."
    )
    blur: float = Field(
        0.0, ge=0, le=3.0, description="Largest standard deviation of a Gaussian blur, in pixels; half of the crops."
    )


class PredictionConfig(Settings):
    """How maps become objects, and how the network is run."""

    seed_threshold: float = Field(0.9, ge=0, le=1, description="Lowest seediness at which an object may start.")
    foreground_threshold: float = Field(
        0.5, ge=0, le=1, description="Pixels with a seediness above this are foreground."
    )
    faint_seeds: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="How far below the seed threshold objects may start that are as large as others and overlap none; "
        "0 (the paper): none may.",
    )
    margin_scale: float = Field(
        1.0,
        ge=0.5,
        le=3,
        description="Multiply margins by this; a network that knows its own images well can draw them too tight for "
        "others.",
    )
    min_object_size: int = Field(0, ge=0, description="Objects need more pixels than this.")
    seeds: Literal["greedy", "local_maxima"] = Field(
        "greedy",
        description="Try seeds by falling seediness (the paper), or only local maxima of the smoothed seed map.",
    )
    scale: float = Field(
        1.0,
        ge=SCALES[0],
        le=SCALES[1],
        description="Resize images by this factor for the network, so that objects have the size it knows; labels keep "
        "the size of the image.",
    )
    tta: bool = Field(False, description="Average the network over flipped and turned views (8 x in 2D, 16 x in 3D).")
    precision: Precision = Field(
        "float32", description="Number format of the network; used where the processor supports it."
    )
    tile: tuple[int, ...] | None = Field(
        None, description="Largest tile the network sees at once, pixels per axis (z, y, x), multiples of 8."
    )
    tile_overlap: tuple[int, ...] | None = Field(
        None, description="Overlap of neighbouring tiles, pixels per axis (z, y, x)."
    )

    @property
    def clustering(self) -> dict[str, Any]:
        """The settings that turn maps into objects, as `es.cluster` and `Segmentation.recluster` take them."""
        names = {"seed_threshold", "foreground_threshold", "min_object_size", "seeds", "faint_seeds", "margin_scale"}
        return self.model_dump(include=names)

    def changed(self, changes: dict[str, Any]) -> Self:
        """These settings with others in place of some; None leaves a setting as it is.

        Raises
        ------
        SettingsError
            If a setting does not fit.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        # The overlap was chosen for the tile that it is stored with.
        overlap = {"tile_overlap": None} if "tile" in given else {}
        return self.parse(self.model_dump() | overlap | given)


class ObjectSizes(Settings):
    """Extents (max - min + 1) of the training objects, in pixels per axis (z, y, x)."""

    n_objects: int = Field(0, ge=0, description="Objects measured.")
    mean: tuple[float, ...] = Field((), description="Mean extent per axis.")
    std: tuple[float, ...] = Field((), description="Standard deviation of the extent per axis.")
    minimum: tuple[float, ...] = Field((), description="Smallest extent per axis.")
    maximum: tuple[float, ...] = Field((), description="Largest extent per axis.")
    mean_size: float = Field(0.0, ge=0, description="Mean number of pixels of an object.")
    min_size: int = Field(0, ge=0, description="Number of pixels of the smallest object.")
    small_size: int = Field(0, ge=0, description="Number of pixels that 2 % of the objects do not exceed.")


class ModelConfig(Settings):
    """Everything about a trained network but its weights; the JSON of a model file."""

    name: str = Field("", description="Name shown to people.")
    description: str = Field("", description="One sentence on what the model is for.")
    license: str = Field("", description="Licence of weights and training data.")
    architecture: Architecture = Field("branched-erfnet", description="Network.")
    ndim: Literal[2, 3] = Field(2, description="Spatial dimensions.")
    n_channels: int = Field(1, ge=1, le=MAX_CHANNELS, description="Input channels.")
    channel_names: tuple[str, ...] = Field((), description="Names of the input channels.")
    grid_spacing: tuple[float, ...] = Field(
        (1 / 1023, 1 / 1023), description="Grid units per pixel per axis (z, y, x)."
    )
    spacing: tuple[float, ...] | None = Field(None, description="Physical size of a training pixel per axis (z, y, x).")
    spacing_unit: str | None = Field(None, description="Unit of the spacing.")
    reference_scale: float = Field(
        1.0, gt=0, description="Images are resized by this factor before the network sees them."
    )
    normalization: NormalizationConfig = Field(NormalizationConfig(), description="Intensity normalisation.")
    object_sizes: ObjectSizes = Field(ObjectSizes(), description="Object sizes in training.")
    prediction: PredictionConfig = Field(PredictionConfig(), description="Defaults for prediction.")
    history: tuple[dict[str, Any], ...] = Field((), description="Training curve, one row per epoch.")
    training: dict[str, Any] = Field({}, description="How the model was trained: settings, data counts, start model.")
    software_version: str = Field("", description="Version of this program that wrote the file.")

    @model_validator(mode="after")
    def _axes_agree(self) -> Self:
        if len(self.grid_spacing) != self.ndim:
            raise ValueError(f"grid_spacing has {len(self.grid_spacing)} values for {self.ndim} axes")
        if any(step <= 0 for step in self.grid_spacing):
            raise ValueError("grid_spacing must be positive")
        if self.spacing is not None and len(self.spacing) != self.ndim:
            raise ValueError(f"spacing has {len(self.spacing)} values for {self.ndim} axes")
        return self

    @property
    def axes(self) -> str:
        """Axes the network works on, ``"CYX"`` or ``"CZYX"``."""
        return "CYX" if self.ndim == 2 else "CZYX"


class TrainingConfig(Settings):
    """How a model is trained. Defaults are the ``fast`` preset; :meth:`preset` gives the others."""

    epochs: int | None = Field(None, ge=1, description="Number of epochs; leave empty to use minutes.")
    minutes: float | None = Field(20.0, gt=0, description="Wall-clock budget in minutes, from start to saved model.")
    architecture: Architecture = Field(
        "unet",
        description="Network: a small U-Net with sharp outlines, or the paper's branched ERFNet. A start model brings "
        "its own.",
    )
    steps_per_epoch: int | None = Field(
        64, ge=1, description="Optimiser steps in an epoch; empty: as many as draw one crop per training object."
    )
    crop_size: tuple[int, ...] | None = Field(
        None, description="Crop size in pixels per axis (z, y, x), multiples of 8; empty: from the object sizes."
    )
    crop_context: bool = Field(
        True,
        description="Automatic crops are at least 128 pixels wide (3D: 80), to show neighbours; else (the paper) "
        "objects alone decide.",
    )
    reference_extent: float | None = Field(
        45.0,
        gt=4,
        description="Make images smaller for the network so that larger objects have this mean extent in Y and X, in "
        "pixels; where a training starts from a model, so that objects have the size it knows. Empty: images stay as "
        "they are.",
    )
    image_balance: float = Field(
        0.5, ge=0, le=1, description="0 draws every object alike, 1 every image alike, values between lie between."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Crops seen together by the network; empty: as many as hold batch_pixels.",
    )
    batch_pixels: int | None = Field(
        None,
        ge=64,
        description="Pixels of a batch where its size is left open, at least one crop; empty: 65536 (2D) or 409600 "
        "voxels (3D).",
    )
    virtual_batches: int = Field(
        1, ge=1, le=64, description="Batches whose gradients are added up before a step (saves memory)."
    )
    low_memory: bool = Field(
        False, description="Keep less of the network's inner results for the way back and compute them once more."
    )
    optimizer: Literal["adam", "adamw"] = Field(
        "adamw", description="Optimiser; adam adds weight decay to the gradient."
    )
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Largest learning rate.")
    start_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Part of the learning rate that a training from a model takes; empty: all of it in 2D, 0.3 in 3D.",
    )
    weight_decay: float = Field(1e-4, ge=0, le=1, description="Weight decay.")
    schedule: Literal["polynomial", "cosine", "constant"] = Field(
        "cosine",
        description="How the learning rate falls to zero; constant: it stays, for trainings that go on while labels "
        "are added.",
    )
    warmup: float = Field(0.02, ge=0, le=0.5, description="Fraction of the training in which the learning rate rises.")
    average_decay: float = Field(
        0.998, ge=0, lt=1, description="Decay per step of the running average of the weights; 0 turns it off."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Dropout, as a part of what the network was made for, which the paper takes as it is (1).",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format while training; auto takes bfloat16 where the processor has it.",
    )
    center: Literal["medoid", "approximate-medoid", "centroid"] = Field(
        "medoid", description="What an object's pixels point to."
    )
    center_of: Literal["object", "fragment"] = Field(
        "object", description="Centre of the whole object, or of its fragment inside the crop (the paper)."
    )
    initial_margin: Literal["constant", "object"] = Field(
        "object", description="Start margins at a constant (the paper), or at half the mean object extent."
    )
    weight_instance: float = Field(1.0, ge=0, description="Weight of the instance term of the loss.")
    weight_variance: float = Field(10.0, ge=0, description="Weight of the variance term of the loss.")
    weight_seed: float = Field(1.0, ge=0, description="Weight of the seed term of the loss.")
    foreground_weight: float | None = Field(
        None,
        gt=0,
        description="Weight of foreground pixels in the seed term; empty: 3 in 2D (the paper's network: 10), "
        "background / foreground in 3D.",
    )
    grid_samples: int = Field(
        256,
        ge=16,
        description="Samples of the unit coordinate grid along x; an offset reaches one unit, so one less in pixels.",
    )
    normalization: NormalizationConfig = Field(NormalizationConfig(), description="Intensity normalisation.")
    augmentation: AugmentationConfig = Field(AugmentationConfig(), description="Random changes to crops.")
    ignore_label: int | None = Field(
        None,
        description="Mask value of pixels whose class is unknown, which neither reward nor punish; with 0 only the "
        "objects are known, and pixels of an ignore mask are unknown too.",
    )
    margin_scale: float = Field(
        1.2,
        ge=0.5,
        le=3,
        description="Stored with the model, unless held-out images surely gain by another: factor of the margins. They "
        "stay as they are where depths are guessed from labels on a plane.",
    )
    faint_seeds: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Stored with the model: how far below the seed threshold objects may start that are as large as "
        "others and overlap none.",
    )
    validation_fraction: float = Field(
        0.1,
        ge=0,
        lt=0.9,
        description="Fraction of the images held out for validation where no validation images are given.",
    )
    validation_objects: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Fraction of the objects held out for a score where no images are held out, none of fewer than 10.",
    )
    reached_seeds: bool = Field(
        False,
        description="Where no images are held out: give the model a seed threshold that nine tenths of the annotated "
        "objects reach, if the usual one is too high for them.",
    )
    devices: int = Field(
        1,
        ge=1,
        description="Devices (GPUs) that share the training; start the program with torchrun for more than one.",
    )
    validate_every: int = Field(1, ge=1, description="Epochs between validations (with a time budget: at least).")
    seed: int = Field(0, ge=0, description="Seed of all random numbers.")

    @classmethod
    def preset(cls, name: str = "fast", **overrides: Any) -> Self:
        """Return the settings of a preset, some of them replaced.

        Parameters
        ----------
        name : {"fast", "few", "paper"}
            ``fast`` is the default recipe; ``few`` is for a few labels and minutes; ``paper`` trains as the original
            program does.
        **overrides
            Settings that replace those of the preset.

        Raises
        ------
        SettingsError
            If the preset is unknown or a setting does not fit.
        """
        if name not in PRESETS:
            raise SettingsError(f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}.")
        values = {**PRESETS[name], **overrides}
        # A duration given by hand replaces the preset's, whichever of the two kinds it is.
        if overrides.get("epochs") is not None and "minutes" not in overrides:
            values["minutes"] = None
        if overrides.get("minutes") is not None and "epochs" not in overrides:
            values["epochs"] = None
        return cls.parse(values)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.epochs is None and self.minutes is None:
            raise ValueError("give epochs or minutes")
        if self.crop_size is not None and any(side < 8 or side % 8 for side in self.crop_size):
            raise ValueError(f"crop_size {self.crop_size} must be positive multiples of 8")
        return self


PRESETS: dict[str, dict[str, Any]] = {
    "fast": {},
    "few": {
        "minutes": 3.0,
        "steps_per_epoch": 16,
        "batch_pixels": 65536,
        "reference_extent": 28.0,
        "validation_fraction": 0.0,
        "validation_objects": 0.1,
        "reached_seeds": True,
    },
    "paper": {
        "epochs": 200,
        "minutes": None,
        "architecture": "branched-erfnet",
        "steps_per_epoch": None,
        "reference_extent": None,
        "crop_context": False,
        "image_balance": 0.0,
        "batch_size": 16,
        "optimizer": "adam",
        "learning_rate": 5e-4,
        "start_rate": 1.0,
        "schedule": "polynomial",
        "warmup": 0.0,
        "average_decay": 0.0,
        "dropout": 1.0,
        "precision": "float32",
        "center_of": "fragment",
        "initial_margin": "constant",
        "grid_samples": 1024,
        "margin_scale": 1.0,
        "faint_seeds": 0.0,
        "augmentation": dict.fromkeys(("scale", "shift", "paste", "gain", "offset", "gamma", "noise"), 0.0),
    },
}
"""What each preset sets differently from the defaults above."""
