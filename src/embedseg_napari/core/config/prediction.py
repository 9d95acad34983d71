"""How maps become objects."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from embedseg_napari.core.config.limits import SCALES, Engine, Precision
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.settings import PixelsPerAxis, Settings

CLUSTERING = {
    "seed_threshold",
    "foreground_threshold",
    "faint_seeds",
    "margin_scale",
    "min_object_size",
    "max_object_size",
    "drop_border_objects",
    "fill_holes",
    "seeds",
}
"""Settings that turn maps into objects."""


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
    max_object_size: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Objects of more pixels than this are dropped; 0 sets no limit.",
    )
    drop_border_objects: bool = Field(
        False,
        description="Drop objects that touch the border of the image, where they may be cut off; in a volume its first "
        "and last plane, too.",
    )
    fill_holes: bool = Field(
        False,
        description="Fill holes: background that an object encloses becomes part of it; in a volume, closed cavities.",
    )
    seeds: Literal["greedy", "local_maxima"] = Field(
        "greedy",
        description="Which pixels may start an object: greedy tries all in order of falling seediness (the paper), "
        "local_maxima only the peaks of the smoothed seed map, whatever the seed threshold, and none in the first or "
        "last pixel of an axis of three or more.",
    )
    scale: float = Field(
        1.0,
        ge=SCALES[0],
        le=SCALES[1],
        description="Resize images by this factor for the network, so that objects have the size it was trained on; "
        "labels keep the size of the image.",
    )
    find_scale: bool = Field(
        False,
        description="Look for the scale of each image by trying some on a part of it, starting from the one given; it "
        "is told which was taken.",
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
    engine: Engine = Field(
        "auto",
        description="Program that computes the network: OpenVINO is faster on Intel and AMD processors, and auto takes "
        "it for large images and many where it is installed and the device is a CPU; int8 is OpenVINO in 8-bit "
        "integers, faster still, for models that were calibrated for it (embedseg calibrate).",
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

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if 0 < self.max_object_size <= self.min_object_size:
            raise ValueError(
                f"no object has more than min_object_size ({self.min_object_size}) and at most max_object_size "
                f"({self.max_object_size}) pixels; change one of the two"
            )
        return self

    @property
    def clustering(self) -> dict[str, Any]:
        """The settings that turn maps into objects, as `es.cluster` and `Segmentation.recluster` take them."""
        return self.model_dump(include=CLUSTERING)

    @property
    def threshold_of_seeds(self) -> str:
        """Which threshold yields more seeds when it is lowered, in words."""
        return "seed threshold" if self.seeds == "greedy" else "foreground threshold"

    def at_scale(self, scale: float, ndim: int) -> Self:
        """These settings at another scale: where objects are smaller, so is the smallest that counts.

        At a smaller scale the minimum size stays, for the image may show small objects, too.
        """
        share = min(1.0, self.scale / scale) ** ndim
        return self.changed({"scale": scale, "min_object_size": int(self.min_object_size * share)})

    def changed(self, changes: dict[str, Any]) -> Self:
        """These settings with others in place of some; None leaves a setting as it is.

        A scale that is given is kept: no other is looked for unless that is given, too.

        Raises
        ------
        SettingsError
            If a setting does not fit.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        most, least = given.get("max_object_size"), self.min_object_size
        if "min_object_size" not in given and isinstance(most, int) and 0 < most <= least:
            raise SettingsError(
                f"Setting 'max_object_size': {most} pixels leave no object, for the model drops those of {least} or "
                "fewer (its min_object_size); give a smaller min_object_size as well, or a larger maximum."
            )
        # The overlap was chosen for the tile that it is stored with.
        implied: dict[str, Any] = {"tile_overlap": None} if "tile" in given else {}
        implied |= {"find_scale": False} if "scale" in given else {}
        return self.parse(self.model_dump() | implied | given)
