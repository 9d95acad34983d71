"""The table of a large image's objects, written block by block: CSV, or Parquet."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import SPATIAL
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.units import unit_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

PARQUET = ".parquet"


def check_table(path: Path) -> None:
    """Refuse a table that could not be written.

    Raises
    ------
    SettingsError
        If its ending is unknown, or the library for it missing.
    """
    if path.suffix.lower() not in (".csv", PARQUET):
        raise SettingsError(f"{path}: tables are written as .csv or .parquet; give it one of these endings.")
    if path.suffix.lower() == PARQUET:
        try:
            import pyarrow.parquet  # noqa: F401 (only whether it is there)
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"{path}: Parquet needs the library pyarrow: pip install 'embedseg-napari[parquet]'; or write a .csv."
            ) from error


def columns_of(
    numbers: NDArray[np.uint32],
    rows: NDArray[Any],
    start: tuple[int, ...],
    frame: int | None,
    spacing: tuple[float, ...] | None,
    unit: str | None,
) -> dict[str, Any]:
    """Columns of some objects: in pixels of the whole image, and where the pixel size is known in its unit.

    Parameters
    ----------
    numbers : ndarray, shape (n,)
        Their labels.
    rows : ndarray, shape (n,)
        What blocks keep of them.
    start : tuple of int
        First pixel of the region (z, y, x).
    frame : int, optional
        Time point, in a time-lapse.
    spacing : tuple of float, optional
        Pixel size (z, y, x).
    unit : str, optional
        Its unit.
    """
    letters = [letter.lower() for letter in SPATIAL[-len(start) :]]
    table: dict[str, Any] = {"label": numbers}
    if frame is not None:
        table["frame"] = [frame] * len(numbers)
    table |= {"score": rows["score"].astype(float), "size": rows["size"]}
    for kind in ("center", "centroid", "first", "last"):
        for axis, letter in enumerate(letters):
            table[f"{kind}_{letter}"] = rows[kind][:, axis] + start[axis]
    if spacing is not None:
        word = unit_words(unit).replace("µ", "u") or "units"
        volume = 1.0
        for step in spacing:
            volume *= step
        table[f"size_{word}{len(start)}"] = rows["size"] * volume
        for kind in ("center", "centroid", "first", "last"):
            for axis, letter in enumerate(letters):
                # The outer edges of the first and the last pixel bound the object.
                shift = {"first": -0.5, "last": 0.5}.get(kind, 0.0)
                table[f"{kind}_{letter}_{word}"] = (rows[kind][:, axis] + start[axis] + shift) * spacing[axis]
    return table


def write_table(path: Path, parts: Callable[[], Iterable[dict[str, Any]]]) -> None:
    """Write a table of which one part at a time is in memory; complete, or not there.

    Parameters
    ----------
    path : Path
        Its ending says how; an existing table is replaced.
    parts : callable
        Gives parts of the same columns, at least one.

    Raises
    ------
    DataError
        If it cannot be written.
    """

    def write(target: Path) -> None:
        with (_parquet if path.suffix.lower() == PARQUET else _csv)(target) as add:
            for part in parts():
                add(part)

    write_atomically(path, write)


@contextmanager
def _csv(target: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns: list[str] = []

        def add(part: dict[str, Any]) -> None:
            if not columns:
                columns.extend(part)
                writer.writerow(columns)
            cells = [
                [f"{value:.4f}" for value in part[name]]
                if getattr(part[name], "dtype", None) is not None and part[name].dtype.kind == "f"
                else part[name]
                for name in columns
            ]
            writer.writerows(zip(*cells, strict=True))

        yield add


@contextmanager
def _parquet(target: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    import pyarrow
    import pyarrow.parquet

    writer: Any = None

    def add(part: dict[str, Any]) -> None:
        nonlocal writer
        table = pyarrow.table(part)
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(target, table.schema)
        writer.write_table(table.cast(writer.schema))

    try:
        yield add
    finally:
        if writer is not None:
            writer.close()
