"""Images in blocks: equal to one pass, bounded in memory, as fast as their pixels, and whole after every kill.

    python benchmarks/scale.py mosaic IMAGES_FOLDER STORE.ome.zarr [--side 4096]
    python benchmarks/scale.py generate STORE.ome.zarr [--side 8192]
    python benchmarks/scale.py equal MODEL STORE.ome.zarr [--block 1024] [--precision bfloat16]
    python benchmarks/scale.py equal3d FOLDER [--shape 48 1024 1024] [--block 512]
    python benchmarks/scale.py run MODEL STORE.ome.zarr [--workers 1 2] [--block 1024]
    python benchmarks/scale.py kills MODEL STORE.ome.zarr [--kills 20] [--workers 2] [--block 256]

`mosaic` and `generate` write the stores; `equal` compares labels in blocks with those of one pass over the whole image
pixel for pixel up to numbering, and by the average precision at IoU 0.9; `equal3d` does so on a generated volume with
a U-Net of random weights; `run` times workers and their memory; `kills`
ends runs with SIGKILL at random moments and compares what comes of them
with an undisturbed run, byte for byte.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def write_store(path: Path, shape: tuple[int, ...], chunk: tuple[int, ...], part) -> None:
    """An OME-Zarr 0.5 of one level whose chunks `part` makes, by their first pixel."""
    import itertools

    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    array = group.create_array("0", shape=shape, dtype="uint16", chunks=chunk)
    axes = "zyx"[-len(shape) :]
    scale = [{"type": "scale", "scale": [0.5] * len(shape)}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": letter, "type": "space", "unit": "micrometer"} for letter in axes],
                "datasets": [{"path": "0", "coordinateTransformations": scale}],
            }
        ],
    }
    for at in itertools.product(*(range(0, n, side) for n, side in zip(shape, chunk, strict=True))):
        box = tuple(slice(a, min(a + side, n)) for a, side, n in zip(at, chunk, shape, strict=True))
        array[box] = part(at, tuple(one.stop - one.start for one in box))


def mosaic(folder: str, side: int) -> np.ndarray:
    """Rows of real images, each at its own brightness brought to a common range; uint16."""
    from embedseg_napari.core.files.tiff import list_images, read_image

    files = list_images(folder)
    order = iter(np.random.default_rng(0).permutation(len(files)).tolist() * 100)
    out = np.zeros((side, side), np.uint16)
    y = 0
    while y < side:
        x = height = 0
        while x < side:
            image = read_image(files[next(order)]).array
            if image.ndim != 2:
                continue
            low, high = np.percentile(image, [1, 99.8])
            image = np.clip((image - low) / max(high - low, 1) * 4000 + 200, 0, 20000).astype(np.uint16)
            height = height or image.shape[0]
            image = image[: min(height, side - y), : side - x]
            out[y : y + image.shape[0], x : x + image.shape[1]] = image
            x += image.shape[1]
        y += height
    return out


def blobs(shape: tuple[int, ...], seed: int, density: float) -> np.ndarray:
    """Bright blobs on noise, so many per pixel; uint16."""
    rng = np.random.default_rng(seed)
    image = rng.normal(300, 15, shape).astype(np.float32)
    radii = (5.0, 9.0) if len(shape) == 2 else (2.5, 5.0)
    for _ in range(int(density * np.prod(shape))):
        r, center = rng.uniform(*radii), [rng.uniform(0, side) for side in shape]
        box = [(max(0, int(c - 3 * r)), min(n, int(c + 3 * r) + 1)) for c, n in zip(center, shape, strict=True)]
        at = np.ix_(*(np.arange(a, b) for a, b in box))
        distance = sum((one - c) ** 2 for one, c in zip(at, center, strict=True))
        # Flat inside with a soft edge, as nuclei are.
        image[tuple(slice(a, b) for a, b in box)] += rng.uniform(400, 3000) / (
            1 + np.exp(np.sqrt(distance) * 2 - 2 * r)
        )
    return image.clip(0, 65535).astype(np.uint16)


def same_but_for_numbers(one: np.ndarray, other: np.ndarray) -> tuple[int, bool]:
    """Pixels of objects that are not the same in both, and whether all are."""
    key = one.ravel().astype(np.int64) << 32 | other.ravel().astype(np.int64)
    pairs, counts = np.unique(key, return_counts=True)
    left, right = pairs >> 32, pairs & 0xFFFFFFFF
    once = [dict(zip(*np.unique(side, return_counts=True), strict=True)) for side in (left, right)]
    is_fair = np.array([once[0][a] == 1 and once[1][b] == 1 for a, b in zip(left, right, strict=True)])
    return int(counts[~is_fair].sum()), bool(is_fair.all())


def segment(
    model: str, store: Path, name: str, block: int, workers: int = 1, *more: str, precision: str = "float32"
) -> list[str]:
    """The command of a run."""
    words = [model, str(store), "--name", name, "--block", str(block), "--workers", str(workers), "--device", "cpu"]
    return [sys.executable, "-m", "embedseg_napari", "predict", *words, "--precision", precision, *more]


def equal(model: str, store: Path, block: int, precision: str) -> None:
    from embedseg_napari import load_model
    from embedseg_napari.core.evaluation.matching import match
    from embedseg_napari.core.files.in_parts import open_image

    image = np.asarray(open_image(store))
    began = time.monotonic()
    whole = load_model(model, device="cpu").predict(
        image, "ZYX"[-image.ndim :], tile=max(image.shape) // 8 * 8 + 8, precision=precision, progress=False
    )
    print(f"one pass: {len(whole.scores)} objects, {time.monotonic() - began:.0f} s", flush=True)
    subprocess.run(segment(model, store, "equal", block, 1, "--overwrite", precision=precision), check=True)
    labels = np.asarray(open_image(store / "labels" / "equal"))
    n, is_same = same_but_for_numbers(labels, whole.labels)
    ap = match(whole.labels, labels, [0.9])[0].ap
    print(f"pixels that differ: {n}; same: {is_same}; AP at IoU 0.9: {ap:.5f}")


def equal3d(folder: Path, shape: tuple[int, ...], block: int) -> None:
    """As `equal`, with a network of random weights whose thresholds are percentiles of its seed map."""
    import torch

    from embedseg_napari.core.config import ModelConfig, PredictionConfig
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.networks.architectures import build_network

    torch.manual_seed(0)
    network, step = build_network("unet", 3, 1), (1 / 1023,) * 3
    network.set_initial_margin((3.0, 6.0, 6.0), step)
    with torch.no_grad():
        for head, size in zip(network.heads, (0.004, 0.02), strict=True):
            head.output.weight.normal_(0, size)
    config = ModelConfig(architecture="unet", ndim=3, grid_spacing=step)
    image = blobs(shape, 0, 1 / 4000)
    seen = Model(config, network).embed(image[:, :256, :256], "ZYX").seed_map.ravel()
    low, high = np.percentile(seen, [80, 97])
    settings = PredictionConfig(seed_threshold=high, foreground_threshold=low, min_object_size=10)
    folder.mkdir(parents=True, exist_ok=True)
    file = Model(config.model_copy(update={"prediction": settings}), network).save(folder / "random.embedseg")
    write_store(folder / "volume.ome.zarr", shape, (shape[0], 128, 128), lambda at, size: image[
        tuple(slice(a, a + n) for a, n in zip(at, size, strict=True))
    ])  # fmt: skip
    depth = -(-shape[0] // 8) * 8
    from embedseg_napari import load_model
    from embedseg_napari.core.files.in_parts import open_image

    store, began = folder / "volume.ome.zarr", time.monotonic()
    whole = load_model(file, device="cpu").predict(image, "ZYX", tile=(depth, 8192, 8192), progress=False)
    print(f"one pass: {len(whole.scores)} objects, {time.monotonic() - began:.0f} s", flush=True)
    words = segment(str(file), store, "equal", block, 1, "--overwrite", "--halo", "exact", "--tile", f"{depth},768,768")
    words[words.index("--block") + 1] = f"{depth},{block},{block}"
    began = time.monotonic()
    subprocess.run(words, check=True)
    n, is_same = same_but_for_numbers(np.asarray(open_image(store / "labels" / "equal")), whole.labels)
    print(f"in blocks: {time.monotonic() - began:.0f} s; pixels that differ: {n}; same: {is_same}")


def processes_of(group: int) -> list[int]:
    """Processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ProcessLookupError):
                if os.getpgid(int(entry.name)) == group:
                    found.append(int(entry.name))
    return found


def run(model: str, store: Path, workers: list[int], block: int | None) -> None:
    for n in workers:
        words = segment(model, store, f"run{n}", block or 0, n, "--overwrite")
        if block is None:
            at = words.index("--block")
            del words[at : at + 2]
        began = time.monotonic()
        process = subprocess.Popen(words, start_new_session=True)
        peaks: dict[int, int] = {}
        while process.poll() is None:
            for pid in processes_of(process.pid):
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{pid}/status").read_text().split("VmHWM:")
                    if len(status) == 2:
                        peaks[pid] = int(status[1].split()[0])
            time.sleep(0.5)
        most = sorted(peaks.values())[-n:]
        print(
            f"{n} workers: {time.monotonic() - began:.1f} s, peak GB {[round(peak * 1024 / 1e9, 2) for peak in most]}"
        )


def digest(folder: Path) -> str:
    """Of all files of all arrays of a label image, and their names."""
    total = hashlib.blake2s()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.parent != folder:
            total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


def kills(model: str, store: Path, n_kills: int, workers: int, block: int) -> None:
    from embedseg_napari.core.stores.labels import table_place

    def once(name: str, *more: str) -> list[str]:
        return segment(model, store, name, block, workers, "--no-progress", *more)

    began, first = time.monotonic(), 0.0
    process = subprocess.Popen(once("undisturbed", "--overwrite"), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if not first and list((store / "labels" / ".undisturbed.run").rglob("*.npz")):
            first = time.monotonic() - began
        time.sleep(0.05)
    length, wanted = time.monotonic() - began, digest(store / "labels" / "undisturbed")
    rng, n_equal = random.Random(0), 0
    for turn in range(n_kills):
        for place in ("killed", ".killed.run"):
            shutil.rmtree(store / "labels" / place, ignore_errors=True)
        table_place(store, "killed").unlink(missing_ok=True)
        process = subprocess.Popen(once("killed"), start_new_session=True, stdout=subprocess.DEVNULL)
        # Three of four while blocks are done or labels written, one while it starts.
        time.sleep(rng.uniform(first, length) if turn % 4 else rng.uniform(0.1, first))
        everyone = processes_of(process.pid)
        # Every third time one of its processes, at random; else all at once.
        for pid in [rng.choice(everyone)] if turn % 3 == 2 and everyone else everyone:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            process.wait(timeout=4 * length + 60)
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        done = len(list((store / "labels" / ".killed.run").rglob("*.npz")))
        subprocess.run(once("killed"), check=True, stdout=subprocess.DEVNULL)
        is_equal = digest(store / "labels" / "killed") == wanted
        n_equal += is_equal
        print(f"kill {turn + 1}: {done} blocks done before, equal afterwards: {is_equal}", flush=True)
    print(f"{n_equal} of {n_kills} equal, byte for byte")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["mosaic", "generate", "equal", "equal3d", "run", "kills"])
    parser.add_argument("places", nargs="+", type=Path)
    parser.add_argument("--side", type=int)
    parser.add_argument("--shape", type=int, nargs=3, default=[48, 1024, 1024])
    parser.add_argument("--block", type=int)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    given = parser.parse_args()
    first, last = given.places[0], given.places[-1]
    if given.what == "mosaic":
        image = mosaic(str(first), given.side or 4096)
        write_store(last, image.shape, (512, 512), lambda at, size: image[
            at[0] : at[0] + size[0], at[1] : at[1] + size[1]
        ])  # fmt: skip
    elif given.what == "generate":
        side = given.side or 8192
        write_store(last, (side, side), (1024, 1024), lambda at, size: blobs(size, at[0] * side + at[1], 1 / 1074))
    elif given.what == "equal":
        equal(str(first), last, given.block or 1024, given.precision)
    elif given.what == "equal3d":
        equal3d(first, tuple(given.shape), given.block or 512)
    elif given.what == "run":
        run(str(first), last, given.workers, given.block)
    else:
        kills(str(first), last, given.kills, given.workers[-1], given.block or 256)


if __name__ == "__main__":
    main()
