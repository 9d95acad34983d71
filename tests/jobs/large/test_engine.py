"""One engine for a whole run in blocks: chosen when it is begun, told, and the same for whoever goes on with it."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from large_steps import blobs, labels_of, same_but_for_numbers

from embedseg_napari import load_model
from embedseg_napari.core.config import Calibration
from embedseg_napari.core.errors import AlreadyExists, ComputeError
from embedseg_napari.core.events import Message
from embedseg_napari.core.inference import openvino_engine
from embedseg_napari.core.inference.int8 import fingerprint, why_not_int8
from embedseg_napari.core.inference.openvino_engine import measured_ranges
from embedseg_napari.core.networks.network import raw_output
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs.large.plan import LargeJob
from embedseg_napari.jobs.large.run import BlockFinished
from embedseg_napari.jobs.large.run import predict_large as run

MODEL = "nuclei-2d"
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed (embedseg-napari[fast])"
)


class InItsPlace:
    """Computes what PyTorch does, and counts how often."""

    engine = "openvino"
    n_runs = 0

    def __init__(self, network) -> None:
        self.network = network

    def __call__(self, images, should_stop):
        InItsPlace.n_runs += 1
        return raw_output(self.network, images)

    def free_memory(self) -> None:
        pass


CHOOSE, FIND = openvino_engine.choose_engine, importlib.util.find_spec


@pytest.fixture
def install(monkeypatch):
    """As if OpenVINO were there, in this process alone, from now on."""

    def choose(wanted, network, *_, **__):
        return (None, "", False) if wanted == "torch" else (InItsPlace(network), "It runs in its place.", False)

    def now() -> None:
        monkeypatch.setattr(InItsPlace, "n_runs", 0)
        monkeypatch.setattr(openvino_engine, "choose_engine", choose)

    return now


@pytest.fixture
def take_away(monkeypatch):
    """As if it were not, from now on."""

    def now() -> None:
        monkeypatch.setattr(openvino_engine, "choose_engine", CHOOSE)
        monkeypatch.setattr(openvino_engine, "find_spec", lambda name: None if name == "openvino" else FIND(name))

    return now


@pytest.fixture
def job(store):
    return LargeJob(store, MODEL, "cpu", {"precision": "float32", "engine": "openvino"}, block=64)


def using(job: LargeJob, engine: str) -> LargeJob:
    return replace(job, name=engine, changes={**job.changes, "engine": engine})


def said(job, should_stop=never):
    heard = []
    result = drain(run(job, should_stop), heard.append)
    return result, [event for event in heard if isinstance(event, Message)]


def stopped_after_two(job) -> None:
    seen = []
    ended = drain(
        run(job, lambda: len(seen) >= 2), lambda event: seen.append(event) if isinstance(event, BlockFinished) else None
    )
    assert (ended.stopped, ended.n_missing) == (True, 6)


def record_of(store):
    return store / "labels" / ".embedseg.run" / "run.json"


def test_blocks_run_in_what_was_asked_for_and_say_so_and_else_in_pytorch(job, store, install) -> None:
    install()
    drain(run(using(job, "torch"), never))
    drain(run(using(job, "auto"), never))
    assert InItsPlace.n_runs == 0
    _, told = said(job)
    assert InItsPlace.n_runs >= 8
    assert [one.level for one in told if one.text == "It runs in its place."] == ["info"]
    assert np.array_equal(labels_of(store), labels_of(store, "torch"))


def test_a_run_goes_on_with_the_engine_that_it_was_begun_with_or_not_at_all(job, store, install, take_away) -> None:
    install()
    stopped_after_two(job)
    assert json.loads(record_of(store).read_text())["engine"] == "openvino"
    take_away()
    with pytest.raises(ComputeError, match=r"begun with OpenVINO.* is not installed .*--overwrite"):
        drain(run(job, never))
    with pytest.raises(AlreadyExists, match="other settings"):
        drain(run(replace(using(job, "torch"), name=job.name), never))
    install()
    assert drain(run(job, never)).is_finished
    assert InItsPlace.n_runs >= 6


def test_what_was_begun_in_pytorch_or_by_an_earlier_version_stays_there(job, store, install, take_away) -> None:
    take_away()
    stopped_after_two(job)
    record = record_of(store)
    begun = json.loads(record.read_text())
    assert begun.pop("engine") == "torch"
    record.write_text(json.dumps(begun))
    install()
    assert drain(run(job, never)).is_finished
    assert InItsPlace.n_runs == 0


@pytest.mark.thorough
def test_where_a_worker_cannot_all_take_pytorch(job, install) -> None:
    pytest.importorskip("distributed")
    if importlib.util.find_spec("openvino") is not None:
        pytest.skip("the workers have OpenVINO")
    install()
    result, told = said(replace(job, workers=2))
    assert result.is_finished
    assert [one.text for one in told if one.level == "warning"] == [
        "All workers run the network in PyTorch, for one of them cannot in OpenVINO."
    ]


@needs_openvino
def test_labels_are_those_of_the_whole_image_also_in_two_workers(job, store) -> None:
    job = using(job, "openvino")
    result, told = said(job)
    assert any("runs in OpenVINO" in one.text for one in told)
    assert result.seams["n_differing"] == result.seams["n_doubles"] == 0
    image = blobs((100, 250), 40, radius=(4.0, 7.0))
    whole = load_model(MODEL, device="cpu").predict(image, "YX", precision="float32", engine="openvino")
    assert same_but_for_numbers(labels_of(store, "openvino"), whole.labels)
    if importlib.util.find_spec("distributed") is not None:
        drain(run(replace(job, workers=2, name="two"), never))
        assert np.array_equal(labels_of(store, "two"), labels_of(store, "openvino"))


@needs_openvino
@pytest.mark.skipif(bool(why_not_int8()), reason="this processor has no VNNI")
def test_a_calibrated_model_runs_in_8_bit_integers_and_nothing_differs_at_seams(job, store, tmp_path) -> None:
    model = load_model(MODEL, device="cpu")
    image = blobs((104, 256), 40, radius=(4.0, 7.0)).astype(np.float32)
    image = (image - image.min()) / np.ptp(image)
    ranges = measured_ranges(model.network, 1, [image[None, None]])
    calibration = Calibration(ranges=ranges, weights=fingerprint(model.network))
    model.config = model.config.model_copy(update={"calibration": calibration})
    model.save(tmp_path / "fast.embedseg")
    result, told = said(replace(using(job, "int8"), model=tmp_path / "fast.embedseg"))
    assert any("in 8-bit integers" in one.text for one in told)
    assert result.n_objects > 20
    assert result.seams["n_differing"] == result.seams["n_doubles"] == 0
