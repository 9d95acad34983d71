"""What this program notes in labels of a store: which run made them, how it ended, and that they were changed since."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.files.atomic import write_text
from embedseg_napari.core.files.documents import parse_json, read_text

if TYPE_CHECKING:
    from pathlib import Path

MARK = "embedseg"
"""Attribute of the group of a label image."""


def read_notes(labels: Path) -> dict[str, Any]:
    """What is noted in the group of a label image; nothing where that cannot be read."""
    file, values = _description(labels)
    attributes = values.get("attributes") if file == "zarr.json" else values
    found = attributes.get(MARK) if isinstance(attributes, dict) else None
    return found if isinstance(found, dict) else {}


def is_prediction(labels: Path) -> bool:
    """Whether a label image is noted to be what a model found, and nothing of it was changed since."""
    notes = read_notes(labels)
    return bool(notes.get("recipe")) and not notes.get("changed")


def add_notes(labels: Path, **notes: Any) -> None:
    """Note something in the group of a label image, beside what is there.

    Parameters
    ----------
    labels : Path
        The group.
    **notes
        As JSON has them.

    Raises
    ------
    DataError
        If that cannot be written.
    """
    file, values = _description(labels)
    attributes = values.setdefault("attributes", {}) if file == "zarr.json" else values
    attributes[MARK] = read_notes(labels) | notes
    write_text(labels / file, json.dumps(values, indent=2))


def _description(labels: Path) -> tuple[str, dict[str, Any]]:
    """File and content of what the labels say of themselves; nothing where that cannot be read."""
    for file in ("zarr.json", ".zattrs"):
        if (labels / file).is_file():
            try:
                return file, parse_json(read_text(labels / file))
            except (OSError, ValueError):
                return file, {}
    return "", {}
