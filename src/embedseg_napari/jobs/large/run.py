"""A large image in, its labels in a store out: plan, blocks, labels, table and the report on seams."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import DataError, EmbedSegError, Stopped
from embedseg_napari.core.events import Message
from embedseg_napari.core.files.folder_lock import holding, occupied
from embedseg_napari.core.files.lazy_image import LazyImage
from embedseg_napari.core.files.zarr_image import missing_words
from embedseg_napari.core.measure.table_files import write_parts
from embedseg_napari.core.model.known_models import find_model_file
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.folder.earlier_run import signature
from embedseg_napari.jobs.large.cluster import workers_beside
from embedseg_napari.jobs.large.opened import open_image_of, open_model_for
from embedseg_napari.jobs.large.plan import resolve
from embedseg_napari.jobs.large.recipe import recipe_of_run
from embedseg_napari.jobs.large.table import columns_of
from embedseg_napari.jobs.large.target import REPORTED, preview_block, read_block, write_block
from embedseg_napari.jobs.large.work import (
    BlockDone,
    Waiting,
    missing_blocks,
    require_all,
    shared,
    work_here,
    work_on_cluster,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from embedseg_napari.core.large.numbering import Numbering
    from embedseg_napari.core.large.run_folder import RunRecord
    from embedseg_napari.core.stores.labels import LabelStore
    from embedseg_napari.jobs.large.cluster import Workers
    from embedseg_napari.jobs.large.opened import Opened
    from embedseg_napari.jobs.large.plan import LargeJob
    from embedseg_napari.jobs.large.target import Target


PAUSE = 0.2
"""Seconds between two looks at whether another program is through with the labels."""


@dataclass(frozen=True, slots=True)
class BlocksStarted:
    """It is known what there is to do."""

    n_blocks: int
    n_done: int
    """By earlier runs and other parts."""
    n_wanted: int
    """To be done now."""
    labels: Path
    """The group of the label image, which is there from now on."""


@dataclass(frozen=True, slots=True)
class BlocksShown:
    """Labels of blocks that were done before have been written, to be seen until all are."""

    n_blocks: int


@dataclass(frozen=True, slots=True)
class BlockFinished:
    """One more block is on the disk."""

    done: int
    """Of those wanted now."""
    n_wanted: int
    number: int
    start: tuple[int, ...]
    """First pixel of its core in the image, (z, y, x)."""
    stop: tuple[int, ...]
    frame: int
    n_objects: int
    is_background: bool
    seconds_left: float
    """Estimate for those wanted now."""


@dataclass(frozen=True, slots=True)
class Finishing:
    """Labels are being written."""

    done: int
    of: int
    """Blocks of all levels."""


@dataclass(frozen=True, slots=True)
class LargeResult:
    """How a run ended."""

    labels: Path
    table: Path | None
    """Of the objects; None where the labels were complete before and theirs is gone."""
    n_blocks: int
    n_missing: int
    """Blocks that are not done yet; labels and table are written when there are none."""
    n_background: int = 0
    n_objects: int = 0
    n_left_out: int = 0
    seams: dict[str, int] | None = None
    stopped: bool = False
    is_finished: bool = False


def predict_large(job: LargeJob, should_stop: Callable[[], bool]) -> Generator[Any, None, LargeResult]:
    """Segment an image in blocks; what earlier runs of the same job have done is not done again.

    Events are `Message`, `BlocksStarted`, `BlocksShown`, `BlockFinished` and `Finishing`. A stop keeps all blocks that
    are done.

    Raises
    ------
    EmbedSegError
        If image, model, settings or place do not fit, or labels are there that may not be replaced.
    """
    target, image = open_image_of(job)
    if job.finish and not target.is_begun and target.report() is None:
        raise DataError(f"{target.labels}: no part of these labels is done yet; run the parts (--part), then --finish.")
    if image.left_out:
        yield Message(f"{job.image}: {image.left_out}.", "warning")
    with _workers(job, target, image) as workers:
        return (yield from _segment(job, target, image, workers, should_stop))


def _workers(job: LargeJob, target: Target, image: LazyImage) -> AbstractContextManager[Workers | None]:
    """Workers that start while the model is loaded and the run is planned; none where this process does all."""
    is_complete = target.report() is not None and not job.overwrite
    if (job.workers == 1 and job.scheduler is None) or job.finish or is_complete:
        return nullcontext()
    return workers_beside(str(find_model_file(job.model).absolute()), job.device, job.workers, job.scheduler)


def _segment(
    job: LargeJob, target: Target, image: LazyImage, workers: Workers | None, should_stop: Callable[[], bool]
) -> Generator[Any, None, LargeResult]:
    opened = open_model_for(job, target, image)
    run, sign = target.run, opened.signature
    report = target.report() if target.signature() == sign else None
    if job.overwrite and (report is not None or not run.is_of(sign)):
        # A run of the same kind that was stopped goes on; none is taken away while its labels are being written.
        with holding(run.path if run.path.exists() else None, "run"):
            target.clear()
    elif report is not None:
        target.clear()
        return (yield from _there(job, target, report, " is complete already; nothing is left to do."))
    if words := missing_words(*opened.missing):
        yield Message(f"{image.path}: {words}")
    record = yield from begin(job, opened, workers, should_stop)
    run = target.run_of(record)
    store = target.create(opened.image, record, job.overwrite, anew=report is not None)
    if job.overwrite:
        # What is gone on with later may replace it as well.
        target.claim_table(overwrite=True)
    every, missing = range(len(record.grid)), set(missing_blocks(run, record))
    wanted = [] if job.finish else [number for number in shared(every, job.part) if number in missing]
    yield BlocksStarted(len(every), len(every) - len(missing), len(wanted), target.labels)
    try:
        if job.preview:
            yield from _show_done(opened, record, store, sorted(set(every) - missing), should_stop)
        yield from _work(job, opened, record, wanted, store, workers, should_stop)
        while True:
            # Whoever is through notes it in the labels before the run goes; so the labels are asked last.
            is_there = run.is_there
            n_missing = len(missing_blocks(run, record))
            report = target.report() if target.signature() == sign else None
            if report is not None:
                if not run.is_begun:
                    # A block may have been saved after the other program had cleared all away.
                    target.clear()
                return (yield from _there(job, target, report, ": another program has done the rest."))
            if not is_there:
                raise run.gone()
            if job.part is not None and not job.finish:
                return LargeResult(target.labels, target.table, len(record.grid), n_missing)
            require_all(n_missing, record)
            if occupied(run.path, "run"):
                if should_stop():
                    raise Stopped("The run was stopped.")
                # Another program writes the labels, or shows a block.
                time.sleep(PAUSE)
                continue
            with holding(run.path, "run"):
                if run.is_there:
                    result = yield from _finish(job, opened, record, store, should_stop)
                    recipe = recipe_of_run(job, opened.image, opened.model, target, record, result.n_objects)
                    target.complete({name: getattr(result, name) for name in REPORTED}, recipe)
                    return result
    except Stopped:
        n_missing = len(missing_blocks(run, record))
        return LargeResult(target.labels, target.table, len(record.grid), n_missing, stopped=True)
    except EmbedSegError:
        n = len(record.grid)
        n_done = n - len(missing_blocks(run, record))
        if n_done and run.is_there:
            yield Message(f"{n_done} of {count(n, 'block')} done and kept; the next run goes on from there.")
        raise


def begin(
    job: LargeJob, opened: Opened, workers: Workers | None, should_stop: Callable[[], bool]
) -> Generator[Message, None, RunRecord]:
    """The run as it was begun, by whom ever and wherever image and model were then, or a new one."""
    run, sign = opened.target.run, opened.signature
    places = {
        "image": "" if isinstance(job.image, LazyImage) else str(Path(job.image).absolute()),
        # Workers may start in another folder.
        "model": str(job.model) if opened.model.path is None else str(opened.model.path.absolute()),
    }
    if not run.is_begun:
        record = yield from resolve(job, opened.region, opened.model, places, sign, should_stop)
        if workers is not None:
            # Where there are none, nothing is begun.
            workers.client(should_stop)
            if record.engine != "torch" and workers.why_not(record.engine, record.precision, should_stop):
                record = record.model_copy(update={"engine": "torch"})
                yield Message("All workers run the network in PyTorch, for one of them cannot in OpenVINO.", "warning")
        run.begin(record)
    return run.of(sign).model_copy(update=places)


def _work(
    job: LargeJob,
    opened: Opened,
    record: RunRecord,
    wanted: list[int],
    store: LabelStore,
    workers: Workers | None,
    should_stop: Callable[[], bool],
) -> Generator[BlockFinished, None, None]:
    run, grid, region = opened.target.run_of(record), record.grid, opened.region
    began, n = time.monotonic(), len(wanted)

    def near() -> list[float] | None:
        place = None if job.near is None else job.near()
        return None if place is None else [at - a for at, a in zip(place, region.start, strict=True)]

    waiting = Waiting(wanted, grid, near)
    if workers is None or not wanted:
        work = work_here(run, record, region, opened.model, waiting, should_stop)
    else:
        known = signature(opened.model)
        work = work_on_cluster(workers, run, record, waiting, known, job.device, should_stop)
    for done, event in enumerate(work, 1):
        if job.preview and not event.is_background:
            _preview(opened, record, store, event.number)
        left = (time.monotonic() - began) / done * (n - done)
        yield _told(event, done, n, opened, record, left)
        if not run.is_there:
            # Another program has done the rest, or begun another run.
            break
    if workers is not None:
        # While they end, labels are written.
        workers.end()


def _preview(opened: Opened, record: RunRecord, store: LabelStore, number: int) -> None:
    """Write what a block found, unless another program writes the final numbers now, or has done so."""
    run, block = opened.target.run_of(record), record.grid.block(number)
    if not run.is_there or occupied(run.path, "run"):
        return
    with holding(run.path, "run"):
        if run.is_there:
            preview_block(store, opened.region, block, run.load(block))


def _show_done(
    opened: Opened, record: RunRecord, store: LabelStore, numbers: list[int], should_stop: Callable[[], bool]
) -> Generator[BlocksShown, None, None]:
    """Write what blocks have found that others did before, who showed nothing."""
    run, grid, region = opened.target.run_of(record), record.grid, opened.region
    n_shown = 0
    for number in numbers:
        if should_stop():
            raise Stopped("The run was stopped.")
        block = grid.block(number)
        if not run.is_background(number) and not read_block(store, region, block).any():
            _preview(opened, record, store, number)
            n_shown += 1
    if n_shown:
        yield BlocksShown(n_shown)


def _told(event: BlockDone, done: int, n: int, opened: Opened, record: RunRecord, left: float) -> BlockFinished:
    block, first = record.grid.block(event.number), opened.region.start
    start, stop = (
        tuple(at + a for at, a in zip(ends, first, strict=True)) for ends in (block.core.start, block.core.stop)
    )
    return BlockFinished(done, n, event.number, start, stop, block.frame, event.n_objects, event.is_background, left)


def _finish(
    job: LargeJob, opened: Opened, record: RunRecord, store: LabelStore, should_stop: Callable[[], bool]
) -> Generator[Finishing, None, LargeResult]:
    """Write labels, smaller levels and table from what the blocks found; it can be begun again at any time."""
    from embedseg_napari.core.large.numbering import Numbering
    from embedseg_napari.core.stores.pyramid import build_pyramid

    run, grid, target = opened.target.run_of(record), record.grid, opened.target
    numbering = Numbering(grid, run.rows, record.settings)
    for number in range(len(grid)):
        if should_stop():
            raise Stopped("The run was stopped.")
        block = grid.block(number)
        labels = numbering.numbers(number)[run.load(block).labels]
        write_block(store, opened.region, block, labels)
        yield Finishing(number + 1, 2 * len(grid))
    for done, of in build_pyramid(store):
        if should_stop():
            raise Stopped("The run was stopped.")
        yield Finishing(len(grid) + round(done / of * len(grid)), 2 * len(grid))
    target.claim_table(job.overwrite)
    outdated = target.outdated_table() if job.overwrite else None
    for table in filter(None, (target.table, outdated)):
        write_parts(table, _table(numbering, opened, record))
    report = {
        "n_blocks": len(grid),
        "n_objects": numbering.n_objects,
        "n_left_out": numbering.n_left_out,
        "n_background": sum(map(run.is_background, range(len(grid)))),
        "seams": numbering.seams().as_dict(),
    }
    return _result(target, report, target.table)


def _there(job: LargeJob, target: Target, report: dict[str, Any], words: str) -> Generator[Message, None, LargeResult]:
    """The result of labels that are complete."""
    table = target.written_table(is_named=job.table is not None)
    yield Message(f"{target.labels}{words}")
    if table is None:
        gone = "The table of its objects is no longer there; Measure, or embedseg measure, makes one of the labels."
        yield Message(gone, "warning")
    return _result(target, report, table)


def _table(numbering: Numbering, opened: Opened, record: RunRecord) -> Iterator[dict[str, Any]]:
    image, region = opened.image, opened.region
    for number in range(len(record.grid)):
        numbers, rows = numbering.told(number)
        frame = record.grid.block(number).frame if "T" in region.axes else None
        yield columns_of(numbers, rows, region.start, frame, image.spacing, image.unit)


def _result(target: Target, report: dict[str, Any], table: Path | None) -> LargeResult:
    return LargeResult(target.labels, table, n_missing=0, is_finished=True, **{name: report[name] for name in REPORTED})


def seam_words(result: LargeResult) -> str:
    """The report on seams of a finished run in a sentence."""
    from embedseg_napari.core.large.numbering import SeamReport

    return "" if result.seams is None else str(SeamReport(**result.seams))
