"""What a run reads from and writes to, and how both are found again by whoever works on it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.axes import ordered, result_axes
from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.files.atomic import locked_place
from embedseg_napari.core.files.leftovers import run_beside
from embedseg_napari.core.files.names import identity
from embedseg_napari.core.files.ngff import MARK, add_notes, read_notes
from embedseg_napari.core.files.region import Region, choose_region
from embedseg_napari.core.stores.description import seen_from
from embedseg_napari.jobs.large.table import is_table_of_blocks

if TYPE_CHECKING:
    from embedseg_napari.core.files.lazy_image import LazyImage
    from embedseg_napari.core.large.block_objects import BlockResult
    from embedseg_napari.core.large.grid import Block
    from embedseg_napari.core.large.run_folder import RunFolder, RunRecord
    from embedseg_napari.core.stores.labels import LabelStore
    from embedseg_napari.jobs.large.plan import LargeJob

REPORTED = ("n_blocks", "n_objects", "n_left_out", "n_background", "seams")
"""Of how a run ended, what is noted in the labels."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the labels of a run go.

    Parameters
    ----------
    store : Path
        Of the image, or the new one.
    name : str or None
        Of the labels in the store of an image; None where the store is the label image itself.
    table : Path
        Of the objects.
    """

    store: Path
    name: str | None
    table: Path

    @property
    def labels(self) -> Path:
        """The group of the label image."""
        from embedseg_napari.core.stores.labels import labels_place

        return self.store if self.name is None else labels_place(self.store, self.name)

    @property
    def run_folder(self) -> Path:
        """What a run that is not through keeps, beside the labels."""
        return run_beside(self.labels)

    @property
    def is_begun(self) -> bool:
        """Whether there is a run that is not through."""
        return (self.run_folder / "run.json").exists()

    @property
    def run(self) -> RunFolder:
        """Whatever run was begun here."""
        from embedseg_napari.core.large.run_folder import RunFolder

        return RunFolder(self.run_folder)

    def run_of(self, record: RunRecord) -> RunFolder:
        """The run of a record, with what it has done so far, beside the labels."""
        from embedseg_napari.core.large.run_folder import RunFolder

        return RunFolder(self.run_folder, record.token)

    def signature(self) -> str | None:
        """That of the run which made the labels that are there; empty if none did, None if there are none."""
        if not self.labels.exists():
            return None
        return str(read_notes(self.labels).get("run", ""))

    def report(self) -> dict[str, Any] | None:
        """What was noted when the labels were complete; None where they are not."""
        found = read_notes(self.labels).get("report")
        return found if isinstance(found, dict) and set(REPORTED) <= set(found) else None

    def complete(self, report: dict[str, Any], recipe: dict[str, Any]) -> None:
        """Note in the labels that they are complete, and forget what the blocks found, which they say now.

        Raises
        ------
        DataError
            If that cannot be written.
        """
        add_notes(self.labels, report=report, recipe=recipe, changed=None)
        self.clear()

    def check(self, image: Path, overwrite: bool, signature: str) -> None:
        """Refuse what would lose labels or cannot be written, before any work.

        Raises
        ------
        DataError
            Naming the place.
        """
        from embedseg_napari.core.stores.labels import require_replaceable

        locked = locked_place(self.labels.parent)
        if locked is not None:
            raise DataError(f"{locked}: nothing can be written there; choose another place with --output.")
        if self.name is None:
            if self.store.resolve() in (image.resolve(), *image.resolve().parents):
                raise DataError(f"{self.store}: is or holds the image itself; choose another place for its labels.")
            require_replaceable(self.store)
        made_by = self.signature()
        if overwrite:
            return
        if made_by in (None, signature):
            # Of labels that are complete nothing is written.
            if self.report() is None:
                self._check_table()
            return
        why = (
            "was made with another model or other settings, or its image was changed since"
            if made_by
            else "exists already"
        )
        other = "another --output" if self.name is None else "another name (--name) or --output"
        raise AlreadyExists(f"{self.labels}: {why}; choose {other}, or allow overwriting (--overwrite).")

    def claim_table(self, overwrite: bool) -> None:
        """Note in the labels where their table goes: from now on the run may replace it there, however often it stops.

        Raises
        ------
        DataError
            If another file is there and may not be replaced, or that cannot be noted.
        """
        if not overwrite:
            self._check_table()
        add_notes(self.labels, table=self._table_seen)

    def written_table(self, is_named: bool) -> Path | None:
        """Where the table of complete labels is: as it is named, else where it was written; None where it is gone.

        Raises
        ------
        AlreadyExists
            If the one that is named is not theirs, or not there.
        """
        if not is_named:
            noted = read_notes(self.labels).get("table")
            table = (self.labels.resolve() / str(noted)).resolve() if noted else self.table
            return table if table.is_file() else None
        self._check_table()
        if not self.table.exists():
            raise AlreadyExists(
                f"{self.labels}: is complete, but the table of its objects is not in {self.table}; leave out "
                "--table, or allow both to be made anew (--overwrite)."
            )
        return self.table

    def outdated_table(self) -> Path | None:
        """A table of earlier labels in the usual place, where that of these is elsewhere; it would pass for theirs."""
        from embedseg_napari.core.stores.labels import table_place

        usual = table_place(self.store, self.name)
        return usual if identity(usual) != identity(self.table) and is_table_of_blocks(usual) else None

    def _check_table(self) -> None:
        notes = read_notes(self.labels)
        # Earlier versions noted nothing of it.
        own = notes.get("table", self._table_seen if "report" in notes else None)
        if os.path.lexists(self.table) and own != self._table_seen:
            raise AlreadyExists(
                f"{self.table}: exists already; choose another name for the table (--table), or allow overwriting "
                "(--overwrite)."
            )

    @property
    def _table_seen(self) -> str:
        """The place of the table as it is noted in the labels: both may be moved or, with its usual name, renamed."""
        from embedseg_napari.core.stores.labels import table_place

        if self.table == table_place(self.store, self.name):
            return ""
        table = self.table.resolve()
        return seen_from(self.labels.resolve(), table) or str(table)

    def clear(self) -> None:
        """Forget an earlier run; its labels stay until new ones take their place.

        Raises
        ------
        DataError
            If it cannot be taken away.
        """
        path = self.run_folder
        if path.exists():
            # The record goes first: blocks of a run that is half gone belong to none.
            try:
                (path / "run.json").unlink(missing_ok=True)
                shutil.rmtree(path)
            except OSError as error:
                raise DataError(f"{path}: cannot be deleted ({error.strerror or error}).") from error

    def create(self, image: LazyImage, record: RunRecord, overwrite: bool, *, anew: bool = False) -> LabelStore:
        """The label image: that of this run unless it is to be made `anew`, or a new one.

        Raises
        ------
        DataError
            If it cannot be made, or other labels are there and may not be replaced.
        """
        from embedseg_napari.core.stores.labels import create_labels, list_labels, open_labels

        if self.signature() == record.signature and not anew:
            if self.name is not None:
                list_labels(self.labels.parent.parent, self.name)
            return open_labels(self.labels)
        mark = {MARK: {"run": record.signature}}
        try:
            return create_labels(self.store, image, name=self.name, block=record.block, more=mark, overwrite=overwrite)
        except AlreadyExists:
            # Another part of the run may have been quicker.
            if self.signature() != record.signature:
                raise
            return open_labels(self.labels)


def target_of(job: LargeJob, image: LazyImage) -> Target:
    """Where the labels of a job go: into the image's store, or where the user says.

    Raises
    ------
    DataError
        If the image is no store, and no place is given.
    """
    if job.output is None and not image.ngff:
        raise DataError(
            f"{image.path}: is no OME-Zarr that could hold the labels, too; give a new store, such as --output "
            f"{image.path.name.split('.')[0]}-labels.ome.zarr."
        )
    return target_at(image.path, job.name, None if job.output is None else Path(job.output), job.table)


def target_at(image: Path | None, name: str, output: Path | None, table: Path | None = None) -> Target:
    """Where labels go: into the store of an image, by their name, or into a new one.

    Raises
    ------
    DataError
        If the new store is not called as one.
    """
    from embedseg_napari.core.stores.labels import table_place

    if output is not None:
        if output.suffix.lower() != ".zarr":
            raise DataError(f"{output}: labels of blocks are an OME-Zarr; give a name that ends in .ome.zarr.")
        return Target(output, None, table_place(output, None) if table is None else Path(table))
    assert image is not None
    return Target(image, name, table_place(image, name) if table is None else Path(table))


def open_region(record: RunRecord, place: str) -> Region:
    """The region of a run, read from its image, which may lie elsewhere than when it was begun."""
    from embedseg_napari.core.files.in_parts import open_image

    image = open_image(place, record.level, record.axes)
    pairs = tuple(zip(*record.region, strict=True))
    channel: Any = record.channel
    return choose_region(image, image.axes, channel, pairs)


def write_block(store: LabelStore, region: Region, block: Block, labels: np.ndarray) -> None:
    """Write the labels of a block's core."""
    key = _place(region, block)
    store.write(key, labels.reshape([part.stop - part.start for part in key]))


def read_block(store: LabelStore, region: Region, block: Block) -> np.ndarray:
    """The labels of a block's core, as they are."""
    return np.asarray(store.array()[_place(region, block)])


def preview_block(store: LabelStore, region: Region, block: Block, found: BlockResult) -> None:
    """Write what a block found before all are done, in all resolutions, with ids that change in the end."""
    from embedseg_napari.core.stores.parts import write_part

    # Provisional ids are the same on both sides of a seam, also cut to 32 bits.
    ids = np.append(np.uint32(0), (found.rows["id"] & np.uint64(0xFFFFFFFF)).astype(np.uint32))
    key = _place(region, block)
    write_part(store, [part.start for part in key], ids[found.labels].reshape([n.stop - n.start for n in key]))


def _place(region: Region, block: Block) -> tuple[slice, ...]:
    """Where a block's core lies in the labels."""
    spatial = tuple(
        slice(low + first, high + first)
        for low, high, first in zip(block.core.start, block.core.stop, region.start, strict=True)
    )
    has_frames = "T" in ordered(result_axes(region.axes))
    return (slice(block.frame, block.frame + 1), *spatial) if has_frames else spatial
