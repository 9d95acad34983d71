"""Tables of objects as files: comma-separated values, or Parquet."""

from __future__ import annotations

import csv
import io
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.atomic import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ENDINGS = (".csv", ".parquet")
EXACT = ".12g"
"""How numbers are written whose size is not known: twelve digits."""
ROWS = 50_000
"""Rows that are text at the same time."""


def require_table_name(path: Path) -> None:
    """Refuse a file name that tells no format that can be written here.

    Raises
    ------
    DataError
        If the ending is unknown, or the package of its format is not installed.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(f"{path}: tables are written as {' or '.join(ENDINGS)}; choose one of these endings.")
    if ending == ".parquet" and find_spec("pyarrow") is None:
        raise DataError(f"{path}: Parquet is written by pyarrow; install it with: pip install pyarrow, or choose .csv.")


def write_table(path: Path, table: Mapping[str, NDArray[Any]], *, overwrite: bool = False) -> None:
    """Write a table, columns by name, in the format that the ending names.

    Raises
    ------
    DataError
        If the file exists, cannot be written, or has an ending of no table.
    """
    require_table_name(path)
    if path.suffix.lower() == ".csv":
        write_atomically(path, lambda target: _csv_parts(target, _cut(table), EXACT), overwrite=overwrite)
        return
    import pyarrow
    from pyarrow import parquet

    arrow = pyarrow.table(dict(table))
    write_atomically(path, lambda target: parquet.write_table(arrow, target), overwrite=overwrite)


def write_parts(path: Path, parts: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    """Write a table of which one part at a time is in memory; complete, or not there. An existing one is replaced.

    Parameters
    ----------
    path : Path
        Its ending names the format.
    parts : iterable of dict
        Rows one after the other, all with the same columns; at least one, which may be empty.

    Raises
    ------
    DataError
        If it cannot be written, or has an ending of no table.
    """
    require_table_name(path)
    if path.suffix.lower() == ".csv":
        write_atomically(path, lambda target: _csv_parts(target, parts, ".4f"))
    else:
        write_atomically(path, lambda target: _parquet_parts(target, parts))


def _cut(table: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    """A table in parts: as text its numbers take several times their memory."""
    n = len(next(iter(table.values())))
    for first in range(0, max(n, 1), ROWS):
        yield {name: values[first : first + ROWS] for name, values in table.items()}


def _csv_parts(target: Path, parts: Iterable[Mapping[str, NDArray[Any]]], numbers: str) -> None:
    with target.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            text = csv_text([part], list(part), numbers)
            file.write(text if number == 0 else text[text.index("\n") + 1 :])


def _parquet_parts(target: Path, parts: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = iter(parts)
    first = pyarrow.table(dict(next(rows)))
    with parquet.ParquetWriter(target, first.schema) as writer:
        writer.write_table(first)
        for part in rows:
            writer.write_table(pyarrow.table(dict(part)))


def csv_text(tables: Sequence[Mapping[str, NDArray[Any]]], columns: Sequence[str], numbers: str) -> str:
    """Rows of tables as comma-separated values; what a table has no column for stays empty.

    Parameters
    ----------
    tables : sequence of dict
        Columns by name, one value per row, all with a column ``label``.
    columns : sequence of str
        Columns of the text.
    numbers : str
        Format of numbers with a fraction, such as ``".4f"``.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for table in tables:
        empty = [""] * len(table["label"])
        cells = [_cells(table[name], numbers) if name in table else empty for name in columns]
        writer.writerows(zip(*cells, strict=True))
    return text.getvalue()


def _cells(values: NDArray[Any], numbers: str) -> list[Any]:
    return [format(value, numbers) for value in values.tolist()] if values.dtype.kind == "f" else values.tolist()
