"""Images and labels as OME-Zarr, as other programs write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write_store(
    path: Path,
    array: np.ndarray,
    axes: str = "yx",
    version: str = "0.5",
    *,
    levels: int = 1,
    spacing: float = 0.5,
    chunk: int = 64,
    channels: tuple[str, ...] = (),
    more: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Write an image with levels of half the size each along y and x; `options` go to the arrays."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    if version == "0.4":
        options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} | options
    else:
        options = {"dimension_names": list(axes)} | options
    datasets = []
    for level in range(levels):
        step = 2**level
        part = array[..., ::step, ::step]
        chunks = tuple(min(chunk, n) if letter in "yx" else 1 for letter, n in zip(axes, part.shape, strict=True))
        made = group.create_array(str(level), shape=part.shape, dtype=part.dtype, chunks=chunks, **options)
        made[...] = part
        scale = [spacing * step if letter in "yx" else 1.0 for letter in axes]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    named = [
        {"name": one, "type": KINDS[one]} | ({"unit": "micrometer"} if KINDS[one] == "space" else {}) for one in axes
    ]
    image: dict[str, Any] = {"name": path.stem, "axes": named, "datasets": datasets}
    rest = {"omero": {"channels": [{"label": name} for name in channels]}} if channels else {}
    rest |= more or {}
    if version == "0.4":
        group.attrs.update({"multiscales": [image | {"version": "0.4"}], **rest})
    else:
        group.attrs.update({"ome": {"version": "0.5", "multiscales": [image], **rest}})
    return path
