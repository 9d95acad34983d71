"""Runs of several workers, waiting for them, and who hears a Ctrl-C meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from large_steps import blobs, labels_of, write_store

from embedseg_napari.core.errors import ComputeError, DataError, SettingsError, Stopped
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.folder.earlier_run import signature
from embedseg_napari.jobs.large import cluster, work
from embedseg_napari.jobs.large.run import predict_large as run
from embedseg_napari.jobs.large.target import target_at
from embedseg_napari.jobs.segment import cached_model


class Silent:
    """A client of a scheduler that has no workers."""

    tries = 0
    is_closed = False

    def wait_for_workers(self, n: int, timeout: float) -> None:
        self.tries += 1
        assert timeout < cluster.PATIENCE
        raise TimeoutError("no workers")

    def close(self) -> None:
        self.is_closed = True


def test_a_run_that_is_over_waits_for_no_scheduler() -> None:
    is_over, asked = Event(), []
    is_over.set()

    def unheard(address: str, timeout: float, **_) -> None:
        asked.append(address)
        assert timeout < cluster.PATIENCE
        raise TimeoutError("nobody answers")

    with pytest.raises(TimeoutError, match="nobody answers"):
        cluster._client_of(SimpleNamespace(Client=unheard), "tcp://far:1", is_over)
    assert asked == ["tcp://far:1"]


def test_a_run_that_is_over_waits_for_no_worker_and_leaves_its_client() -> None:
    is_over, client = Event(), Silent()
    is_over.set()
    with pytest.raises(TimeoutError, match="no workers"):
        cluster._client_of(SimpleNamespace(Client=lambda *_, **__: client), "tcp://far:1", is_over)
    assert (client.tries, client.is_closed) == (1, True)


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system has no masks of signals")
def test_processes_that_workers_start_in_hear_no_interrupt() -> None:
    look = "import signal\nprint(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"

    def started() -> str:
        cluster._leave_interrupts_to_others()
        return subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.strip()

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(started).result() == "True"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.thorough
def test_two_workers_read_the_axes_that_are_said(job, store):
    pytest.importorskip("distributed")
    job = replace(job, axes="XY")
    drain(run(replace(job, workers=2), never))
    drain(run(replace(job, name="other"), never))
    assert np.array_equal(labels_of(store), labels_of(store, "other"))


def test_a_library_that_cannot_be_loaded_is_named(job, monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "distributed":
                raise ImportError("libfoo.so: cannot open")

    monkeypatch.delitem(sys.modules, "distributed", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(SettingsError, match=r"libfoo.so.*install it anew"):
        drain(run(replace(job, workers=2), never))


def test_a_worker_takes_up_the_run_that_was_begun_in_place_of_the_one_before(job, store, monkeypatch):
    monkeypatch.setattr(work, "_do", lambda folder, record, *_: (folder.token, record))
    target = target_at(store, job.name, None)
    known = signature(cached_model(job.model, job.device))
    records = []
    for threshold in (0.5, 0.6):
        drain(run(replace(job, changes={"seed_threshold": threshold}), lambda: bool(target.is_begun)))
        record = target.run.record()
        asked = (str(target.run_folder), record.token, str(store), job.model, known, job.device, None, 0)
        assert work.work_remotely(*asked) == (record.token, record)
        records.append(record)
        target.clear()
        target.labels.rename(store / str(threshold))
    assert [record.settings.seed_threshold for record in records] == [0.5, 0.6]
    work._held.clear()
    with pytest.raises(DataError, match="is no longer there"):
        work.work_remotely(*asked)


def test_a_worker_takes_no_model_that_was_changed_since_the_run_was_started(job, store):
    target = target_at(store, job.name, None)
    drain(run(job, lambda: bool(target.is_begun)))
    asked = (str(target.run_folder), target.run.record().token, str(store), job.model)
    with pytest.raises(DataError, match="was changed since this run was started"):
        work.work_remotely(*asked, "another model", job.device, None, 0)


@pytest.mark.thorough
def test_workers_read_the_image_where_it_is_now(job, store, tmp_path):
    pytest.importorskip("distributed")
    drain(run(replace(job, name="other"), never))
    drain(run(replace(job, part=(1, 2)), never))
    moved = store.rename(tmp_path / "moved.ome.zarr")
    # Another image has taken its place.
    write_store(store, blobs((100, 250), 40, 1, radius=(4.0, 7.0)))
    drain(run(replace(job, image=moved, workers=2), never))
    np.testing.assert_array_equal(labels_of(moved), labels_of(moved, "other"))


@pytest.mark.parametrize(
    "words", ["", "nonsense", "http://127.0.0.1:1", "tcp://127.0.0.1:1", "bad.json", "empty.json", "none.json"]
)
def test_a_scheduler_that_is_none_is_said_and_leaves_nothing(job, store, tmp_path, monkeypatch, words):
    pytest.importorskip("distributed")
    monkeypatch.setattr("embedseg_napari.jobs.large.cluster.PATIENCE", 0.5)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")
    scheduler = str(tmp_path / words) if words.endswith(".json") else words
    with pytest.raises(ComputeError, match="no scheduler answers there"):
        drain(run(replace(job, scheduler=scheduler), never))
    assert not (store / "labels").exists()


@pytest.mark.thorough
def test_a_stop_while_workers_start_leaves_nothing(job, store):
    pytest.importorskip("distributed")
    with pytest.raises(Stopped):
        drain(run(replace(job, workers=2), lambda: True))
    assert not (store / "labels").exists()
