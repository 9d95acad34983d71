"""What `session.json` holds; every value is validated when it is read."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from embedseg_napari.core.annotation.states import AnnotationCounts  # noqa: TC001, pydantic looks it up
from embedseg_napari.core.axes import spatial_axes
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.evaluation.before_after import Verdict  # noqa: TC001, pydantic looks it up
from embedseg_napari.core.files.documents import Unreadable, parse_json
from embedseg_napari.core.files.units import micrometres
from embedseg_napari.core.settings import Amount, Count, PositivePerAxis, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORMAT_VERSION = 1
ALIKE = 0.02
"""Relative difference up to which two pixel sizes are taken for the same."""
AnnotationFolder = Annotated[str, Field(pattern=r"^annotations/[0-9]{1,9}$")]
Name = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")]


class ImageSource(Settings):
    """A file that an image was read from, and how to notice that it changed."""

    path: Name
    """Absolute."""
    relative: Name
    """From the session folder, for when both were moved together."""
    size: Count
    """Bytes."""
    mtime_ns: int
    sha256: Name


class SessionPart(Settings):
    """Where an image was cut out of that of a store, into whose labels accepted objects can go."""

    store: Name
    """Absolute path of the group of that image."""
    start: Annotated[tuple[Count, ...], Field(min_length=2, max_length=4)]
    """First pixel of the part, T(Z)YX."""


class SessionImage(Settings):
    """One image of a session."""

    name: Name
    axes: str = Field(pattern="^[CZYX]{2,4}$")
    """One letter per axis of the array; no T."""
    shape: tuple[Annotated[int, Field(ge=1, lt=2**31)], ...]
    """Of the array as stored, with all `axes`."""
    dtype: Name
    spacing: PositivePerAxis | None = None
    """Physical pixel size (z, y, x)."""
    unit: Name | None = None
    key: str = Field(pattern=r"^\w[^/\\\x00]*$", max_length=100)
    """Name of its files inside the session folder, without ending."""
    source: ImageSource | None = None
    """None for an image that the session folder holds itself."""
    part_of: SessionPart | None = None
    """None for a whole image, and of older versions."""
    is_colour: bool = False
    """Whether its channels are red, green and blue, and perhaps alpha; False of older versions."""

    @model_validator(mode="after")
    def _axes_agree(self) -> Self:
        if not {"Y", "X"} <= set(self.axes) or len(set(self.axes)) != len(self.axes):
            raise ValueError(f"axes {self.axes!r} need Y and X, and each letter once")
        if len(self.axes) != len(self.shape):
            raise ValueError(f"axes {self.axes!r} do not fit the shape {list(self.shape)}")
        return self

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape ((Z,) Y, X) of its labels."""
        return spatial_shape(self.axes, self.shape)

    @property
    def kind(self) -> tuple[int, int]:
        """Spatial dimensions and channels; the images of a session agree in them."""
        return kind_of(self.axes, self.shape)

    def has_other_pixels(self, spacing: Sequence[float] | None, unit: str | None) -> bool:
        """Whether an image with this pixel size (z, y, x) surely has larger or smaller ones."""
        if self.spacing is None or spacing is None or len(self.spacing) != len(spacing):
            return False
        units = [None if one is None else micrometres(one) for one in (self.unit, unit)]
        if self.unit != unit and None in units:
            return False
        factors = [1.0 if one is None else one for one in units]
        sizes = [
            [factor * step for step in steps] for factor, steps in zip(factors, (self.spacing, spacing), strict=True)
        ]
        return any(not math.isclose(a, b, rel_tol=ALIKE) for a, b in zip(*sizes, strict=True))


class FoundObjects(Settings):
    """How many of some annotated objects are found, at IoU 0.5."""

    n_objects: Count = 0
    before: Count | None = None
    """By the model that the round started from; None where it started from nothing."""
    now: Count = 0


class Comparison(Settings):
    """A round's model beside the one it started from."""

    verdict: Verdict = "unknown"
    held_out: FoundObjects = FoundObjects()
    accepted: FoundObjects = FoundObjects()
    """Predicted objects that the user accepted, as far as they were trained on."""
    painted: FoundObjects = FoundObjects()
    """The others that were trained on."""
    n_images: Count = 0
    """Images that both models segmented."""
    in_images: FoundObjects = FoundObjects()
    """All that they find there, be it right or wrong; `n_objects` are those that are annotated."""


class Round(Settings):
    """One round of training: what it learned from and what came out."""

    number: Annotated[int, Field(ge=0, lt=10**9)] = 0
    """1 for the first; filled in by the session."""
    started: datetime = Field(default_factory=lambda: datetime.now(UTC))
    seconds: Amount = 0.0
    n_images: Count = 0
    """Images with annotations."""
    n_objects: Count = 0
    n_pixels_labelled: Count = 0
    score: float | None = None
    """AP at IoU 0.5 on the held-out part of the annotations."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Of the prediction, by the names of the settings."""
    model_file: str = Field("", pattern=r"^(rounds/[0-9]{1,9}\.embedseg)?$")
    """Inside the session folder; filled in by the session."""
    comment: str = ""
    started_from: Name = ""
    """File of the model that the round started from; empty where that was a new network."""
    saved_as: Name = ""
    """File that the model was saved as for the user, beside the one inside the session folder."""
    comparison: Comparison | None = None
    """None of rounds of older versions."""
    counts: dict[str, AnnotationCounts] = Field(default_factory=dict)
    """By name of the image; filled in by the session, as are their number and sums."""


class SessionState(Settings):
    """Everything but the arrays."""

    images: tuple[SessionImage, ...] = ()
    rounds: tuple[Round, ...] = ()
    annotations: AnnotationFolder = "annotations/0001"
    """Folder, inside the session folder, of the current annotations."""
    undo: tuple[AnnotationFolder, ...] = ()
    """Folders of annotations that a restored round replaced, the latest last."""
    software_version: str = ""

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        for what in ("name", "key"):
            values = [getattr(image, what) for image in self.images]
            if len(set(values)) != len(values):
                raise ValueError(f"two images have the same {what}")
        return self


def kind_of(axes: str, shape: Sequence[int]) -> tuple[int, int]:
    """Return the number of spatial dimensions and of channels of an array."""
    return len(spatial_axes(axes)), shape[axes.index("C")] if "C" in axes else 1


def spatial_shape(axes: str, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape ((Z,) Y, X) of an array."""
    return tuple(shape[axes.index(letter)] for letter in spatial_axes(axes))


def to_json(state: SessionState) -> str:
    """Return the text of `session.json`."""
    return json.dumps({"format_version": FORMAT_VERSION, **state.model_dump(mode="json")}, indent=1)


def from_json(path: Path, text: str) -> SessionState:
    """Validate the text of `session.json`.

    Raises
    ------
    DataError
        If it is damaged or of an unknown version.
    """
    try:
        values = parse_json(text)
    except Unreadable as error:
        raise DataError(f"{path}: is damaged, or does not belong to a session (it {error}).") from error
    version = values.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path}: was written in format {version!r}; this version of embedseg-napari reads format "
            f"{FORMAT_VERSION}. Update embedseg-napari."
        )
    try:
        return SessionState.parse(values)
    except SettingsError as error:
        raise DataError(f"{path}: is damaged. {error}") from error
