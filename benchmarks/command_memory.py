"""Peak memory and CPU seconds of `embedseg predict`, of this version and others, in turns.

    python benchmarks/command_memory.py mosaic IMAGES_FOLDER BIG.tif [--side 8192]
    python benchmarks/command_memory.py movie IMAGES_FOLDER MOVIE.tif [--frames 200] [--side 512]
    git worktree add ../before COMMIT
    python benchmarks/command_memory.py run MODEL IMAGE.tif [--versions ../before] [--turns 3]

`mosaic` and `movie` write files of real images, side by side. `run` also says whether the labels are the same.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent


def mosaic(folder: str, side: int) -> np.ndarray:
    """Rows of real images, uint8."""
    from scale import mosaic as rows

    return np.minimum(rows(folder, side) // 17, 255).astype(np.uint8)


def digest(path: Path) -> str:
    """A number that stands for the labels of a file.

    They are read plane by plane: Linux counts what this process has taken as the peak of the next that it starts.
    """
    import tifffile

    found = hashlib.blake2b()
    with tifffile.TiffFile(path) as tif:
        for page in tif.pages:
            found.update(page.asarray().tobytes())
    return found.hexdigest()


def one(model: str, image: Path, version: Path, out: Path) -> tuple[float, float, str]:
    """Peak memory in GB, CPU seconds and labels of one run, on one thread."""
    command = [sys.executable, "-m", "embedseg_napari", "predict", model, str(image), "-o", str(out), "--no-progress"]
    environment = os.environ | {"PYTHONPATH": str(version / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--overwrite"], env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed.")
    # Linux counts it in KiB.
    return used.ru_maxrss * 1024 / 1e9, used.ru_utime + used.ru_stime, digest(out / f"{image.stem}.tif")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["mosaic", "movie", "run"])
    parser.add_argument("first", help="folder of images, or model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--side", type=int)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--versions", type=Path, nargs="*", default=[])
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    if given.what != "run":
        import tifffile

        if given.what == "mosaic":
            tifffile.imwrite(given.file, mosaic(given.first, given.side or 8192))
            return
        side, whole = given.side or 512, mosaic(given.first, 2048)
        starts = np.random.default_rng(0).integers(0, 2048 - side, (given.frames, 2))
        movie = np.stack([whole[y : y + side, x : x + side] for y, x in starts])
        tifffile.imwrite(given.file, movie, imagej=True, metadata={"axes": "TYX"})
        return
    versions = [*given.versions, HERE]
    rows: dict[Path, list[tuple[float, float]]] = {version: [] for version in versions}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(given.turns):
            labels = []
            for version in versions:
                peak, seconds, found = one(given.first, given.file, version.resolve(), Path(folder))
                rows[version].append((peak, seconds))
                labels.append(found)
            print("same labels" if all(labels[0] == other for other in labels[1:]) else "OTHER LABELS")
    for version, measured in rows.items():
        peak, seconds = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"{version}: {peak:.2f} GB, {seconds:.1f} s")


if __name__ == "__main__":
    main()
