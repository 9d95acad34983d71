"""Annotations as a data set on disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import replace, sync_folder
from embedseg_napari.core.files.brightness import fault_of_colours
from embedseg_napari.core.files.leftovers import sweep_now_and_then, temporary_name
from embedseg_napari.core.files.tiff import write_image, write_labels
from embedseg_napari.core.files.tiff_flavours import storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.session.state import SessionImage


def write_dataset(folder: Path, examples: Sequence[Example], images: Sequence[SessionImage]) -> None:
    """Write images/, masks/ and, where something is unknown, ignore/, as `pairs.load_folder` reads them.

    Parameters
    ----------
    folder : Path
        A new or empty folder; it appears when it is complete.
    examples : sequence of Example
        At least one, with label images.
    images : sequence of SessionImage
        What the session knows of the image of each: the key is the name of its file, without ending.

    Raises
    ------
    DataError
        If there is nothing to write, the folder holds something, or it cannot be written.
    """
    if not examples:
        raise DataError("Nothing is annotated yet; paint some objects first.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not empty; choose a new folder.")
    sweep_now_and_then(folder.parent)
    draft = folder.with_name(temporary_name())
    try:
        for example, described in zip(examples, images, strict=True):
            space, file = "ZYX"[-example.ndim :], f"{described.key}.tif"
            image, axes = (example.image[0], space) if len(example.image) == 1 else (example.image, f"C{space}")
            # Training refuses colours that show nothing but grey.
            is_colour = described.is_colour and len(image) in (3, 4) and fault_of_colours(image) is None
            place = example.spacing, example.unit
            write_image(draft / "images" / file, storable(image), axes, *place, is_colour=is_colour)
            write_labels(draft / "masks" / file, example.instances, space, example.spacing, example.unit)
            if example.ignore is not None:
                ignore = example.ignore.astype("uint8")
                write_image(draft / "ignore" / file, ignore, space, example.spacing, example.unit)
        if folder.exists():
            folder.rmdir()
        replace(draft, folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
