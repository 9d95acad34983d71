"""Time exporting and importing 100,000 objects, and the size of the files; each gives the label image back.

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

FILES = {"imagej": "rois.zip", "geojson": "objects.geojson", "coco": "objects.json"}


def main() -> None:
    labels = ellipses((6336, 6336), (20, 20), 100_000)
    table = es.measure(labels, spacing=(0.2, 0.2))
    with tempfile.TemporaryDirectory() as folder:
        for kind, name in FILES.items():
            path = Path(folder) / name
            began = time.perf_counter()
            es.export_labels(labels, path, kind, table=table)
            written = time.perf_counter()
            back = es.import_labels(path, labels.shape)
            read = time.perf_counter() - written
            same = "the same labels" if np.array_equal(back, labels) else "OTHER LABELS"
            size = path.stat().st_size / 1e6
            print(f"{kind}: written in {written - began:.1f} s ({size:.0f} MB), read in {read:.1f} s: {same}")


if __name__ == "__main__":
    main()
