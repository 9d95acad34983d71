"""Time the report of many images, and its size and memory: the images of a folder and their masks, repeated.

The masks stand for what a model finds. Linux only: the peak of memory is the kernel's.

python benchmarks/report.py DATASET/val --images 500
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from exchange import memory, reset

import embedseg_napari as es
from embedseg_napari.core.axes import guess_axes
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.jobs.folder.plan import FolderJob, Output
from embedseg_napari.jobs.folder.report import FolderReport


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="Folder with images/ and masks/.")
    parser.add_argument("--images", type=int, nargs="+", default=[50, 500, 5000], help="How many, one after the other.")
    arguments = parser.parse_args()
    images = list_images(arguments.dataset / "images")
    model = es.load_model("nuclei-2d", device="cpu")
    for n in arguments.images:
        with tempfile.TemporaryDirectory() as folder:
            job = FolderJob((arguments.dataset,), Path(folder), "nuclei-2d", "cpu", {})
            before, began, reading = reset(), time.perf_counter(), 0.0
            with FolderReport(job, n) as report:
                for index in range(n):
                    image = images[index % len(images)]
                    start = time.perf_counter()
                    array = read_image(image).array
                    labels = read_image(arguments.dataset / "masks" / image.name, labels=True).array
                    reading += time.perf_counter() - start
                    axes = guess_axes(array.shape, 2, 1)
                    report.add(Output(image, Path(folder) / image.name), array, axes, labels, 0.9, [])
                page = report.write([], model, is_stopped=False)
            seconds, extra = time.perf_counter() - began - reading, memory("VmHWM") - before
            size = page.stat().st_size / 1e6
            print(f"{n} images: {seconds:.1f} s, {size:.2f} MB, peak of memory +{extra / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    main()
