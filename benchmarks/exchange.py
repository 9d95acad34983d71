"""Time exporting and importing 100,000 objects, with the size of the files and the most memory beyond the labels.

Each gives the label image back. Linux only: the peak of memory is the kernel's.

python benchmarks/exchange.py
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from measure import ellipses

import embedseg_napari as es

FILES = {
    "imagej": "rois.zip",
    "geojson": "objects.geojson",
    "coco": "objects.json",
    "ome-tiff": "labels.ome.tif",
    "ome-zarr": "labels.ome.zarr",
}
READABLE = ("imagej", "geojson", "coco")
STATUS = Path("/proc/self/status")


def memory(name: str) -> int:
    """A line of this process's status in bytes: VmRSS is what it holds, VmHWM the most since it was reset."""
    return int(STATUS.read_text().split(f"{name}:")[1].split()[0]) * 1024


def reset() -> int:
    """Forget the highest use of memory so far; returns what is held now."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def main() -> None:
    labels = ellipses((6336, 6336), (20, 20), 100_000)
    table = es.measure(labels, spacing=(0.2, 0.2))
    with tempfile.TemporaryDirectory() as folder:
        for kind, name in FILES.items():
            path = Path(folder) / name
            before, began = reset(), time.perf_counter()
            es.export_labels(labels, path, kind, "YX", table=table)
            seconds, extra = time.perf_counter() - began, (memory("VmHWM") - before) / labels.nbytes
            files = [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]
            size = sum(file.stat().st_size for file in files) / 1e6
            print(f"{kind}: written in {seconds:.1f} s with {extra:.2f} times the labels ({size:.0f} MB)", flush=True)
            if kind not in READABLE:
                continue
            before, began = reset(), time.perf_counter()
            back = es.import_labels(path, labels.shape)
            seconds, extra = time.perf_counter() - began, (memory("VmHWM") - before) / labels.nbytes
            same = "the same labels" if np.array_equal(back, labels) else "OTHER LABELS"
            print(f"{kind}: read in {seconds:.1f} s with {extra:.2f} times the labels: {same}", flush=True)
            del back


if __name__ == "__main__":
    main()
