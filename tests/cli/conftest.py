"""What the tests of the command line share: the command as a user types it, and data small enough to train on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from embedseg_napari.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TINY_SETTINGS = (
    "crop_size: [32, 32]\nbatch_size: 2\nsteps_per_epoch: 2\nprecision: float32\nwarmup: 0\nvalidation_fraction: 0\n"
)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def embedseg(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run a command in this process."""

    def run(*words: object) -> Ended:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        captured = capfd.readouterr()
        code = ended.value.code
        status = code if isinstance(code, int) else 0 if code is None else 1
        assert "Traceback" not in captured.err
        return Ended(status, captured.out, captured.err)

    return run


def _listen_to_interrupts() -> None:
    # A shell starts background jobs with interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command as a process of its own; what still runs at the end is ended."""
    children = []

    def run(*words: object, stdin: int | None = None) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "embedseg_napari", *map(str, words)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=_listen_to_interrupts,
        )
        children.append(child)
        return child

    yield run
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.fixture(scope="session")
def draw() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Draw image and labels of four bright discs; the number chooses which."""
    return draw_discs


def draw_discs(number: int, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels of four bright discs."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.uint16)
    image = rng.normal(100, 5, (side, side))
    for label, (top, left) in enumerate([(0, 0), (0, 24), (24, 0), (24, 24)], start=1):
        middle = np.array([top, left]) + rng.integers(9, 15, 2)
        disc = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 < rng.integers(5, 8) ** 2
        labels[disc] = label
        image[disc] += 100
    return image.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six annotated images in `images/` and `masks/`, from two plates."""
    folder = tmp_path_factory.mktemp("dataset")
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for number in range(6):
        image, labels = draw_discs(number)
        name = f"plate{number % 2}_{number}.tif"
        tifffile.imwrite(folder / "images" / name, image)
        tifffile.imwrite(folder / "masks" / name, labels)
    return folder


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of a training that takes a second."""
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(TINY_SETTINGS)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, dataset: Path, settings: Path) -> Path:
    """A model file, trained for two steps: it can be loaded and run, not more."""
    path = tmp_path_factory.mktemp("trained") / "tiny.embedseg"
    with pytest.raises(SystemExit) as ended:
        main(
            ["train", str(dataset), "--output", str(path), "--epochs", "1", "--config", str(settings), "--no-progress"]
        )
    assert ended.value.code in (0, None)
    return path
