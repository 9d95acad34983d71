"""Damaged and hostile input of every kind: the command ends in time, with a sentence, and leaves nothing unreadable.

By default a few inputs of each kind are tried; ``EMBEDSEG_FUZZ=500`` tries that many. The name of a test holds the seed
of its input.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import torch
from damage import NASTY, WORDS, YAML, damaged, give_seeds, twisted, twisted_json

import embedseg_napari as es
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.networks.erfnet import BranchedERFNet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Of the library that makes the images.
pytestmark = pytest.mark.filterwarnings(
    "ignore:<tifffile:UserWarning", "ignore:<tifffile:DeprecationWarning", "ignore:TypedStorage:UserWarning"
)

pytest_generate_tests = give_seeds

SECONDS = 300
"""No command takes a tenth of it, even on a busy machine: what takes longer hangs."""
MEGABYTES = 1000
"""That a command takes beyond what the process had taken before."""


@pytest.fixture
def rng(seed) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def valid(tmp_path_factory, dataset, trained, settings, monkeypatch) -> Iterator[Path]:
    """A folder of one's own with a data set, a model, settings and the run folder of a training."""
    folder = tmp_path_factory.mktemp("valid")
    shutil.copytree(dataset, folder / "data")
    shutil.copy(trained, folder / "m.embedseg")
    shutil.copytree(trained.with_suffix(".run"), folder / "m.run")
    shutil.copy(settings, folder / "settings.yaml")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "library"))
    yield folder
    # Hundreds of them would fill a disk.
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tried(embedseg, valid):
    """Run a command; whatever it was given, it must end well."""

    def run(*words: object):
        began, before = time.monotonic(), _megabytes()
        ended = embedseg(*words)
        assert time.monotonic() - began < SECONDS
        assert _megabytes() - before < MEGABYTES
        assert "fault of the program" not in ended.err
        assert ended.status in (0, 1, 2), ended.err
        # What failed is said, and what is said to have failed did.
        assert ("Error: " in ended.err) == (ended.status != 0), (ended.status, ended.err)
        assert "\x1b" not in ended.err
        require_readable(valid)
        return ended

    return run


def _megabytes() -> float:
    """The most memory this process has taken so far."""
    if sys.platform != "linux":
        return 0.0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def require_readable(folder: Path) -> None:
    """Everything that a command left under a final name can be opened."""
    for path in folder.rglob("*"):
        assert not path.name.startswith(".tmp-"), path
        if "out" not in path.relative_to(folder).parts[:1] or path.is_dir():
            continue
        match path.suffix:
            case ".tif":
                tifffile.imread(path)
            case ".embedseg":
                load_model(path, "cpu")
            case ".json":
                json.loads(path.read_text())
            case ".safetensors" | ".csv" | "":
                assert path.stat().st_size
            case _:
                pytest.fail(f"an unknown file {path}")


def image_file(path: Path, rng: random.Random, *, labels: bool = False) -> None:
    """A small valid TIFF of one of many kinds."""
    shape = rng.choice(((40, 48), (40, 48), (3, 40, 48), (2, 3, 40, 48), (40, 48, 3), (1, 1), (8, 0)))
    dtype = np.dtype(rng.choice(("uint8", "uint16") if labels else ("uint8", "uint16", "float32", "int32", "float64")))
    array = np.random.default_rng(rng.randrange(99)).integers(0, 200, shape).astype(dtype)
    if dtype.kind == "f" and array.size and rng.random() < 0.3:
        array.flat[0] = rng.choice((np.nan, np.inf, -np.inf))
    kinds: list[dict] = [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}, {"ome": True}]
    if dtype.name in ("uint8", "uint16", "float32"):
        kinds.append({"imagej": True})
    if array.size == 0:
        kinds = [{}]
    tifffile.imwrite(path, array, **rng.choice(kinds))


def test_images(seed, rng, valid, tried):
    image = valid / "i.tif"
    image_file(image, rng)
    if seed % 4:
        image.write_bytes(damaged(image.read_bytes(), rng))
    axes = rng.choice(((), (), ("--axes", rng.choice(("YX", "ZYX", "CYX", "TYX", "XY", "YXC", "TZYX")))))
    csv = rng.choice(((), ("--csv",)))
    tried("predict", valid / "m.embedseg", image, "-o", valid / "out", *axes, *csv)


def test_masks(seed, rng, valid, tried):
    path = valid / "data" / rng.choice(("masks", "masks", "images", "ignore")) / "plate0_0.tif"
    path.parent.mkdir(exist_ok=True)
    if rng.random() < 0.5:
        image_file(path, rng, labels=True)
    if path.exists() and rng.random() < 0.8:
        path.write_bytes(damaged(path.read_bytes(), rng))
    if seed % 3 == 0:
        words = ("-o", valid / "out" / "m.embedseg", "--epochs", 1, "--config", valid / "settings.yaml")
        tried("train", valid / "data", *words)
    else:
        tried(
            "evaluate",
            "--truth",
            valid / "data",
            "--predicted",
            valid / "data" / "masks",
            "--json",
            valid / "out" / "s.json",
        )


def test_models(seed, rng, valid, tried):
    path = valid / "m.embedseg"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if rng.random() < 0.3:
        path.write_bytes(damaged(path.read_bytes(), rng))
    else:
        if rng.random() < 0.7:
            members["model.json"] = twisted_json(members["model.json"].decode(), rng)
        else:
            members["weights.safetensors"] = damaged(members["weights.safetensors"], rng)
        with zipfile.ZipFile(path, "w", rng.choice((0, 8, 12, 14))) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    words = (
        ("info", path),
        ("info", path, "--json"),
        ("models", "import", path, "--name", f"n{seed}"),
        ("predict", path, valid / "data" / "images" / "plate0_0.tif", "-o", valid / "out"),
    )
    tried(*words[seed % 4])


@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning", "ignore:Detected pickle protocol:UserWarning")
def test_checkpoints(seed, rng, valid, tried):
    path = valid / "best.pth"
    with torch.random.fork_rng(devices=[]):
        state = {f"module.{name}": value for name, value in BranchedERFNet(2, 1).state_dict().items()}
    content = {"model_state_dict": state, "epoch": 3}
    changes = (
        lambda value: value.to_sparse(),
        lambda value: value.half(),
        lambda value: value.to(torch.complex64),
        lambda value: value.to("meta"),
        lambda value: value[..., None],
        lambda value: torch.zeros(1).expand(10**9, *value.shape),
        lambda value: torch.full_like(value, float("nan")),
        lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        lambda value: value.to(torch.float8_e4m3fn),
    )
    if rng.random() < 0.4:
        name = rng.choice([name for name, value in state.items() if value.is_floating_point()])
        state[name] = rng.choice(changes)(state[name])
    if rng.random() < 0.2:
        content = twisted(content, rng)
    torch.save(content, path)
    if rng.random() < 0.3:
        path.write_bytes(damaged(path.read_bytes(), rng))
    properties = {"n_x": 513, "min_object_size": 3, "project_name": "a", "pixel_size_x_microns": 0.2}
    properties |= {f"{kind}_object_size_{axis}": 9.0 for kind in ("avg", "stdev") for axis in "xy"}
    (valid / "data_properties.json").write_bytes(twisted_json(json.dumps(properties), rng))
    if rng.random() < 0.5:
        norm = json.dumps({"data_type": "8-bit", "norm": "mean-std"})
        (valid / "normalization.json").write_bytes(twisted_json(norm, rng))
    words = (("info", path), ("models", "import", path, "--name", f"n{seed}"))
    tried(*words[seed % 2])


def test_settings(seed, rng, valid, tried):
    path = valid / "settings.yaml"
    lines = path.read_text().splitlines()
    fields, _n_sound = list(es.TrainingConfig.model_fields), len(lines)
    for _ in range(rng.choice((1, 1, 2))):
        value = rng.choice(YAML) if rng.random() < 0.5 else json.dumps(rng.choice(NASTY))
        lines.append(f"{rng.choice([*fields, 'x', 'augmentation: {scale'])}: {value}")
    text = "\n".join(lines)
    path.write_bytes(
        damaged(text.encode(errors="replace"), rng) if rng.random() < 0.2 else text.encode(errors="replace")
    )
    # Sound settings may ask for days of training: those are only read.
    is_quick = not any(
        name in text for name in ("steps_per_epoch: 1", "virtual", "crop", "batch", "minutes", "devices")
    )
    data = valid / "data" if is_quick else valid / "nowhere"
    tried("train", data, "-o", valid / "out" / "m.embedseg", "--epochs", 1, "--config", path)


def test_run_folders(seed, rng, valid, tried):
    folder = valid / "m.run"
    file = rng.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    if rng.random() < 0.7:
        file = folder / "state.json"
        file.write_bytes(twisted_json(file.read_text(), rng))
    elif rng.random() < 0.3:
        lock = {"pid": 3, "host": os.uname().nodename, "started": "1", "token": "x"}
        (folder / "lock").write_bytes(twisted_json(json.dumps(lock), rng))
    else:
        file.write_bytes(damaged(file.read_bytes(), rng))
    words = ("--epochs", 2, "--config", valid / "settings.yaml", "--resume", "--run-folder", folder)
    tried("train", valid / "data", "-o", valid / "out" / "m.embedseg", *words)


def test_words(rng, valid, tried):
    model, image, data = valid / "m.embedseg", valid / "data" / "images" / "plate0_0.tif", valid / "data"
    thresholds = ("--seed-threshold", "--foreground-threshold", "--faint-seeds", "--margin-scale", "--min-object-size")
    shared = ("--axes", "--channel", "--spacing", "--device")
    commands: dict[tuple[object, ...], tuple[str, ...]] = {
        ("predict", model, image, "-o", valid / "out"): (
            *thresholds, *shared, "--seeds", "--scale", "--precision", "--tile", "--output", "--tta",
        ),
        ("train", valid / "nowhere", "-o", valid / "out" / "m.embedseg"): (
            *shared, "--epochs", "--minutes", "--preset", "--from", "--val", "--val-group", "--val-fraction", "--seed",
            "--ignore-label", "--config", "--run-folder", "--output",
        ),
        ("evaluate", "--truth", data, "--predicted", data): ("--truth", "--predicted", "--ignore-label"),
        ("tune", model, valid / "nowhere"): (*shared, "--ignore-label"),
        ("info",): (),
        ("models", "duplicate", "nuclei-2d"): (),
        ("models", "rename", "nuclei-2d"): (),
        ("models", "describe", "nuclei-2d"): ("--default", "--description", "--license"),
        ("models", "export", "nuclei-2d"): ("--image",),
        ("models", "import"): ("--name",),
    }  # fmt: skip
    command, options = rng.choice(list(commands.items()))
    words: list[object] = list(command)
    for _ in range(rng.choice((1, 1, 2))):
        if options and rng.random() < 0.85:
            words += [rng.choice(options), rng.choice(WORDS)]
        elif command[:1] != ("predict",) or rng.random() < 0.5:
            words.append(rng.choice(WORDS))
    here = os.getcwd()
    os.chdir(valid)
    try:
        tried(*words)
    finally:
        os.chdir(here)
