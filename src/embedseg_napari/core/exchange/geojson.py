"""GeoJSON as QuPath reads and writes it: a feature for each object and plane."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.exchange.drawn import Drawing, Drawn, number_of
from embedseg_napari.core.exchange.json_parts import fields, json_parts
from embedseg_napari.core.exchange.outlines import outlines
from embedseg_napari.core.exchange.planes import planes_of
from embedseg_napari.core.files.documents import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.exchange.outlines import Piece, Ring
    from embedseg_napari.core.exchange.planes import Within

IDENTITY = ("label", "frame", "image")
"""Columns that are no measurements."""
KINDS = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon", "GeometryCollection")
LISTS = ("coordinates", "geometries")
"""What is a list in a geometry."""


def write_geojson(
    target: Path, labels: Any, axes: str, table: Mapping[str, Any] | None = None, within: Within | None = None
) -> None:
    """Write the outlines of all objects, with their measurements, as detections of QuPath.

    Parameters
    ----------
    target : Path
        File to fill.
    labels : array of int, shape ((T,) (Z,) Y, X)
        Ids, 0 is background; it is read plane by plane.
    axes : str
        Their axes.
    table : dict, optional
        Measurements, from :func:`~embedseg_napari.measure`.
    within : Within, optional
        The image that the labels are a part of: outlines lie on it, and the frames of the measurements are its frames.
    """
    measured = {} if table is None else _measurements(table)
    with target.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"
        for plane in planes_of(labels, axes, within):
            for number, pieces in outlines(plane.labels, plane.corner):
                geometry = _geometry(pieces)
                if plane.t is not None or plane.z is not None:
                    geometry["plane"] = {"c": -1, "z": plane.z or 0, "t": plane.t or 0}
                properties = {"objectType": "detection", "name": str(number), "label": number}
                numbers = measured.get((plane.t or 0, number))
                if numbers:
                    properties["measurements"] = numbers
                feature = {"type": "Feature", "geometry": geometry, "properties": properties}
                file.write(separator + json.dumps(feature, separators=(",", ":")))
                separator = ",\n"
        file.write("\n]}\n")


def _measurements(table: Mapping[str, Any]) -> dict[tuple[int, int], dict[str, float]]:
    """Measurements of each object by frame and number; what is no number is left out, since JSON has no word for it."""
    names = [name for name in table if name not in IDENTITY]
    labels = table["label"].tolist()
    frames = table["frame"].tolist() if "frame" in table else [0] * len(labels)
    columns = [table[name].astype(float).tolist() for name in names]
    rows = zip(*columns, strict=True) if columns else iter([()] * len(labels))
    return {
        key: {name: value for name, value in zip(names, row, strict=True) if math.isfinite(value)}
        for key, row in zip(zip(frames, labels, strict=True), rows, strict=True)
    }


def _geometry(pieces: list[Piece]) -> dict[str, Any]:
    polygons = [[_closed(ring) for ring in piece.rings] for piece in pieces]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _closed(ring: Ring) -> list[list[int]]:
    corners: list[list[int]] = ring.tolist()
    return [*corners, corners[0]]


def is_geojson(path: Path, largest: int) -> bool:
    """Whether a JSON says that it is GeoJSON, in its outermost table or the first element of its list.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    try:
        for key, value in json_parts(path, largest):
            if key in ("", "type", "features"):
                kind = value.get("type") if isinstance(value, dict) else value
                return key == "features" or (isinstance(kind, str) and kind in KINDS)
    except Unreadable as error:
        raise DataError(f"{path}: {error}.") from error
    return False


def read_geojson(path: Path, largest: int) -> Drawing:
    """Read the polygons of a feature, a list of features or a collection of them, one by one.

    Parameters
    ----------
    path : Path
        The file.
    largest : int
        Bytes that it may have.

    Raises
    ------
    DataError
        While it is read: if it is no such file.
    """
    what = "features without an area (points, lines, none) are left out."
    return Drawing(_drawn(path, largest), what, "holds no polygon.")


def _drawn(path: Path, largest: int) -> Iterator[Drawn | None]:
    try:
        for feature in _features(path, largest):
            geometry = fields(feature.get("geometry") or {}, "a geometry")
            properties = fields(feature.get("properties") or {}, "what is said of a feature")
            pieces = _pieces(geometry)
            if not pieces:
                yield None
                continue
            plane = fields(geometry.get("plane") or properties.get("plane") or {}, "a plane")
            place = [int(plane[axis]) if axis in plane else None for axis in "tz"]
            yield Drawn(pieces, number_of(properties.get("label")), str(properties.get("name") or ""), *place)
    except Unreadable as error:
        raise DataError(f"{error}.") from error
    except RecursionError as error:
        raise DataError("is nested too deeply.") from error
    except KeyError as error:
        raise DataError(f"is no GeoJSON that can be read ({error} is missing).") from error
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"is no GeoJSON that can be read ({error}).") from error


def _features(path: Path, largest: int) -> Iterator[dict[str, Any]]:
    """The features of a file, of a list in it, or of collections in that."""
    rest: dict[str, Any] = {}
    """What the outermost table says beside its features: it is a feature or a geometry, if it has none."""
    is_collection = False
    for key, value in json_parts(path, largest):
        if key == "features":
            is_collection = True
            yield from _members(value)
        elif key:
            rest.setdefault(key, []).append(value)
        else:
            is_collection = True
            yield from _members(value)
    if not is_collection and rest.get("type") != ["FeatureCollection"]:
        # Lists came in parts.
        whole = {key: values if key in LISTS else values[0] for key, values in rest.items()}
        yield whole if whole.get("type") == "Feature" else {"geometry": whole}


def _members(content: Any) -> Iterator[dict[str, Any]]:
    if isinstance(content, list):
        for one in content:
            yield from _members(one)
    elif fields(content, "a feature").get("type") == "FeatureCollection":
        yield from _members(content["features"])
    else:
        yield content if content.get("type") == "Feature" else {"geometry": content}


def _pieces(geometry: dict[str, Any]) -> list[list[NDArray[np.float64]]]:
    """The polygons of a geometry, each with its holes."""
    kind, coordinates = fields(geometry, "a geometry").get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        return [piece for one in geometry["geometries"] for piece in _pieces(one)]
    polygons: Any = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(str(kind), [])
    try:
        pieces = [[np.array([(float(x), float(y)) for x, y, *_ in ring]) for ring in rings] for rings in polygons]
    except (TypeError, ValueError) as error:
        raise ValueError(f"a {kind} whose corners are no lists of numbers") from error
    return [rings for rings in pieces if any(map(len, rings))]
