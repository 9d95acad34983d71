"""What a run over a large image would take, from a few of its blocks; nothing is written."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.wording import count, duration, shape_words
from embedseg_napari.jobs.large.opened import open_image_of, open_model_for
from embedseg_napari.jobs.large.plan import resolve
from embedseg_napari.jobs.large.work import Waiting, missing_blocks, shared, work_here

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedseg_napari.jobs.large.plan import LargeJob

TIMED, LOOKED_AT = 3, 64
"""Blocks that are done to see how long they take, and that are read to see whether they show anything."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a run would take."""

    n_blocks: int
    n_done: int
    """By an earlier run."""
    n_wanted: int
    """Of the others, those that this run would do: all, or those of its part."""
    block: tuple[int, ...]
    share_background: float
    """Of the blocks that were looked at."""
    n_looked_at: int
    n_workers: int
    seconds_per_block: float
    """Of those that show something; 0 where none was found."""
    memory: int
    """Bytes of a worker at its peak; 0 where the system does not tell."""
    disk: int
    """Bytes of what is kept until the labels are written, and about of these."""
    part: tuple[int, int] | None = None
    has_scheduler: bool = False
    """Whether workers are those of a scheduler, however many it has then."""

    @property
    def seconds(self) -> float:
        """With all workers, each as fast as this process."""
        n = self.n_wanted * (1 - self.share_background)
        return n * self.seconds_per_block / self.n_workers

    def lines(self) -> list[str]:
        """For the user."""
        n_background = round(self.n_blocks * self.share_background)
        looked = "all" if self.n_looked_at == self.n_blocks else f"{self.n_looked_at} of them"
        lines = [
            f"{count(self.n_blocks, 'block')} of {shape_words(self.block)} pixels"
            + (f", {self.n_done} of them done" if self.n_done else ""),
            f"About {n_background} are nothing but background and would be skipped ({looked} looked at)",
        ]
        if self.memory:
            lines.append(f"Memory of a worker: {self.memory / 1e9:.1f} GB")
        lines.append(f"Disk: about {self.disk / 1e6:.0f} MB for labels, and as much while it runs")
        workers = count(self.n_workers, "worker")
        if self.has_scheduler:
            workers = "one worker, to be divided by how many the scheduler has"
        time = "Time" if self.part is None else f"Time of part {self.part[0]}/{self.part[1]}"
        lines.append(f"{time}: about {duration(self.seconds)} with {workers}, {self.seconds_per_block:.1f} s a block")
        return lines


def dry_run(job: LargeJob, should_stop: Callable[[], bool]) -> Generator[Any, None, DryRun]:
    """Plan a run and do a few of its blocks, to say what all would take.

    Raises
    ------
    EmbedSegError
        Whatever the run itself would refuse; `Stopped` where `should_stop` returned True.
    """
    from embedseg_napari.core.large.run_folder import RunFolder

    opened = open_model_for(job, *open_image_of(job))
    region, model, run = opened.region, opened.model, opened.target.run
    sign = opened.signature
    if run.is_begun and not job.overwrite:
        record = run.of(sign)
        missing = missing_blocks(opened.target.run_of(record), record)
    else:
        record = yield from resolve(job, region, model, {"image": "", "model": ""}, sign, should_stop)
        missing = list(range(len(record.grid)))
    grid = record.grid
    n_wanted = len(set(missing).intersection(shared(range(len(grid)), job.part)))
    looked_at = np.unique(np.linspace(0, len(grid) - 1, min(LOOKED_AT, len(grid))).round().astype(int))
    full = []
    for number in looked_at.tolist():
        if should_stop():
            raise Stopped("The run was stopped.")
        block = grid.block(number)
        part = region.read(block.frame, block.window)
        if not (record.skips_background and record.frames[block.frame].whole.is_background(part)):
            full.append(number)
    # The first one also warms up; it is done twice.
    chosen = [full[len(full) * (2 * i + 1) // (2 * TIMED)] for i in range(min(TIMED, len(full)))]
    seconds, n_bytes = [], 0
    with tempfile.TemporaryDirectory() as place:
        for turn, number in enumerate([*chosen[:1], *chosen]):
            folder = RunFolder(Path(place) / str(turn))
            folder.path.mkdir()
            for done in work_here(folder, record, region, model, Waiting([number], grid), should_stop):
                seconds.append(done.seconds)
            n_bytes = max(n_bytes, folder.block_file(number).stat().st_size)
    share = 1 - len(full) / len(looked_at)
    return DryRun(
        len(grid), len(grid) - len(missing), n_wanted, record.block, share, len(looked_at),
        # A scheduler has its own.
        1 if job.scheduler is not None else job.workers,
        float(np.mean(seconds[1:])) if seconds else 0.0, _peak(), round(n_bytes * len(grid) * (1 - share)),
        job.part, job.scheduler is not None,
    )  # fmt: skip


def _peak() -> int:
    """Bytes of memory that this process had at most."""
    try:
        import resource
    except ImportError:
        # Windows has none.
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
