from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from embedseg_napari.core.errors import ModelError, SettingsError
from embedseg_napari.core.model.legacy import LegacyGeometry
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.networks.erfnet import BranchedERFNet


def legacy_state(ndim: int, n_channels: int = 1, prefix: str = "") -> dict[str, torch.Tensor]:
    """Random weights as the original orders them."""
    torch.manual_seed(ndim)
    network = BranchedERFNet(ndim, n_channels)
    last = network.decoders[0].output_conv
    torch.nn.init.normal_(last.weight)
    torch.nn.init.normal_(last.bias)
    return {prefix + name: value for name, value in network.state_dict().items()}


def write(path: Path, **content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("ndim", "n_channels"), [(2, 1), (2, 3), (3, 1)])
def test_outputs_come_in_array_order(tmp_path: Path, ndim: int, n_channels: int, prefix: str) -> None:
    state = legacy_state(ndim, n_channels, prefix)
    path = write(tmp_path / "best_iou_model.pth", epoch=3, best_iou=0.5, model_state_dict=state)
    original = BranchedERFNet(ndim, n_channels).eval()
    original.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()})
    model = load_model(path, device="cpu")
    assert (model.config.ndim, model.config.n_channels) == (ndim, n_channels)
    assert model.config.grid_spacing == (1 / 1023,) * ndim
    assert model.config.prediction.precision == "float32"
    image = torch.randn(1, n_channels, *(8, 16, 24)[-ndim:])
    with torch.inference_mode():
        raw = original(image)
    order = [*range(ndim)[::-1], *range(ndim, 2 * ndim)[::-1], 2 * ndim]
    torch.testing.assert_close(model.raw(image), raw[:, order], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_geometry_can_be_given(tmp_path: Path, ndim: int) -> None:
    path = write(tmp_path / "a.pth", model_state_dict=legacy_state(ndim))
    spacing = (0.004, 0.001, 0.002)[-ndim:]
    assert load_model(path, device="cpu", legacy=LegacyGeometry(spacing=spacing)).config.grid_spacing == spacing
    with pytest.raises(SettingsError, match=f"needs {ndim}"):
        load_model(path, device="cpu", legacy=LegacyGeometry(spacing=(0.001,) * (5 - ndim)))


@pytest.mark.parametrize("spacing", [(), (0.1,), (0.1, -1.0), (0.1, 0.0), (0.1,) * 4])
def test_impossible_geometry_is_a_sentence(spacing: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="grid spacing"):
        LegacyGeometry(spacing=spacing)


def test_json_files_beside_it_are_used(tmp_path: Path) -> None:
    path = write(tmp_path / "best_iou_model.pth", model_state_dict=legacy_state(3))
    (tmp_path / "data_properties.json").write_text(
        json.dumps(
            {
                "n_x": 513, "n_y": 513, "n_z": 32, "min_object_size": 33, "mean_object_size": 900.5,
                "avg_object_size_z": 9.0, "avg_object_size_y": 20.0, "avg_object_size_x": 21.0,
                "stdev_object_size_z": 1.0, "stdev_object_size_y": 2.0, "stdev_object_size_x": 3.0,
                "pixel_size_x_microns": 0.2, "pixel_size_y_microns": 0.2, "pixel_size_z_microns": 1.0,
                "project_name": "embryo", "one_hot": False,
            }
        )
    )  # fmt: skip
    (tmp_path / "normalization.json").write_text(json.dumps({"data_type": "16-bit", "norm": "absolute"}))
    config = load_model(path, device="cpu").config
    np.testing.assert_allclose(config.grid_spacing, (5 / 512, 1 / 512, 1 / 512))
    assert config.spacing == (1.0, 0.2, 0.2)
    assert config.name == "embryo"
    assert config.normalization.method == "dtype-range"
    assert config.prediction.min_object_size == 33
    assert config.object_sizes.mean == (10.0, 21.0, 22.0)
    assert config.object_sizes.std == (1.0, 2.0, 3.0)


def test_incomplete_json_files_are_used_as_far_as_they_go(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", model_state_dict=legacy_state(2))
    (tmp_path / "data_properties.json").write_text('{"n_x": 257, "n_z": null, "avg_object_size_y": 4}')
    (tmp_path / "normalization.json").write_text('{"norm": "mean-std"}')
    config = load_model(path, device="cpu").config
    assert config.grid_spacing == (1 / 256, 1 / 256)
    assert config.spacing is None
    assert config.normalization.method == "mean-std"


@pytest.mark.parametrize("name", ["data_properties.json", "normalization.json"])
@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_broken_json_is_named(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path / "a.pth", model_state_dict=legacy_state(2))
    (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=name):
        load_model(path, device="cpu")


def test_unknown_normalisation_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", model_state_dict=legacy_state(2))
    (tmp_path / "normalization.json").write_text('{"norm": "magic"}')
    with pytest.raises(ModelError, match="magic"):
        load_model(path, device="cpu")


def test_numpy_numbers_in_a_checkpoint_are_no_obstacle(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pth", best_iou=np.float64(0.5), epoch=np.int64(3), model_state_dict=legacy_state(2))
    assert load_model(path, device="cpu").config.ndim == 2


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_loading_never_runs_code(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = write(tmp_path / "a.pth", model_state_dict=legacy_state(2), logger=Evil(marker))
    with pytest.raises(ModelError, match="not loaded"):
        load_model(path, device="cpu")
    path.write_bytes(pickle.dumps(Evil(marker)))
    with pytest.raises(ModelError, match=r"a\.pth"):
        load_model(path, device="cpu")
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"model_state_dict": 3},
        {"model_state_dict": {}},
        {"model_state_dict": {"fc.weight": torch.zeros(3)}},
        {
            "encoder.initial_block.conv.weight": torch.zeros(15, 1, 3, 3),
            "decoders.0.output_conv.weight": torch.zeros(16),
        },
    ],
)
def test_other_networks_are_refused(tmp_path: Path, content: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="EmbedSeg"):
        load_model(write(tmp_path / "a.pth", **content), device="cpu")


def test_networks_that_almost_fit_are_refused(tmp_path: Path) -> None:
    state = legacy_state(2)
    del state["encoder.layers.3.bn1.running_mean"]
    with pytest.raises(ModelError, match=r"encoder\.layers\.3\.bn1\.running_mean is missing"):
        load_model(write(tmp_path / "a.pth", model_state_dict=state), device="cpu")
    state = legacy_state(2)
    del state["decoders.0.output_conv.bias"]
    with pytest.raises(ModelError, match="not those of EmbedSeg"):
        load_model(write(tmp_path / "a.pth", model_state_dict=state), device="cpu")


@pytest.mark.parametrize("length", [0, 100, 5000, 100_000])
def test_truncated_checkpoint(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "a.pth", model_state_dict=legacy_state(2))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"a\.pth: is not a checkpoint of the original EmbedSeg, or") as raised:
        load_model(path, device="cpu")
    assert len(str(raised.value)) - len(str(path)) < 120, "no word of the inside of a zip"


@pytest.mark.parametrize("ndim", [2, 3])
def test_original_checkpoints(golden, tmp_path: Path, ndim: int) -> None:
    model = load_model(golden(f"legacy_{ndim}d.pth"), device="cpu")
    numbers = np.load(golden(f"network_{ndim}d.npz"))
    raw = model.raw(torch.from_numpy(numbers["input"])[None])[0].numpy()
    expected = numbers["raw"][[*range(ndim)[::-1], *range(ndim, 2 * ndim)[::-1], 2 * ndim]]
    assert np.linalg.norm(raw - expected) < 2e-4 * np.linalg.norm(expected)
    again = load_model(model.save(tmp_path / "converted"), device="cpu")
    assert torch.equal(again.raw(torch.from_numpy(numbers["input"])[None])[0], torch.from_numpy(raw))


@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning", "ignore:TypedStorage:UserWarning")
@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.to_sparse(),
        lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        lambda value: value.to("meta"),
        lambda value: value.to(torch.complex64),
        lambda value: value.to(torch.float8_e4m3fn),
        lambda value: torch.zeros(1).expand(10**9, *value.shape),
    ],
)
def test_weights_that_are_no_plain_numbers_are_refused(tmp_path: Path, change) -> None:
    state = legacy_state(2)
    state["decoders.0.output_conv.weight"] = change(state["decoders.0.output_conv.weight"])
    with pytest.raises(ModelError, match="not stored as plain numbers"):
        load_model(write(tmp_path / "a.pth", model_state_dict=state), device="cpu")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data_properties.json", '{"min_object_size": "inf"}'),
        ("data_properties.json", '{"min_object_size": -5}'),
        ("data_properties.json", '{"n_x": 1' + "0" * 400 + "}"),
        ("data_properties.json", '{"a":' * 100_000),
        ("normalization.json", '{"norm": ["a"]}'),
    ],
)
def test_values_that_nothing_can_be_made_of_are_named(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path / "a.pth", model_state_dict=legacy_state(2))
    (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=name):
        load_model(path, device="cpu")


def test_too_many_channels_are_refused(tmp_path: Path) -> None:
    state = legacy_state(2) | {"encoder.initial_block.conv.weight": torch.zeros(15, 16, 3, 3)}
    with pytest.raises(ModelError, match="n_channels"):
        load_model(write(tmp_path / "a.pth", model_state_dict=state), device="cpu")
