"""Whether an image of a folder needs no second segmentation: a run that is continued passes over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.files.plane_stack import marked
from embedseg_napari.jobs.folder.earlier_run import is_whole, require_same_image
from embedseg_napari.jobs.object_table import NO_ROWS, rows_hash
from embedseg_napari.jobs.recipe import read_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.jobs.folder.joint_table import Listed
    from embedseg_napari.jobs.folder.plan import FolderJob, Output
    from embedseg_napari.jobs.object_table import Table


def is_done(output: Output, job: FolderJob, made_by: str, earlier: Listed) -> bool:
    """Whether an earlier run has left all that is asked for of an image; `earlier` are its tables of all images."""
    if not is_whole(output.labels, marked(made_by) if job.planes else made_by) or not output.recipe.exists():
        return False
    require_same_image(output.image, output.labels)
    if job.tables == "each" and not output.table.exists():
        return False
    if job.tables == "together" and table_with(output, earlier) is None:
        return False
    return not job.save_maps or is_whole(output.maps, made_by)


def rows_beside(output: Output, place: Path, earlier: Listed) -> dict[str, Table]:
    """Rows of an image that is done, by its name, if they stand in a table beside that of the folder, and not there."""
    table, name = table_with(output, earlier), output.labels.stem
    if table is None or table == place:
        return {}
    # Without an object now, the rows that it had before go.
    return {name: earlier[table].get(name, NO_ROWS)}


def table_with(output: Output, earlier: Listed) -> Path | None:
    """The table that has the rows of an image's labels; None where there is none."""
    known = (read_recipe(output.labels) or {}).get("labels")
    if not isinstance(known, dict):
        return None
    rows = {place: listed.get(output.labels.stem) for place, listed in earlier.items()}
    # One without objects has no row.
    as_many = [place for place, one in rows.items() if known.get("n_objects") == (len(one["label"]) if one else 0)]
    its = next((place for place in as_many if known.get("rows_sha256") == rows_hash(rows[place])), None)
    # Recipes of early versions do not say which rows are theirs, and rows that were made again may differ in a last
    # digit. As many may be of earlier labels, where no table could be written after those that are there.
    return its or next((place for place in as_many if _is_since(place, output.labels)), None)


def _is_since(table: Path, labels: Path) -> bool:
    return table.stat().st_mtime_ns >= labels.stat().st_mtime_ns
