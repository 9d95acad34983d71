"""Parts of images on the disk, in memory: what is segmented of them while a network learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.parts import MOST, parts_with
from embedseg_napari.core.data.stored import StoredExample
from embedseg_napari.core.training.crops.stored_source import normalized
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embedseg_napari.core.config import NormalizationConfig


MOST_NAMED = 5
"""Images that sentences name one by one."""


def notes_from_disk(images: Sequence[Example], normalization: NormalizationConfig) -> list[str]:
    """Say of images on the disk what is done otherwise than with images in memory."""
    stored = [one for one in images if isinstance(one, StoredExample)]
    notes = [f"{one.name}: {normalized(one.image, normalization)[1]}" for one in stored[:MOST_NAMED]]
    if len(stored) > MOST_NAMED:
        notes.append(f"So it is with {count(len(stored) - MOST_NAMED, 'more image')} on the disk.")
    if stored:
        notes.append(f"For scores, up to {count(MOST, 'part')} of each image on the disk are segmented, not the whole.")
    return notes


def in_memory(example: Example, normalization: NormalizationConfig) -> Example:
    """An image as it can be shown: of one on the disk, a part."""
    return parts_of(example, normalization, most=1)[0] if isinstance(example, StoredExample) else example


def parts_of(
    example: StoredExample, normalization: NormalizationConfig, ids: NDArray[np.int64] | None = None, most: int = MOST
) -> list[Example]:
    """Read some parts of an image, normalised by the brightness of the whole.

    Parameters
    ----------
    example : StoredExample
        The image.
    normalization : NormalizationConfig
        Of the network.
    ids : ndarray of int, optional
        Objects that must be seen; by default all are alike.
    most : int
        Parts at most.
    """
    pixels, _ = normalized(example.image, normalization)
    table = example.survey.table
    centers = table.centers if ids is None else table.centers[np.isin(table.ids, ids)]
    parts = []
    for part in parts_with(centers, example.image.shape[1:], most):
        labels, unknown = example.instances.read(part)
        at = ", ".join(f"{a}:{b}" for a, b in zip(part.start, part.stop, strict=True))
        parts.append(
            Example(
                f"{example.name} [{at}]",
                pixels.read(part),
                labels.astype(np.int64 if labels.max() >= 1 << 31 else np.int32),
                unknown,
                example.spacing,
                example.unit,
                example.path,
                example.mask_path,
                is_normalized=True,
            )
        )
    return parts
