"""How a model is trained."""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from embedseg_napari.core.config.images import AugmentationConfig, NormalizationConfig
from embedseg_napari.core.config.limits import IGNORE_LABELS, MOST_PIXELS, Architecture
from embedseg_napari.core.config.presets import PRESETS
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.settings import Gigabytes, PixelsPerAxis, Settings

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
        "it for thin objects, leave it empty to train at full size, or from a model at that model's own scale "
        "(otherwise images are resized to the object size that model knows).",
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
        "or 409600 voxels in 3D, four times as many on a GPU with 8 GB free.",
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
        description="Fraction of the images held out for validation if no validation images are given; of fewer than "
        "five images, a fraction of the objects for a score.",
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
    find_scale: bool = Field(
        False,
        description="The model looks for the scale of each image that it segments: a few objects rarely show all sizes "
        "that there are.",
        json_schema_extra=LENGTH,
    )
    keep_start: bool = Field(
        False,
        description="If training from a model and no images are held out, keep up to half of that model's weights, as "
        "far as the annotated objects are found about as well with them; of start-2d only where fewer than ten are "
        "annotated, and then its batch norm, too, or after 768 steps.",
        json_schema_extra=LENGTH,
    )
    memory: Gigabytes | None = Field(
        None,
        description="Gigabytes of memory that images may take; of larger ones (OME-Zarr, TIFF) crops are read from the "
        "disk while training. Leave empty for half of the machine's memory.",
        json_schema_extra={**IMAGES, "empty": "half of the machine's"},
    )
    devices: int = Field(
        1,
        ge=1,
        le=1024,
        description="Number of devices (GPUs) of a machine that share the training; for more than one, start the "
        "program with torchrun, whose number of processes counts where this is 1.",
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
