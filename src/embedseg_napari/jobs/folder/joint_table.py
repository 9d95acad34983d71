"""The table of all images of a folder, `objects.csv`: what it says of images that are not segmented now stays."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import count as counted
from pathlib import Path
from typing import TYPE_CHECKING

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.atomic import alone, write_text
from embedseg_napari.core.runs import never
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.object_table import Table, as_csv, is_object_table, read_tables, rows_hash

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

TABLE = "objects.csv"
Listed = dict[Path, dict[str, Table]]
"""Tables of all images of a folder, and the rows of each image in them."""


def find_table(results: Path) -> tuple[Path, dict[str, Table] | None]:
    """Where the table of a folder is or goes, and the rows of each image in it; None where there is none yet.

    It is ``objects.csv``, or one with the next number where that is no such table.
    """
    for number in counted(1):
        place = results / (TABLE if number == 1 else TABLE.replace(".", f"-{number}."))
        tables = read_tables(place)
        if tables is not None or not os.path.lexists(place):
            return place, tables
    raise AssertionError("numbers do not end")


def find_tables(results: Path) -> tuple[Path, Listed]:
    """Where the table of a folder is or goes; it, and those that were written beside it, the latest first.

    That happens where it cannot be replaced: another program has it open.
    """
    place, listed = find_table(results)
    found = {} if listed is None else {place: listed}
    numbers = (re.fullmatch(rf"{re.escape(Path(TABLE).stem)}-(\d+)\.csv", path.name) for path in results.glob("*.csv"))
    names = sorted((one.group() for one in numbers if one), key=lambda name: (len(name), name), reverse=True)
    for beside in (results / name for name in names if name != place.name):
        tables = read_tables(beside)
        # An image may be called so, too.
        if tables is not None and tables.keys() != {beside.stem}:
            found[beside] = tables
    return place, found


def _write_beside(results: Path, place: Path, found: dict[str, Table], text: str) -> Path:
    """Write a table that cannot take its place: over an earlier one of its kind that has no other rows, or beside."""
    hashes = {name: rows_hash(table) for name, table in found.items()}
    for beside, tables in find_tables(results)[1].items():
        there = {name: rows_hash(table) for name, table in tables.items()}
        if beside == place or not there.items() <= hashes.items():
            continue
        if there == hashes:
            return beside
        with suppress(DataError):
            write_text(beside, text, overwrite=True)
            return beside
    spare = _free_place(results)
    write_text(spare, text, overwrite=False)
    return spare


def _free_place(results: Path) -> Path:
    """A name with a number that is not taken."""
    places = (results / TABLE.replace(".", f"-{number}.") for number in counted(2))
    return next(place for place in places if not os.path.lexists(place))


def is_own_table(table: Path) -> bool:
    """Whether the table beside an image's labels is one of its objects alone; an image may be called ``objects``."""
    return is_object_table(table) and (table.name != TABLE or (read_tables(table) or {}).keys() <= {table.stem})


def renew_table(
    results: Path,
    images: Iterable[str],
    tables: dict[str, Table],
    renewed: set[str],
    skipped: set[str],
    *,
    is_asked: bool,
    overwrite: bool,
) -> Generator[Message, None, int]:
    """Write the table where it is asked for, or lists earlier labels of images that were segmented now.

    Rows of other images stay; only where files are replaced, those whose labels are gone do not.

    Parameters
    ----------
    results : Path
        The folder.
    images : iterable of str
        All that were to be segmented, by their names without endings, in their order.
    tables : dict of str
        Objects of those segmented now, or listed in a table beside it.
    renewed : set of str
        Those of them whose labels were written now.
    skipped : set of str
        Those that an earlier run has segmented, as was asked for.
    is_asked : bool
        Whether the table was asked for.
    overwrite : bool
        Whether files are replaced.

    Returns
    -------
    int
        How many images it lists that were neither segmented nor skipped now.

    Raises
    ------
    DataError
        If it was asked for, and cannot be written.
    """
    fault: DataError | None = None
    # Two programs that write into one folder keep each other's rows; labels may take them minutes.
    with alone(results, never):
        place, earlier = find_table(results)
        listed = earlier or {}
        # That of an image called so lies in its place.
        if not is_asked and (listed.keys().isdisjoint(renewed) or listed.keys() == {place.stem}):
            return 0
        others = listed.keys() - tables.keys()
        gone = {name for name in others if overwrite and not (results / f"{name}.tif").exists()}
        found = {name: table for name, table in listed.items() if name not in gone} | tables
        # An image stays in its place; those of this run are in their order.
        names = dict.fromkeys(images)
        own = iter([name for name in names if name in found])
        order = [next(own) if name in names else name for name in found]
        text = as_csv([found[name] for name in order])
        try:
            write_text(place, text, overwrite=earlier is not None)
        except DataError as error:
            if not is_asked:
                fault = error
            else:
                # Scores stand nowhere else; a table that is open in another program may not be replaced.
                try:
                    spare = _write_beside(results, place, found, text)
                except DataError:
                    raise error from None
                raise DataError(
                    f"{error} The table of all images, with the objects of this run, is {spare}; put it in the place "
                    f"of {place.name}."
                ) from error
    if fault is not None:
        yield Message(f"{place.name} is of earlier labels, and was not written anew: {fault}", "warning")
        return 0
    if place.name != TABLE:
        yield Message(
            f"{TABLE} is not as this program writes it, and stays as it is; the table of all images is {place.name}.",
            "warning",
        )
    if not is_asked:
        yield Message(f"{place.name} was of earlier labels; it is written anew.")
    if gone:
        yield Message(f"{place.name} no longer lists {count(len(gone), 'image')} whose labels are gone.")
    n_kept = len(others - gone - skipped)
    if n_kept:
        yield Message(f"{place.name} still lists {count(n_kept, 'image')} not segmented now.")
    return n_kept
