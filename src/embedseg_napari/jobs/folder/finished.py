"""Whether an image of a folder needs no second segmentation: a run that is continued passes over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.files.plane_stack import marked
from embedseg_napari.jobs.folder.earlier_run import is_whole, require_same_image
from embedseg_napari.jobs.recipe import read_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from embedseg_napari.jobs.folder.plan import FolderJob, Output
    from embedseg_napari.jobs.object_table import Table


def is_done(output: Output, job: FolderJob, made_by: str, earlier: tuple[Path, dict[str, Table] | None] | None) -> bool:
    """Whether an earlier run has left all that is asked for of an image; `earlier` is its table of all images."""
    if not is_whole(output.labels, marked(made_by) if job.planes else made_by) or not output.recipe.exists():
        return False
    require_same_image(output.image, output.labels)
    if job.tables == "each" and not output.table.exists():
        return False
    if job.tables == "together":
        place, listed = earlier or (None, None)
        known = (read_recipe(output.labels) or {}).get("labels")
        table = (listed or {}).get(output.labels.stem)
        # One without objects has no row.
        n_rows = 0 if table is None else len(table["label"])
        if place is None or listed is None or not isinstance(known, dict) or known.get("n_objects") != n_rows:
            return False
        # As many rows may be of earlier labels, where no table could be written after those that are there.
        if place.stat().st_mtime_ns < output.labels.stat().st_mtime_ns:
            return False
    return not job.save_maps or is_whole(output.maps, made_by)
