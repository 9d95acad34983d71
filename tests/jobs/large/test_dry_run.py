"""What a run would take: of the blocks that it would do, with the workers that it would have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from large_steps import stop_after

from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.large.dry_run import dry_run
from embedseg_napari.jobs.large.run import predict_large as run


def test_a_dry_run_writes_nothing(job, store):
    before = sorted(store.rglob("*"))
    found = drain(dry_run(job, never))
    assert (found.n_blocks, found.block) == (8, (64, 64))
    assert found.seconds > 0
    assert len(found.lines()) >= 4
    assert "with 1 worker, " in found.lines()[-1]
    assert sorted(store.rglob("*")) == before


def test_the_time_of_a_part_is_that_of_its_blocks(job):
    listener, should_stop = stop_after(2)
    drain(run(replace(job, part=(1, 4)), should_stop), listener)
    for part, n_wanted in ((1, 4), 0), ((2, 4), 2), (None, 6):
        found = drain(dry_run(replace(job, part=part), never))
        assert (found.n_blocks, found.n_done, found.n_wanted) == (8, 2, n_wanted)
        assert found.seconds == pytest.approx(n_wanted * (1 - found.share_background) * found.seconds_per_block)
        assert found.lines()[-1].startswith(f"Time of part {part[0]}/4: about" if part else "Time: about")


def test_no_number_of_workers_is_said_of_a_scheduler(job):
    pytest.importorskip("distributed")
    found = drain(dry_run(replace(job, scheduler="tcp://127.0.0.1:1", workers=4), never))
    assert found.seconds == pytest.approx(8 * (1 - found.share_background) * found.seconds_per_block)
    assert "with one worker, to be divided by how many the scheduler has" in found.lines()[-1]
