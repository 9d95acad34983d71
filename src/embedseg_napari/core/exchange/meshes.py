"""Surfaces of objects in volumes, in physical units, as PLY and STL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.measure.sums import sums_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


LARGEST_LABEL = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Mesh:
    """The surface of an object; triangles run counter-clockwise as seen from outside."""

    label: int
    vertices: NDArray[np.float32]
    """(n, 3) as x, y, z from the centre of the volume's first pixel."""
    faces: NDArray[np.int32]
    """(m, 3) rows of vertices."""


def meshes(labels: NDArray[np.integer], spacing: Sequence[float]) -> Iterator[Mesh]:
    """The surfaces of all objects, halfway between pixels inside and outside; in ascending id.

    Parameters
    ----------
    labels : ndarray of int, shape (Z, Y, X)
        Ids, 0 is background.
    spacing : sequence of float
        Size of a pixel (z, y, x).
    """
    from skimage.measure import marching_cubes

    sums = sums_of(labels)
    for row, number in enumerate(sums.ids.tolist()):
        lower = sums.lower[row]
        box = tuple(slice(a, b) for a, b in zip(lower, sums.upper[row], strict=True))
        mask = np.pad(labels[box] == number, 1).astype(np.float32)
        vertices, faces, *_ = marching_cubes(mask, 0.5, spacing=tuple(spacing))
        vertices = vertices + (lower - 1) * np.asarray(spacing)
        # scikit-image's triangles run clockwise, and turning the axes round turns them.
        yield Mesh(number, vertices[:, ::-1].astype(np.float32), faces.astype(np.int32))


def together(parts: Sequence[Mesh]) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64]]:
    """Several surfaces as one: corners (n, 3) as x, y, z, triangles (m, 3), and the object of each corner (n,)."""
    sizes = [len(part.vertices) for part in parts]
    before = np.cumsum([0, *sizes[:-1]]).astype(np.int32)
    faces = np.concatenate([part.faces + n for part, n in zip(parts, before, strict=True)])
    labels = np.repeat(np.array([part.label for part in parts], np.int64), sizes)
    return np.concatenate([part.vertices for part in parts]), faces, labels


def write_ply(target: Path, parts: Sequence[Mesh], unit: str) -> None:
    """Write surfaces as one binary PLY; each corner has the number of its object."""
    vertices, faces, labels = together(parts)
    if labels.max(initial=0) > LARGEST_LABEL:
        raise DataError(
            f"A .ply numbers objects up to {LARGEST_LABEL:,}, and these go up to {labels.max():,}; number them "
            "anew, or choose .stl."
        )
    corners = np.zeros(len(vertices), [("place", "<f4", 3), ("label", "<i4")])
    corners["place"], corners["label"] = vertices, labels
    triangles = np.zeros(len(faces), [("n", "u1"), ("corners", "<i4", 3)])
    triangles["n"], triangles["corners"] = 3, faces
    header = (
        f"ply\nformat binary_little_endian 1.0\ncomment unit {unit}\nelement vertex {len(corners)}\n"
        "property float x\nproperty float y\nproperty float z\nproperty int label\n"
        f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    with target.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(corners.tobytes())
        file.write(triangles.tobytes())


def write_stl(target: Path, parts: Sequence[Mesh], unit: str) -> None:
    """Write surfaces as one binary STL, which has no place for numbers of objects."""
    corners = np.concatenate([part.vertices[part.faces] for part in parts])
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    triangles = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles["normal"], triangles["corners"] = normals, corners
    with target.open("wb") as file:
        file.write(f"EmbedSeg objects, unit {unit}".encode("ascii", "replace").ljust(80))
        file.write(np.uint32(len(triangles)).tobytes())
        file.write(triangles.tobytes())
