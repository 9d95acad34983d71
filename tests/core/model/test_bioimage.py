from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import yaml

from embedseg_napari.core.config import ModelConfig, NormalizationConfig, PredictionConfig
from embedseg_napari.core.errors import DataError, ModelError, SettingsError
from embedseg_napari.core.model.bioimage import MEMBER, licence_id, read_package, write_package
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.networks.architectures import NETWORKS, build_network

if TYPE_CHECKING:
    from pathlib import Path

# What bioimageio.core and this test read a package with.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


def model(ndim: int, **settings: object) -> Model:
    torch.manual_seed(ndim)
    config = ModelConfig.parse(
        {"name": "small cells", "ndim": ndim, "grid_spacing": (1 / 255,) * ndim, "license": "MIT (of the data)"}
        | settings
    )
    return Model(config, build_network(config.architecture, ndim, config.n_channels).eval())


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_the_recorded_network_gives_the_maps_at_any_size(ndim: int, architecture: str, tmp_path: Path) -> None:
    original = model(ndim, architecture=architecture)
    path = write_package(original, tmp_path / "p.zip")
    with zipfile.ZipFile(path) as archive:
        archive.extract("weights.pt", tmp_path)
    network = torch.jit.load(tmp_path / "weights.pt")
    image = np.random.default_rng(0).random((1, *(8, 24, 40)[-ndim:])).astype(np.float32)
    expected = original.embed(image, original.config.axes, normalize=False)
    with torch.inference_mode():
        maps = network(torch.from_numpy(image)[None])[0].numpy()
    np.testing.assert_allclose(maps[:ndim], expected.offsets, atol=1e-3)
    np.testing.assert_allclose(maps[ndim : 2 * ndim], expected.margins, rtol=1e-4)
    np.testing.assert_allclose(maps[-1], expected.seed_map, atol=1e-5)


@pytest.mark.filterwarnings(
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"
)  # it leaves files open
@pytest.mark.parametrize(
    ("ndim", "settings"),
    [
        (
            2,
            {
                "name": "v2.é",
                "architecture": "unet",
                "license": "our own",
                "reference_scale": 0.5,
                "prediction": {"scale": 0.5, "tile": (64, 64), "margin_scale": 1.2},
            },
        ),
        (3, {"name": "x", "license": "CC BY 4.0", "normalization": {"method": "mean-std"}}),
    ],
)
@pytest.mark.thorough
def test_bioimageio_validates_and_runs_the_package(
    ndim: int, settings: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bioimageio.core", reason="bioimageio.core is not installed")
    from bioimageio.core import test_description as check

    monkeypatch.setenv("BIOIMAGEIO_CACHE_PATH", str(tmp_path / "cache"))
    path = write_package(model(ndim, **settings), tmp_path / "p.zip", authors=["A. Person"])
    summary = check(path)
    assert summary.status == "passed", summary.format()


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("CC BY 4.0", "CC-BY-4.0"),
        ("CC0-1.0 (training data: ...)", "CC0-1.0"),
        ("MIT", "MIT"),
        ("MITRE", None),
        ("our own", None),
        ("", None),
    ],
)
def test_licences_are_named_only_if_they_are_known(text: str, known: str | None) -> None:
    assert licence_id(text) == known


def test_a_package_says_what_it_is(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (2, 70, 50)).astype(np.uint16)
    given = model(2, n_channels=2, channel_names=("membrane", "DNA 1"), description="Cells.")
    path = write_package(given, tmp_path / "p.zip", image=image, authors=["A. Person", "B. Person"])
    with zipfile.ZipFile(path) as archive:
        described = yaml.safe_load(archive.read("rdf.yaml"))
        assert set(archive.namelist()) >= {"README.md", "cover.png", "test_input.npy", "test_output.npy", MEMBER}
        archive.extract("test_input.npy", tmp_path)
    assert described["license"] == "MIT"
    assert [author["name"] for author in described["authors"]] == ["A. Person", "B. Person"]
    assert described["inputs"][0]["axes"][1]["channel_names"] == ["membrane", "DNA_1"]
    assert described["inputs"][0]["preprocessing"][0]["kwargs"]["max_percentile"] == 99.8
    np.testing.assert_array_equal(np.load(tmp_path / "test_input.npy")[0], image[:, :64, :48])


@pytest.mark.parametrize("looks", [True, False])
def test_a_package_says_that_other_programs_look_for_no_scale(tmp_path: Path, looks: bool) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (1, 64, 64)).astype(np.uint16)
    path = write_package(model(2, prediction=PredictionConfig(find_scale=looks)), tmp_path / "p.zip", image=image)
    with zipfile.ZipFile(path) as archive:
        assert ("looks for a better scale" in archive.read("README.md").decode()) == looks


def test_a_package_comes_back_as_the_same_model(tmp_path: Path) -> None:
    given = model(2, normalization=NormalizationConfig(method="mean-std"))
    back = read_package(write_package(given, tmp_path / "p.zip"))
    assert back.config.normalization == given.config.normalization
    for key, value in given.network.state_dict().items():
        assert torch.equal(back.network.state_dict()[key], value)
    assert back.path is None
    assert given.path is None


def test_images_and_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"give CYX, 1 channel"):
        write_package(model(2), tmp_path / "p.zip", image=np.zeros((3, 64, 64)))
    with pytest.raises(DataError, match="at least 8 pixels"):
        write_package(model(2), tmp_path / "p.zip", image=np.zeros((1, 64, 7)))
    with pytest.raises(SettingsError, match="cannot describe that"):
        write_package(model(2, normalization=NormalizationConfig(method="dtype-range")), tmp_path / "p.zip")
    assert not (tmp_path / "p.zip").exists()


def test_nothing_in_a_package_is_run_or_unpacked(tmp_path: Path) -> None:
    trap = tmp_path / "trap.zip"
    with zipfile.ZipFile(trap, "w") as archive:
        archive.writestr(f"../{MEMBER}", b"no model")
        archive.writestr("weights.pt", b"not looked at")
    with pytest.raises(ModelError, match=r"trap\.zip: model\.embedseg in it: is not a model file"):
        read_package(trap)
    assert not (tmp_path.parent / MEMBER).exists()
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"is not a bioimage\.io package"):
        read_package(tmp_path / "broken.zip")


def test_a_loaded_model_keeps_its_file(tmp_path: Path) -> None:
    path = model(2).save(tmp_path / "m")
    loaded = load_model(path)
    write_package(loaded, tmp_path / "p.zip")
    assert loaded.path == path
