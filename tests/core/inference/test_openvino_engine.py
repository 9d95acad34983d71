"""OpenVINO in place of PyTorch: nearly the same outputs, PyTorch where it cannot be had, and nothing is sent."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from embedseg_napari.core.config import ModelConfig, NormalizationConfig, PredictionConfig
from embedseg_napari.core.errors import SettingsError, Stopped
from embedseg_napari.core.events import EngineMessage, Message
from embedseg_napari.core.inference import openvino_engine
from embedseg_napari.core.inference.openvino_engine import CompiledNetwork, choose_engine
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.model.model import Model
from embedseg_napari.core.networks.architectures import build_network
from embedseg_napari.core.networks.network import raw_output
from embedseg_napari.core.runs import drain

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed (embedseg-napari[fast])"
)
on_x86 = pytest.mark.skipif(
    openvino_engine.platform.machine() not in openvino_engine.X86, reason="OpenVINO is chosen on x86 only"
)


def trained(architecture: str, ndim: int, n_channels: int = 1) -> nn.Module:
    """A network whose outputs differ from pixel to pixel, with statistics as if it had been trained."""
    torch.manual_seed(0)
    network = build_network(architecture, ndim, n_channels).eval().requires_grad_(False)
    nn.init.normal_(network.embedding_layer.weight, std=0.1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def small_model(ndim: int = 2) -> Model:
    config = ModelConfig(
        ndim=ndim,
        grid_spacing=(1 / 1023,) * ndim,
        architecture="unet",
        normalization=NormalizationConfig(method="dtype-range"),
    )
    return Model(config, trained("unet", ndim))


class Sized(nn.Module):
    """A network whose record holds the width of the image that it was recorded with."""

    def __init__(self) -> None:
        super().__init__()
        self.ndim, self.unused = 2, nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x] * 5, 1) * float(x.shape[-1])


def messages_of(model: Model, image: np.ndarray, **settings: object) -> list[Message]:
    heard: list[object] = []
    model.embed(image, "YX", on_event=heard.append, **settings)
    return [event for event in heard if isinstance(event, Message)]


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, (72, 88)).astype(np.float32)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(SettingsError, match="engine"):
        PredictionConfig.parse({"engine": "abacus"})


def test_without_openvino_auto_is_silent_and_asking_for_it_is_answered(picture, monkeypatch) -> None:
    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: None)
    model = small_model()
    assert messages_of(model, picture) == []
    (told,) = messages_of(model, picture, engine="openvino")
    assert (told.level, told.text) == (
        "warning",
        "The network runs in PyTorch: OpenVINO is not installed (pip install 'embedseg-napari[fast]').",
    )


def test_a_gpu_stays_with_torch(monkeypatch) -> None:
    monkeypatch.setattr(openvino_engine, "device_of", lambda network: torch.device("cuda"))
    network = nn.Identity()
    assert choose_engine("auto", network, 1, "float32") == (None, "", False)
    compiled, words, is_odd = choose_engine("openvino", network, 1, "float32")
    assert compiled is None
    assert words == "The network runs in PyTorch: OpenVINO is for CPUs, and the device is cuda."
    assert is_odd


def test_a_network_that_cannot_be_converted_runs_in_torch_and_is_tried_once(picture, monkeypatch) -> None:
    tried: list[object] = []

    def fail(*given: object) -> None:
        tried.append(given)
        raise RuntimeError("Check failed:\nno conversion rule for this layer.\n")

    monkeypatch.setattr(openvino_engine, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(openvino_engine, "CompiledNetwork", fail)
    model = small_model()
    expected = model.embed(picture, "YX", engine="torch")
    for _ in range(2):
        (told,) = messages_of(model, picture, engine="openvino")
        assert told.level == "warning"
        assert told.text == ("The network runs in PyTorch: OpenVINO cannot run it (no conversion rule for this layer).")
    assert len(tried) == 1
    with pytest.warns(UserWarning, match="OpenVINO cannot run it"):
        found = model.embed(picture, "YX", engine="openvino")
    np.testing.assert_array_equal(found.seed_map, expected.seed_map)


@needs_openvino
@pytest.mark.parametrize("architecture", ["unet", "branched-erfnet"])
@pytest.mark.parametrize(("shape", "n_channels"), [((40, 104), 1), ((64, 64), 3), ((16, 48, 40), 1)])
def test_outputs_are_those_of_torch(architecture, shape, n_channels) -> None:
    network = trained(architecture, len(shape), n_channels)
    images = torch.randn(1, n_channels, *shape)
    found = CompiledNetwork(network, n_channels, "float32", 1)(images, lambda: False)
    torch.testing.assert_close(found, raw_output(network, images), atol=1e-4, rtol=1e-4)


@needs_openvino
def test_a_network_of_one_size_only_is_found_out(picture) -> None:
    model = small_model()
    model.network = Sized()
    with pytest.warns(UserWarning, match="OpenVINO cannot run it"):
        found = model.embed(picture, "YX", engine="openvino")
    np.testing.assert_array_equal(found.seed_map, model.embed(picture, "YX", engine="torch").seed_map)


@needs_openvino
def test_changed_weights_are_compiled_anew() -> None:
    network, images = trained("unet", 2), torch.randn(1, 1, 64, 64)
    for _ in range(2):
        compiled, _, _ = choose_engine("openvino", network, 1, "float32")
        torch.testing.assert_close(compiled(images, lambda: False), raw_output(network, images), atol=1e-4, rtol=1e-4)
        network.embedding_layer.weight.mul_(-1)
    assert choose_engine("openvino", network, 1, "float32")[0] is choose_engine("openvino", network, 1, "float32")[0]


@needs_openvino
@on_x86
def test_auto_takes_it_for_as_many_pixels_as_pay(picture) -> None:
    model = small_model()
    assert messages_of(model, picture) == []
    enough = -(-int(openvino_engine.LEAST_PIXELS[2]) // picture.size)
    for n_images, is_told in ((enough - 1, False), (enough, True)):
        heard: list[object] = []
        drain(Predictor(model, n_images=n_images).run(picture, "YX"), heard.append)
        assert any(isinstance(one, EngineMessage) for one in heard) == is_told


@needs_openvino
@on_x86
@pytest.mark.parametrize("options", [{}, {"tta": True}, {"tile": 64, "tile_overlap": 16}])
def test_auto_takes_it_and_says_so(picture, options, monkeypatch) -> None:
    monkeypatch.setitem(openvino_engine.LEAST_PIXELS, 2, 0)
    model = small_model()
    (told,) = messages_of(model, picture, **options)
    assert told.level == "info"
    assert told.text.startswith("The network runs in OpenVINO 20")
    found, expected = model.embed(picture, "YX", **options), model.embed(picture, "YX", engine="torch", **options)
    np.testing.assert_allclose(found.seed_map, expected.seed_map, atol=1e-4)
    np.testing.assert_allclose(found.offsets, expected.offsets, atol=1e-4)


@needs_openvino
def test_it_stops_while_the_network_runs() -> None:
    compiled = CompiledNetwork(trained("unet", 2), 1, "float32", 1)
    with pytest.raises(Stopped):
        compiled(torch.randn(1, 1, 2048, 2048), lambda: True)
    assert torch.isfinite(compiled(torch.randn(1, 1, 64, 64), lambda: False)).all()


# Outside this process: pytest is known to OpenVINO's packages, which then behave as if nobody looked.
NOTHING_SENT = """
import os, sys
for name in list(os.environ):
    if name in ("CI", "GITHUB_ACTIONS") or name.startswith("PYTEST"):
        del os.environ[name]
# With CUDA it asks ldconfig where its libraries are.
import torch
seen = []
ways_out = ("socket.", "subprocess.", "os.posix_spawn")
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith(ways_out) else None)
import numpy as np, time
import embedseg_napari as es
heard = []
es.load_model("nuclei-2d", device="cpu").predict(
    np.zeros((64, 64), np.uint8), "YX", engine="openvino", on_event=heard.append, progress=False
)
model = es.load_model("nuclei-2d", device="cpu")
from embedseg_napari.core.inference.int8 import why_not_int8
from embedseg_napari.core.inference.openvino_engine import measured_ranges
if not why_not_int8():
    assert measured_ranges(model.network, 1, [np.zeros((1, 1, 64, 64), np.float32)])
time.sleep(1)
assert any("in OpenVINO" in getattr(one, "text", "") for one in heard), heard
assert not seen, seen
assert sys.modules["openvino_telemetry"] is None
"""


@needs_openvino
def test_nothing_is_sent(tmp_path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_SENT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Nor is anyone numbered for later.
    assert not (tmp_path / "intel").exists()
