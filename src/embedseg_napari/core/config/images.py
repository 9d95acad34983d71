"""What is done to the pixels of an image: their common scale, and random changes while a network learns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from embedseg_napari.core.settings import Settings


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
        "value of the data type, which is 1 for floating-point numbers, such as the mean of channels.",
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
