"""Fixtures shared by all tests.

The environment variable EMBEDSEG_SHARED names a folder with real annotated images (``data/``) and with numbers the
original program computed (``golden/``). Tests that need them skip with a reason where it is not set.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

NO_SHARED = "EMBEDSEG_SHARED does not name a folder with real images"

pytest_plugins = ["known_models"]


def _shared() -> Path | None:
    value = os.environ.get("EMBEDSEG_SHARED", "")
    return Path(value).resolve() if value and Path(value).is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    unwanted = {"real": NO_SHARED} if _shared() is None else {}
    for marker in ("slow", "thorough"):
        if not os.environ.get(variable := f"EMBEDSEG_{marker.upper()}"):
            unwanted[marker] = f"{variable} is not set"
    if any(item.get_closest_marker("gpu") for item in items) and not os.environ.get("EMBEDSEG_GPU"):
        import torch

        if not torch.cuda.is_available():
            unwanted["gpu"] = "this machine has no NVIDIA GPU that PyTorch can use"
    for item in items:
        for marker, reason in unwanted.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
    # The longest first: one that begins last keeps the other processes waiting.
    items.sort(key=lambda item: -max((marker.args[0] for marker in item.iter_markers("timeout")), default=0))


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bars among the names of tests where pytest leaves standard error alone (-s)."""
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the models of the person who runs the tests out of them, and the tests out of theirs."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Folder with ``data/`` and ``golden/``."""
    folder = _shared()
    if folder is None:
        pytest.skip(NO_SHARED)
    return folder


@pytest.fixture(scope="session")
def shared_data(shared_folder: Path) -> Callable[[str], Path]:
    """Return the folder of a real data set by its name."""

    def find(name: str) -> Path:
        path = shared_folder / "data" / name
        if not path.exists():
            pytest.skip(f"no data set {name} in {path.parent}")
        return path

    return find


@pytest.fixture(scope="session")
def golden(shared_folder: Path) -> Callable[[str], Path]:
    """Return the path of a file with reference numbers by its name."""

    def find(name: str) -> Path:
        path = shared_folder / "golden" / name
        if not path.exists():
            pytest.skip(f"no reference file {name} in {path.parent}")
        return path

    return find


@pytest.fixture
def slim_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks with a few feature maps, for what does not depend on what is learned; shipped models do not fit them."""
    from embedseg_napari.core.networks import unet

    monkeypatch.setattr(unet, "WIDTHS", (4, 6, 8, 10))


@pytest.fixture
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a model that is unsure of the images of a folder try no other models and scales, which takes seconds."""
    from embedseg_napari.jobs.folder import segment_folder

    monkeypatch.setattr(segment_folder, "ADVISED", 0)


@pytest.fixture(scope="session")
def tiny_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a 2D model that was never trained."""
    import torch

    from embedseg_napari.core.config import ModelConfig
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.networks.erfnet import BranchedERFNet

    torch.manual_seed(0)
    return Model(ModelConfig(name="tiny"), BranchedERFNet(2)).save(tmp_path_factory.mktemp("models") / "tiny.embedseg")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def blobs() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return a small image (float32) and its labels (int32) of well separated balls: ``blobs(ndim, n=6, size=64)``."""

    def make(ndim: int, n: int = 6, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(ndim)
        shape = (size,) * ndim if ndim == 2 else (max(size // 4, 8), size, size)
        grid = np.indices(shape, dtype=np.float32)
        labels = np.zeros(shape, np.int32)
        for _ in range(50 * n):
            if labels.max() == n:
                break
            radii = np.array([rng.uniform(4, 7) if side >= 32 else rng.uniform(2, 3) for side in shape], np.float32)
            center = rng.uniform(radii + 1, np.array(shape) - radii - 1).astype(np.float32)
            scaled = ((grid.T - center) / (radii + 1.5)).T
            if labels[(scaled**2).sum(0) < 1].any():
                continue
            inside = (((grid.T - center) / radii).T ** 2).sum(0) < 1
            labels[inside] = labels.max() + 1
        image = np.where(labels > 0, 180, 20) + rng.normal(0, 5, shape)
        return image.astype(np.float32), labels

    return make
