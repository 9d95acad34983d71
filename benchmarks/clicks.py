"""How often a click gives the object: IoU with the truth, at random pixels of random objects.

    python benchmarks/clicks.py DATASET [--models MODEL ...] [--images 50] [--clicks 4]

Every image is clicked on by itself: without maps, and with those of each model, with the median extent of the image's
true objects as the usual one. Printed are the part of the clicks with an IoU of 0.7 and more, the mean IoU, the part
that the maps answered, and milliseconds of a click.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from scipy import ndimage

import embedseg_napari as es
from embedseg_napari.core.annotation.click import Surroundings, object_under
from embedseg_napari.core.data.pairs import find_dataset, load_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--clicks", type=int, default=4, help="of each image")
    options = parser.parse_args()
    torch.set_num_threads(1)
    examples = load_folder(find_dataset(options.dataset)[0])
    examples = examples[:: max(1, len(examples) // options.images)][: options.images]
    for name in [None, *options.models]:
        model = None if name is None else es.load_model(name)
        rng, found = np.random.default_rng(0), []
        for example in examples:
            truth = example.instances
            boxes = [box for box in ndimage.find_objects(truth) if box is not None] if not example.is_planes else []
            if not boxes:
                continue
            extent = np.median([[side.stop - side.start for side in box] for box in boxes], axis=0)
            axes = "CZYX"[-truth.ndim - 1 :] if truth.ndim == 3 else "CYX"
            maps = None if model is None else model.embed(example.image, axes, on_event=lambda event: None)
            around = Surroundings(example.image.mean(0, dtype=np.float32), extent, maps)
            ids = np.unique(truth[truth > 0])
            for number in rng.choice(ids, min(options.clicks, len(ids)), replace=False):
                places = np.argwhere(truth == number)
                click = tuple(places[rng.integers(len(places))][:, None])
                start = time.perf_counter()
                result = object_under(around, [click])
                seconds = time.perf_counter() - start
                n_shared = np.count_nonzero(truth[result.pixels] == number)
                iou = n_shared / (len(places) + len(result.pixels[0]) - n_shared)
                found.append((iou, result.is_known, seconds))
        ious, known, seconds = np.array(found).T
        print(
            f"{name or 'image'}: {len(ious)} clicks, {(ious >= 0.7).mean():.3f} with IoU 0.7, mean {ious.mean():.2f}; "
            f"{known.mean():.2f} by maps; median {1e3 * np.median(seconds):.1f} ms, longest {1e3 * seconds.max():.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
