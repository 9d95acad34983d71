from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save

from embedseg_napari.core.config import ModelConfig, ObjectSizes, PredictionConfig
from embedseg_napari.core.errors import DataError, ModelError
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.model.model_file import copy_model_file, read_model_config, read_model_file, write_model_file
from embedseg_napari.core.networks.erfnet import BranchedERFNet

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = ModelConfig(
    name="worms",
    ndim=2,
    n_channels=2,
    grid_spacing=(1 / 999, 1 / 999),
    spacing=(0.2, 0.2),
    spacing_unit="µm",
    object_sizes=ObjectSizes(n_objects=3, mean=(20.5, 11.25), std=(1.0, 2.0)),
    prediction=PredictionConfig(seed_threshold=0.8, tile=(512, 512), precision="bfloat16"),
    history=({"epoch": 0, "loss": 0.5, "ap_50": None}, {"epoch": 1, "loss": 0.25, "ap_50": 0.75}),
)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = BranchedERFNet(2, 2)
    network(torch.randn(2, 2, 16, 16))
    return network.state_dict()


@pytest.fixture
def file(weights, tmp_path: Path) -> Path:
    return write_model_file(tmp_path / "model.embedseg", weights, CONFIG)


def rewrite(path: Path, members: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_round_trip_is_bit_equal(file: Path, weights) -> None:
    found, config = read_model_file(file)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in weights.items())
    assert config.model_copy(update={"software_version": ""}) == CONFIG
    assert config.software_version
    assert read_model_config(file) == config


def test_a_copy_notes_a_seed_threshold_that_was_chosen(file: Path, weights, tmp_path: Path) -> None:
    trained = CONFIG.model_copy(update={"training": {"steps": 3, "usual_seed_threshold": 0.9}})
    source, target = write_model_file(tmp_path / "trained", weights, trained), tmp_path / "copy.embedseg"
    for changes, usual in (
        ({"name": "other"}, 0.9),
        ({"prediction": CONFIG.prediction.model_copy(update={"margin_scale": 1.2})}, 0.9),
        ({"prediction": CONFIG.prediction.model_copy(update={"seed_threshold": 0.7})}, 0.7),
    ):
        copy_model_file(source, target, overwrite=True, **changes)
        found = read_model_config(target)
        assert (found.usual_seed_threshold, found.training["steps"]) == (usual, 3)
    # Another program may have written anything there.
    odd = CONFIG.model_copy(update={"training": {"settings": [1], "usual_seed_threshold": "high"}})
    assert odd.usual_seed_threshold == CONFIG.prediction.seed_threshold


def test_same_model_gives_same_bytes(file: Path, weights, tmp_path: Path) -> None:
    assert write_model_file(tmp_path / "again", weights, CONFIG).read_bytes() == file.read_bytes()
    assert (tmp_path / "again.embedseg").exists()


def test_half_precision_halves_the_size(file: Path, weights, tmp_path: Path) -> None:
    weights = {**weights, "decoders.0.output_conv.bias": torch.tensor([1e6, 0.0, 1.0, 1.0])}
    half = write_model_file(tmp_path / "half.embedseg", weights, CONFIG, half=True)
    assert half.stat().st_size < 0.52 * file.stat().st_size
    found, _ = read_model_file(half)
    for name, value in weights.items():
        assert found[name].dtype == value.dtype
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-6)


def test_loaded_model_computes_the_same(file: Path, weights) -> None:
    model = load_model(file, device="cpu")
    network = BranchedERFNet(2, 2)
    network.load_state_dict(weights)
    image = torch.randn(1, 2, 24, 24)
    assert torch.equal(model.raw(image), Model(CONFIG, network).raw(image))
    assert model.path == file


def test_loading_draws_no_random_numbers(file: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    load_model(file, device="cpu")
    assert torch.equal(torch.rand(1), expected)


def test_nothing_is_replaced_unasked_and_nothing_half_written_stays(
    file: Path, weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()
    with pytest.raises(DataError, match="exists already"):
        write_model_file(file, weights, CONFIG, overwrite=False)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(DataError, match="No space left"):
        write_model_file(file, weights, CONFIG)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_truncated_at_any_place(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    for length in (0, 10, 1000, len(data) // 2, len(data) - 1):
        broken = tmp_path / "broken.embedseg"
        broken.write_bytes(data[:length])
        with pytest.raises(ModelError, match=r"broken\.embedseg"):
            load_model(broken, device="cpu")


def test_flipped_bits_are_noticed(file: Path, tmp_path: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    broken = tmp_path / "broken.embedseg"
    broken.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        load_model(broken, device="cpu")


def test_unknown_format_is_refused(file: Path) -> None:
    parts = members(file)
    parts["model.json"] = json.dumps({**json.loads(parts["model.json"]), "format_version": 99}).encode()
    with pytest.raises(ModelError, match=r"format 99.*Update"):
        load_model(rewrite(file, parts), device="cpu")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format_version": 1, "ndim": 7}',
        b'{"format_version": 1, "x": 1}',
    ],
)
def test_description_that_makes_no_sense(file: Path, text: bytes) -> None:
    parts = members(file)
    parts["model.json"] = text
    with pytest.raises(ModelError, match="description"):
        load_model(rewrite(file, parts), device="cpu")


@pytest.mark.parametrize(("n_channels", "sentence"), [(10**12, "claims"), (3, "instead of")])
def test_description_that_claims_another_network(file: Path, n_channels: int, sentence: str) -> None:
    parts = members(file)
    parts["model.json"] = json.dumps({**json.loads(parts["model.json"]), "n_channels": n_channels}).encode()
    with pytest.raises(ModelError, match=sentence):
        load_model(rewrite(file, parts), device="cpu")


def test_bombs_are_refused_before_they_unfold(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = members(file) | {"model.json": b" " * (20 << 20)}
    rewrite(file, bomb, compression=zipfile.ZIP_DEFLATED)
    opened: list = []
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args, **_: opened.append(args))
    with pytest.raises(ModelError, match="claims"):
        load_model(file, device="cpu")
    assert not opened


@pytest.mark.parametrize(
    "change",
    [
        {"../evil.py": b"1"},
        {"/etc/evil": b"1"},
        {"data.pkl": b"1"},
        {"model.json": None},
        {"weights.safetensors": None},
    ],
)
def test_wrong_members_are_refused(file: Path, change: dict[str, bytes | None]) -> None:
    parts = {name: data for name, data in {**members(file), **change}.items() if data is not None}
    with pytest.raises(ModelError, match="is not a model file"):
        load_model(rewrite(file, parts), device="cpu")
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_member_twice_is_refused(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("model-json", b"{}")
    file.write_bytes(file.read_bytes().replace(b"model-json", b"model.json"))
    with pytest.raises(ModelError, match="is not a model file"):
        load_model(file, device="cpu")


@pytest.mark.parametrize("blob", [b"", b"\x80\x04.", b"\xff" * 64])
def test_weights_that_are_no_safetensors(file: Path, blob: bytes) -> None:
    with pytest.raises(ModelError, match="weights are damaged"):
        load_model(rewrite(file, members(file) | {"weights.safetensors": blob}), device="cpu")


def test_weights_that_do_not_fit(file: Path, weights) -> None:
    name = "decoders.1.output_conv.bias"
    cases = {
        "missing": {k: v for k, v in weights.items() if k != name},
        r"of shape \(3,\)": {**weights, name: torch.zeros(3)},
        "does not belong": {**weights, "extra": torch.zeros(1)},
        "not finite": {**weights, name: torch.full((1,), float("nan"))},
    }
    for sentence, wrong in cases.items():
        broken = rewrite(file, members(file) | {"weights.safetensors": save(dict(wrong))})
        with pytest.raises(ModelError, match=sentence):
            load_model(broken, device="cpu")


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_not_unfolded(file: Path, kind: int) -> None:
    # Zeros in place of weights: these take seconds to compress.
    content = {name: data if len(data) < 100_000 else bytes(len(data)) for name, data in members(file).items()}
    with pytest.raises(ModelError, match="compressed"):
        load_model(rewrite(file, content, compression=kind), device="cpu")


def test_what_could_not_be_read_again_is_not_written(weights, tmp_path: Path) -> None:
    path = tmp_path / "model.embedseg"
    wrong = {**weights, "decoders.1.output_conv.bias": torch.full((1,), float("nan"))}
    with pytest.raises(ModelError, match="no numbers"):
        write_model_file(path, wrong, CONFIG)
    for change in ({"reference_scale": 1e9}, {"description": "\ud800"}, {"spacing": (1.0,)}):
        with pytest.raises(ModelError):
            write_model_file(path, weights, CONFIG.model_copy(update=change))
    assert not path.exists()


def test_a_name_of_other_bytes_is_stored_as_text(weights, tmp_path: Path) -> None:
    path = write_model_file(tmp_path / "model", weights, CONFIG.model_copy(update={"name": "a\udcff"}))
    assert read_model_config(path).name == "a\\udcff"
