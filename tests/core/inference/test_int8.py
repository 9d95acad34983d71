"""8-bit integers: nearly the same outputs for calibrated models, the usual number format for all others."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

from embedseg_napari.core.config import Calibration, ModelConfig, NormalizationConfig
from embedseg_napari.core.data.example import Example
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.errors import ComputeError, DataError, ModelError
from embedseg_napari.core.events import EngineMessage
from embedseg_napari.core.inference import int8, openvino_engine
from embedseg_napari.core.inference.int8 import FLAGS, _steps, fingerprint, why_not_int8
from embedseg_napari.core.inference.openvino_engine import choose_engine, measured_ranges
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.core.networks.network import raw_output
from embedseg_napari.core.runs import drain, never
from embedseg_napari.jobs import calibrate as job
from embedseg_napari.jobs.calibrate import calibrate
from embedseg_napari.jobs.tune import store_settings

needs_int8 = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None or bool(why_not_int8()),
    reason="needs OpenVINO (embedseg-napari[fast]) and a processor for 8-bit integers",
)


def trained(architecture: str, ndim: int) -> nn.Module:
    torch.manual_seed(0)
    network = build_network(architecture, ndim, 1).eval().requires_grad_(False)
    nn.init.normal_(network.embedding_layer.weight, std=0.1)
    return network


def calibrated(network: nn.Module, image: torch.Tensor) -> Calibration:
    return Calibration(ranges=measured_ranges(network, 1, [image.numpy()]), weights=fingerprint(network))


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    samples = [nuclei((128, 128), seed=seed) for seed in range(3)]
    return [Example(str(i), one.image[None], one.labels) for i, one in enumerate(samples)]


@pytest.mark.parametrize("ends", [(0.0, 3.0), (-1.0, 3.0), (-0.001, 3.0), (-3.0, 0.0), (0.0, 0.0)])
def test_zero_is_a_step_and_the_range_lies_within(ends: tuple[float, float]) -> None:
    low, high = _steps(*ends)
    assert low <= ends[0]
    assert high >= ends[1]
    step = (high - low) / 255
    assert low / step == pytest.approx(round(low / step), abs=1e-6)


@needs_int8
@pytest.mark.parametrize("architecture", ["unet", "branched-erfnet"])
@pytest.mark.parametrize("shape", [(64, 104), (16, 48, 40)])
def test_outputs_are_nearly_those_of_torch(architecture: str, shape: tuple[int, ...]) -> None:
    network, image = trained(architecture, len(shape)), torch.rand(1, 1, *shape)
    compiled, words, is_odd = choose_engine("int8", network, 1, "float32", calibration=calibrated(network, image))
    assert words.endswith("in 8-bit integers.")
    assert not is_odd
    expected = raw_output(network, image)
    off = (compiled(image, never) - expected).square().mean() / (expected - expected.mean()).square().mean()
    # Not the same either, or nothing was rounded.
    assert 1e-8 < float(off) < 0.02


@needs_int8
def test_what_does_not_fit_runs_in_the_usual_format_and_says_why(monkeypatch) -> None:
    network, image = trained("unet", 2), torch.rand(1, 1, 64, 64)
    good = calibrated(network, image)
    renamed = good.model_copy(update={"ranges": {f"{name}x": pair for name, pair in good.ranges.items()}})
    other = good.model_copy(update={"weights": "0" * 32})
    for calibration, why in ((None, "is not calibrated"), (renamed, "version of OpenVINO"), (other, "other weights")):
        compiled, words, is_odd = choose_engine("int8", network, 1, "float32", calibration=calibration)
        assert is_odd
        assert "in float32, not in 8-bit integers" in words
        assert why in words
        torch.testing.assert_close(compiled(image, never), raw_output(network, image), atol=1e-4, rtol=1e-4)
    monkeypatch.setattr(int8, "processor_flags", frozenset)
    _, words, is_odd = choose_engine("int8", network, 1, "float32", calibration=good)
    assert is_odd
    assert "this processor has no instructions for them" in words
    with pytest.raises(ComputeError, match="no instructions"):
        measured_ranges(network, 1, [image.numpy()])


def test_without_openvino_nothing_is_calibrated(monkeypatch) -> None:
    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: None)
    with pytest.raises(ComputeError, match="not installed"):
        measured_ranges(trained("unet", 2), 1, [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"a": (0.0, float("nan"))},
        {"a": (0.0,)},
        {"a": (0, 1e30)},
        {"a": "__import__"},
        {"a": (0, 1), "b": (3, -1)},
        {"a": (2, 3)},
        {"a": (-3, -2)},
    ],
)
def test_a_damaged_calibration_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="ranges"):
        ModelConfig.model_validate({"calibration": {"ranges": wrong}})


def test_only_processors_that_cannot_overflow_are_trusted(monkeypatch) -> None:
    for flags, is_trusted in ((frozenset({"avx2"}), False), (frozenset({"avx2", *FLAGS}), True)):
        monkeypatch.setattr(int8, "processor_flags", lambda flags=flags: flags)
        assert (why_not_int8() == "") == is_trusted


@needs_int8
def test_a_calibrated_model_is_stored_and_runs_in_integers(examples, tmp_path) -> None:
    model = load_model("nuclei-2d", device="cpu")
    found = drain(calibrate(model, examples, never))
    assert (found.n_images, found.n_checked) == (2, 1)
    assert found.ap > 0.5
    assert found.ap_int8 >= found.ap - job.MOST_LOSS
    assert model.config.calibration is None
    path = store_settings(model.path, tmp_path / "own", {"engine": "int8"}, calibration=found)
    heard: list[object] = []
    own = load_model(path, device="cpu")
    own.predict(examples[0].image, "CYX", on_event=heard.append)
    (told,) = [one for one in heard if isinstance(one, EngineMessage)]
    assert told.text.endswith("in 8-bit integers.")
    torch.testing.assert_close(own.network.state_dict(), model.network.state_dict(), rtol=0, atol=0)


@needs_int8
def test_what_costs_too_much_is_refused(examples, monkeypatch) -> None:
    measure = job.measured_ranges

    def too_narrow(*given: object) -> dict[str, tuple[float, float]]:
        return {name: (low / 50, high / 50) for name, (low, high) in measure(*given).items()}

    monkeypatch.setattr(job, "measured_ranges", too_narrow)
    with pytest.raises(ModelError, match="mean AP falls from"):
        drain(calibrate(load_model("nuclei-2d", device="cpu"), examples[:1], never))


def test_images_that_are_not_for_the_model_or_hold_no_objects_are_said_before_anything_is_measured(examples) -> None:
    model, image = load_model("nuclei-2d", device="cpu"), examples[0].image
    empty = Example("empty", image, np.zeros(image.shape[1:], np.int32))
    volume = Example("volume", image[:, None], examples[0].instances[None])
    twice = Example("twice", np.repeat(image, 2, 0), examples[0].instances)
    for wrong, kind, words in (
        (empty, DataError, "no objects in this mask"),
        (volume, ModelError, "the model works in 2D"),
        (twice, ModelError, "2 channels"),
    ):
        with pytest.raises(kind, match=words):
            drain(calibrate(model, [wrong], never))


def test_where_the_model_finds_nothing_nothing_is_promised(examples, monkeypatch) -> None:
    monkeypatch.setattr(job, "measured_ranges", lambda *_: {})
    elsewhere = Example("elsewhere", np.zeros_like(examples[0].image), examples[0].instances)
    with pytest.raises(ModelError, match="finds no object of these images"):
        drain(calibrate(load_model("nuclei-2d", device="cpu"), [elsewhere], never))


@needs_int8
def test_ranges_are_measured_on_what_the_network_sees(monkeypatch) -> None:
    config = ModelConfig(reference_scale=0.5, normalization=NormalizationConfig(method="dtype-range"))
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(job, "measured_ranges", lambda *given: seen.extend(one.shape for one in given[2]) or {})
    image = np.zeros((1, 150, 2000), np.float32)
    labels = np.zeros(image.shape[1:], np.int32)
    labels[:9, :9], labels[20:29, :9] = 1, 2
    with pytest.raises(ModelError, match="finds no object"):
        drain(calibrate(Model(config, trained("branched-erfnet", 2)), [Example("a", image, labels)], never))
    assert seen == [(1, 1, 80, 512)]
