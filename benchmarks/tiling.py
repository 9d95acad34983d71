"""How much of the network's output survives cutting an image into tiles, by tile size and overlap.

    python benchmarks/tiling.py MODEL IMAGES_FOLDER [--side 2048] [--precision float32]

A mosaic of real images is embedded whole and in tiles; objects are compared at IoU 0.5 and 0.9 (1 is perfect), offsets
by the distance in pixels between where a foreground pixel points in either case.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.core.inference.clustering import warm_up
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.runs import drain

TRIALS = [(1152, 0), (1152, 32), (1152, 64), (1152, 128), (1152, 256), (512, 32), (512, 64), (512, 128), (256, 64)]
PIECE = 512


def mosaic(folder: str, side: int, model: Model) -> np.ndarray:
    """Normalised image of side x side pixels, from the first images of the folder that are large enough."""
    n = -(-side // PIECE)
    pieces: list[np.ndarray] = []
    for path in list_images(folder):
        array = read_image(path).array
        if array.ndim == 2 and min(array.shape) >= PIECE:
            pieces.append(normalize(array[None, :PIECE, :PIECE], model.config.normalization)[0])
        if len(pieces) == n * n:
            break
    if not pieces:
        raise SystemExit(f"{folder}: holds no grey image of {PIECE} x {PIECE} pixels.")
    return np.block([[pieces[(row * n + column) % len(pieces)] for column in range(n)] for row in range(n)])[
        :side, :side
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("images")
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--precision", default="float32")
    given = parser.parse_args()
    model = load_model(given.model)
    image = mosaic(given.images, given.side, model)
    warm_up(wait=True)

    def segment(tile: int, overlap: int):
        changes = {"tile": (tile, tile), "tile_overlap": (overlap, overlap), "precision": given.precision}
        settings = PredictionConfig.parse({**model.config.prediction.model_dump(), **changes})
        began = time.perf_counter()
        found = drain(Predictor(model, settings).run(image, "YX", normalize=False))
        return found, time.perf_counter() - began

    whole, seconds = segment(-(-given.side // 8) * 8, 0)
    inside = whole.maps.seed_map > model.config.prediction.foreground_threshold
    print(f"whole {given.side} x {given.side}: {whole.labels.max()} objects, {seconds:.1f} s")
    print("tile overlap seconds objects AP@0.5 AP@0.9 offsets apart: mean, 99.9 %, most")
    for tile, overlap in TRIALS:
        found, seconds = segment(tile, overlap)
        ap = [row.ap for row in match(whole.labels, found.labels, iou_thresholds=(0.5, 0.9))]
        apart = np.sqrt(((found.maps.offsets - whole.maps.offsets) ** 2).sum(0))[inside]
        spread = [apart.mean(), np.percentile(apart, 99.9), apart.max()] if apart.size else [0.0] * 3
        print(
            f"{tile:4d} {overlap:7d} {seconds:7.1f} {found.labels.max():7d} {ap[0]:6.4f} {ap[1]:6.4f} "
            f"{spread[0]:.3f} {spread[1]:.3f} {spread[2]:.2f} px"
        )


if __name__ == "__main__":
    main()
