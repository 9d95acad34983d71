"""Every setting, once: default, range, unit, one sentence. Forms, command line and docs are made from these."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Required, Self

from pydantic import Field, JsonValue, model_validator
from typing_extensions import TypedDict

from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.settings import (
    Amount,
    AmountPerAxis,
    Count,
    PixelsPerAxis,
    PositivePerAxis,
    Settings,
)

Precision = Literal["float32", "bfloat16", "float16"]
Architecture = Literal["unet", "branched-erfnet"]
SCALES = (0.05, 20.0)
"""Smallest and largest factor by which images are resized for the network."""
MOST_PIXELS = 1 << 28
"""In a batch: training takes about a kilobyte of memory for each."""
IGNORE_LABELS = (1 - 2**31, 2**31 - 1)
"""Lowest and highest value of a mask that can stand for an unknown class."""
MAX_CHANNELS = 15
"""Input channels: the paper's network has 16 feature maps in its first layer, one of them at least a convolution's; the
others hold the pooled input."""


class NormalizationConfig(Settings):
    """How intensities are brought to a common scale, per image and channel."""

    method: Literal["percentile", "mean-std", "dtype-range"] = Field(
        "percentile",
        description="Scale intensities by two percentiles (suits most images), by mean and standard deviation, or by "
        "the largest value of the data type (where absolute brightness matters).",
    )
    low: float = Field(
        1.0,
        ge=0,
        lt=50,
        description="Percentile mapped to 0; values below it become negative rather than being clipped.",
    )
    high: float = Field(
        99.8,
        gt=50,
        le=100,
        description="Percentile mapped to 1; lower it if large very bright spots leave everything else dark.",
    )
    clip: float | None = Field(
        3.0,
        ge=1,
        description="Fill in spoiled pixels (hot pixels, cosmic rays, dead lines, values that are no numbers), "
        "leave out padding, and keep values this many ranges from 0 at most; leave empty to take pixels as they are.",
        json_schema_extra={"empty": "as they are"},
    )
    full_range: float | None = Field(
        None,
        gt=0,
        description="Value mapped to 1 by dtype-range, such as 4095 for 12-bit images; leave empty for the largest "
        "value of the data type.",
        json_schema_extra={"empty": "of the data type"},
    )


class AugmentationConfig(Settings):
    """Random changes to each training crop."""

    flips: bool = Field(
        True,
        description="Flip crops and turn them by multiples of 90 degrees at random (in 3D, within YX); switch off "
        "if orientation carries meaning.",
    )
    rotation: bool = Field(
        False,
        description="Rotate crops within YX by any angle; useful for elongated objects that lie in all directions.",
    )
    scale: float = Field(
        0.3,
        ge=0,
        le=0.7,
        description="Zoom crops by a random factor between 1/(1+s) and 1+s, so that the model tolerates objects of "
        "other sizes.",
    )
    shift: float = Field(
        0.25, ge=0, le=0.5, description="Move each crop off its object by up to this fraction of the crop size."
    )
    paste: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Fraction of crops that receive objects copied from another crop, both rotated by any angle; if "
        "empty, 0.5 for masks stored as stacks of planes, whose objects may overlap, and 0 otherwise.",
    )
    gain: float = Field(0.3, ge=0, le=0.9, description="Multiply intensities by a random factor between 1-g and 1+g.")
    offset: float = Field(
        0.1, ge=0, le=0.9, description="Add a random constant between -o and o, in units of normalised intensity."
    )
    gamma: float = Field(0.3, ge=0, le=0.9, description="Raise intensities to a random power between 1/(1+g) and 1+g.")
    noise: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Largest standard deviation of the Gaussian noise added, in units of normalised intensity; raise "
        "it for noisy images.",
    )
    blur: float = Field(
        0.0,
        ge=0,
        le=3.0,
        description="Largest standard deviation, in pixels, of the Gaussian blur applied to half of the crops; raise "
        "it if some images are out of focus.",
    )


class PredictionConfig(Settings):
    """How maps become objects, and how the network is run."""

    seed_threshold: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Lowest seediness (0 to 1) at which an object may start; lower it if objects are missed, raise it "
        "if some are invented.",
    )
    foreground_threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Pixels with a seediness (0 to 1) above this are foreground; lower it if objects come out too "
        "small.",
    )
    faint_seeds: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="How far below the seed threshold a seed may lie if its object is as large as the others and "
        "overlaps none of them; 0, as in the paper, switches this off.",
    )
    margin_scale: float = Field(
        1.0,
        ge=0.5,
        le=3,
        description="Multiply the predicted margins by this factor; raise it if objects come out too small or in "
        "pieces.",
    )
    min_object_size: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Objects of this many pixels or fewer are dropped; raise it to remove debris.",
    )
    seeds: Literal["greedy", "local_maxima"] = Field(
        "greedy",
        description="Which pixels may start an object: greedy tries all in order of falling seediness (the paper), "
        "local_maxima only the peaks of the smoothed seed map.",
    )
    scale: float = Field(
        1.0,
        ge=SCALES[0],
        le=SCALES[1],
        description="Resize images by this factor for the network, so that objects have the size it was trained on; "
        "labels keep the size of the image.",
    )
    tta: bool = Field(
        False,
        description="Test-time augmentation: average predictions over flipped and rotated views, a little more "
        "accurate but 8 times slower in 2D and 16 times in 3D.",
    )
    precision: Precision = Field(
        "float32",
        description="Number format of the network; the 16-bit formats are faster where the processor supports them, "
        "and ignored elsewhere.",
    )
    tile: PixelsPerAxis | None = Field(
        None,
        description="Largest tile the network sees at once, in pixels per axis (z, y, x), multiples of 8; make it "
        "smaller if memory runs out.",
    )
    tile_overlap: Annotated[tuple[Annotated[int, Field(ge=0, le=65536)], ...], Field(max_length=3)] | None = Field(
        None,
        description="Overlap of neighbouring tiles, in pixels per axis (z, y, x); raise it if objects change at tile "
        "borders.",
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

    @property
    def axes(self) -> str:
        """Axes the network works on, ``"CYX"`` or ``"CZYX"``."""
        return "CYX" if self.ndim == 2 else "CZYX"


# Headings that forms put settings under, in the metadata of each field.
LENGTH: dict[str, Any] = {"group": "Length and validation"}
CROPS: dict[str, Any] = {"group": "Crops and batches"}
NETWORK: dict[str, Any] = {"group": "Network and optimiser"}
OBJECTS: dict[str, Any] = {"group": "Objects and loss"}
IMAGES: dict[str, Any] = {"group": "Images"}


class TrainingConfig(Settings):
    """How a model is trained. Defaults are the ``fast`` preset; :meth:`preset` gives the others."""

    epochs: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Number of epochs; leave empty to train for a number of minutes instead.",
        json_schema_extra={**LENGTH, "empty": "from the minutes"},
    )
    minutes: float | None = Field(
        20.0,
        gt=0,
        le=1_000_000,
        description="Total time in minutes, from start to saved model; leave empty to train for a number of epochs "
        "instead.",
        json_schema_extra={"empty": "as many as the epochs take"},
    )
    architecture: Architecture = Field(
        "unet",
        description="Network architecture: a small U-Net with sharp outlines, or the paper's branched ERFNet; a start "
        "model keeps its own.",
        json_schema_extra=NETWORK,
    )
    steps_per_epoch: int | None = Field(
        64,
        ge=1,
        le=1_000_000,
        description="Optimiser steps per epoch; leave empty for one crop per training object.",
        json_schema_extra=LENGTH,
    )
    crop_size: PixelsPerAxis | None = Field(
        None,
        description="Size of training crops, in pixels per axis (z, y, x), multiples of 8; leave empty to derive it "
        "from the object sizes.",
        json_schema_extra=CROPS,
    )
    crop_context: bool = Field(
        True,
        description="Make automatic crops at least 128 pixels wide (3D: 80), so that they show neighbouring objects; "
        "if off, object sizes alone decide, as in the paper.",
        json_schema_extra=CROPS,
    )
    reference_extent: float | None = Field(
        45.0,
        gt=4,
        le=10_000,
        description="Shrink images with larger objects until their mean extent in Y and X is this many pixels; raise "
        "it for thin objects, leave it empty to train at full size (training from a model always matches "
        "the object size it knows).",
        json_schema_extra=CROPS,
    )
    image_balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How crops are drawn: 0 gives every object the same chance, 1 every image, and values in between "
        "mix the two.",
        json_schema_extra=CROPS,
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Crops per batch; leave empty to fill batch_pixels, make it smaller if memory runs out.",
        json_schema_extra=CROPS,
    )
    batch_pixels: int | None = Field(
        None,
        ge=64,
        le=MOST_PIXELS,
        description="Pixels per batch (at least one crop) if batch_size is empty; leave empty for 65536 pixels in 2D "
        "or 409600 voxels in 3D.",
        json_schema_extra=CROPS,
    )
    virtual_batches: int = Field(
        1,
        ge=1,
        le=64,
        description="Gradient accumulation: number of batches whose gradients are summed before each step; with a "
        "smaller batch size this saves memory.",
        json_schema_extra=CROPS,
    )
    low_memory: bool = Field(
        False,
        description="Gradient checkpointing: recompute activations in the backward pass instead of storing them, "
        "which saves memory but makes steps slower.",
        json_schema_extra=CROPS,
    )
    optimizer: Literal["adam", "adamw"] = Field(
        "adamw",
        description="Optimiser; adamw decouples weight decay from the gradient, adam adds it to the gradient.",
        json_schema_extra=NETWORK,
    )
    learning_rate: float = Field(
        2e-3,
        gt=0,
        le=1,
        description="Peak learning rate; lower it if the loss jumps or diverges.",
        json_schema_extra=NETWORK,
    )
    start_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Fraction of the learning rate used when training from a model; leave empty for 1 in 2D and 0.3 "
        "in 3D.",
        json_schema_extra=NETWORK,
    )
    weight_decay: float = Field(
        1e-4, ge=0, le=1, description="Strength of the weight decay.", json_schema_extra=NETWORK
    )
    schedule: Literal["polynomial", "cosine", "constant"] = Field(
        "cosine",
        description="How the learning rate falls to zero; constant keeps it, for training that goes on while labels "
        "are added.",
        json_schema_extra=NETWORK,
    )
    warmup: float = Field(
        0.02,
        ge=0,
        le=0.5,
        description="Fraction of the training during which the learning rate rises to its peak.",
        json_schema_extra=NETWORK,
    )
    average_decay: float = Field(
        0.998,
        ge=0,
        lt=1,
        description="Decay per step of the exponential moving average of the weights; 0 switches averaging off.",
        json_schema_extra=NETWORK,
    )
    dropout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Dropout, as a fraction of the rates the network was designed with; 1, as in the paper, uses them"
        " in full.",
        json_schema_extra=NETWORK,
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format while training; auto uses bfloat16 where the processor supports it.",
        json_schema_extra=NETWORK,
    )
    center: Literal["medoid", "approximate-medoid", "centroid"] = Field(
        "medoid", description="Point of an object that its pixels are trained to point to.", json_schema_extra=OBJECTS
    )
    center_of: Literal["object", "fragment"] = Field(
        "object",
        description="Take the centre of the whole object, or of the part of it inside the crop (the paper).",
        json_schema_extra=OBJECTS,
    )
    initial_margin: Literal["constant", "object"] = Field(
        "object",
        description="Initialise the predicted margins to a constant (the paper), or to half the mean object extent.",
        json_schema_extra=OBJECTS,
    )
    weight_instance: float = Field(
        1.0, ge=0, le=1e38, description="Weight of the instance term of the loss.", json_schema_extra=OBJECTS
    )
    weight_variance: float = Field(
        10.0, ge=0, le=1e38, description="Weight of the variance term of the loss.", json_schema_extra=OBJECTS
    )
    weight_seed: float = Field(
        1.0, ge=0, le=1e38, description="Weight of the seed term of the loss.", json_schema_extra=OBJECTS
    )
    foreground_weight: float | None = Field(
        None,
        gt=0,
        le=1e38,
        description="Weight of foreground pixels in the seed term; leave empty for 3 in 2D (10 for the paper's "
        "network) and the ratio of background to foreground in 3D.",
        json_schema_extra=OBJECTS,
    )
    grid_samples: int = Field(
        256,
        ge=16,
        le=65536,
        description="Samples per unit of the coordinate grid; offsets reach at most one unit, that is one pixel less "
        "than this number, so raise it for very large objects.",
        json_schema_extra=OBJECTS,
    )
    normalization: NormalizationConfig = Field(
        NormalizationConfig(), description="How intensities are normalised.", json_schema_extra=IMAGES
    )
    augmentation: AugmentationConfig = Field(
        AugmentationConfig(), description="Random changes to training crops.", json_schema_extra=IMAGES
    )
    ignore_label: int | None = Field(
        None,
        ge=IGNORE_LABELS[0],
        le=IGNORE_LABELS[1],
        description="Mask value of pixels whose class is unknown and which the loss leaves out, besides those of an "
        "ignore mask; with 0, only the objects are known.",
        json_schema_extra={**IMAGES, "empty": "none"},
    )
    margin_scale: float = Field(
        1.2,
        ge=0.5,
        le=3,
        description="Factor for the margins, stored with the model unless held-out images clearly favour another; not "
        "applied where depths are guessed from labels on a single plane.",
        json_schema_extra=OBJECTS,
    )
    faint_seeds: float = Field(
        0.05,
        ge=0,
        le=0.5,
        description="Stored with the model: how far below the seed threshold a seed may lie if its object is as large "
        "as the others and overlaps none of them.",
        json_schema_extra=OBJECTS,
    )
    validation_fraction: float = Field(
        0.1,
        ge=0,
        lt=0.9,
        description="Fraction of the images held out for validation if no validation images are given.",
        json_schema_extra=LENGTH,
    )
    validation_objects: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Fraction of the objects held out for scoring if no images are held out; none if there are fewer "
        "than 10.",
        json_schema_extra=LENGTH,
    )
    reached_seeds: bool = Field(
        False,
        description="If no images are held out, lower the model's seed threshold where needed until nine tenths of "
        "the annotated objects reach it.",
        json_schema_extra=LENGTH,
    )
    devices: int = Field(
        1,
        ge=1,
        le=1024,
        description="Number of devices (GPUs) that share the training; for more than one, start the program with "
        "torchrun.",
    )
    validate_every: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="Number of epochs between validations; with a time budget, validation runs as often as the time "
        "allows.",
        json_schema_extra=LENGTH,
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**32 - 1,
        description="Seed of all random numbers; change it to repeat a training with other random choices.",
        json_schema_extra=LENGTH,
    )

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
        if not isinstance(name, str) or name not in PRESETS:
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
        if self.crop_size is not None:
            if len(self.crop_size) not in (2, 3):
                raise ValueError(f"crop_size {list(self.crop_size)} needs two sides (y, x), or three (z, y, x)")
            if math.prod(self.crop_size) * (self.batch_size or 1) > MOST_PIXELS:
                raise ValueError(
                    f"crop_size {list(self.crop_size)} makes batches of more than {MOST_PIXELS} pixels, which no "
                    "memory holds; choose smaller crops or fewer per batch"
                )
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
