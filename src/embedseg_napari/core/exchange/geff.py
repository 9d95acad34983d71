"""Tracks as GEFF, the graph exchange file format: a Zarr group of objects and the links between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from embedseg_napari.core.axes import spatial_axes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.tracking.tracks import Tracks

VERSION = "1.3"
"""Of the format; its own library is used in the tests and not here, since it holds back numcodecs on Python 3.11."""
UNITS = {"um": "micrometer", "nm": "nanometer", "mm": "millimeter"}


def write_geff(path: Path, tracks: Tracks, labels: str) -> None:
    """Write tracks as a group.

    Nodes are objects (``t``, ``y``, ``x``, in 3D ``z``, in pixels; ``label``, ``track``, ``size`` and the brightness of
    each channel), edges lead from an object to what it becomes.

    Parameters
    ----------
    path : Path
        The group, which is made.
    tracks : Tracks
        What is written.
    labels : str
        Where the labels with the tracks' numbers lie, from the group.
    """
    letters = spatial_axes(tracks.axes).lower()
    props: dict[str, NDArray[Any]] = {"t": tracks.frame}
    props |= {letter: tracks.centroid[:, k] for k, letter in enumerate(letters)}
    props |= {"label": tracks.label, "track": tracks.track, "size": tracks.size}
    props |= {f"intensity_mean_{k}": one for k, one in enumerate(tracks.brightness.T)}
    rows = np.flatnonzero(tracks.parents >= 0)
    group = zarr.create_group(path, zarr_format=2)
    nodes, edges = group.create_group("nodes"), group.create_group("edges")
    _add(nodes, "ids", np.arange(len(tracks), dtype=np.uint64))
    _add(edges, "ids", np.stack([tracks.parents[rows], rows], axis=1).astype(np.uint64))
    edges.create_group("props")
    own = nodes.create_group("props")
    for name, values in props.items():
        _add(own.create_group(name), "values", values)
    steps = dict(zip(letters, tracks.spacing or (None,) * len(letters), strict=True))
    unit = None if tracks.spacing is None or tracks.unit is None else UNITS.get(tracks.unit, tracks.unit)
    axes: list[dict[str, Any]] = [{"name": "t", "type": "time", "unit": "frame"}]
    axes += [
        {"name": letter, "type": "space", "unit": "pixel", "scale": steps[letter], "scaled_unit": unit}
        for letter in letters
    ]
    for axis in axes:
        values = props[axis["name"]]
        axis |= {"min": float(values.min()), "max": float(values.max())}
    group.attrs["geff"] = {
        "geff_version": VERSION,
        "directed": True,
        "axes": axes,
        "node_props_metadata": {
            name: {"identifier": name, "dtype": values.dtype.name, "varlength": False} for name, values in props.items()
        },
        "edge_props_metadata": {},
        "track_node_props": {"tracklet": "track"},
        "related_objects": [{"type": "labels", "path": labels, "node_prop": "track"}],
        "display_hints": {"display_horizontal": "x", "display_vertical": "y", "display_time": "t"}
        | ({"display_depth": "z"} if "z" in letters else {}),
        "extra": {},
    }


def _add(group: zarr.Group, name: str, values: NDArray[Any]) -> None:
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=tuple(max(n, 1) for n in values.shape)
    )
    array[...] = values
