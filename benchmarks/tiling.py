"""How much of what a model finds survives cutting an image into tiles, by overlap; and what the overlap costs.

    python benchmarks/tiling.py MODEL IMAGES_FOLDER [--shape 2048,2048] [--tile 1152,1152] [--overlaps 0 32 64]

A mosaic of real images (of that shape in pixels that the network sees) is segmented whole and in tiles. An object
agrees where its partner has an IoU of 0.9 or more; the smaller share counts, of the objects of the whole or of the
tiles. Offsets are compared by the distance in pixels between where a foreground pixel points in either case. The work
is the pixels of all tiles over those of the image.
"""

from __future__ import annotations

import argparse
import itertools
import math

import numpy as np

from embedseg_napari.core.clustering.clustering import warm_up
from embedseg_napari.core.config import PredictionConfig
from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.core.inference.predictor import Predictor
from embedseg_napari.core.inference.tiling import best_tile, plan_tiles, resolve_tile
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.core.runs import drain

PIECE = {2: (256, 256), 3: (48, 112, 112)}


def mosaic(folder: str, shape: tuple[int, ...], model: Model) -> np.ndarray:
    """Normalised image (C, (Z,) Y, X) of the middles of the folder's images, one after the other."""
    ndim, scale = model.config.ndim, model.config.reference_scale
    piece = [min(round(side / scale), n) for side, n in zip(PIECE[ndim], shape, strict=True)]
    pieces: list[np.ndarray] = []
    cells = list(itertools.product(*(range(0, n, side) for n, side in zip(shape, piece, strict=True))))
    files = list_images(folder)
    for path in np.random.default_rng(0).permutation(np.array(files, object)):
        array = read_image(path).array
        colours = array.shape[-1] if model.config.n_channels > 1 else 0
        image = np.moveaxis(array, -1, 0) if colours else array[None]
        if image.ndim != ndim + 1 or any(n < side for n, side in zip(image.shape[1:], piece, strict=True)):
            continue
        middle = [
            slice((n - side) // 2, (n - side) // 2 + side) for n, side in zip(image.shape[1:], piece, strict=True)
        ]
        pieces.append(normalize(image, model.config.normalization)[(slice(None), *middle)])
        if len(pieces) == len(cells):
            break
    if not pieces:
        raise SystemExit(f"{folder}: holds no image of {' x '.join(map(str, piece))} pixels that the model takes.")
    out = np.empty((model.config.n_channels, *shape), np.float32)
    for at, values in zip(cells, itertools.cycle(pieces), strict=False):
        box = tuple(slice(a, a + side) for a, side in zip(at, piece, strict=True))
        room = out[(slice(None), *box)]
        room[...] = values[(slice(None), *map(slice, room.shape[1:]))]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("images")
    parser.add_argument("--shape", default="2048,2048")
    parser.add_argument("--tile", help="Default: the best that memory allows.")
    parser.add_argument("--overlaps", nargs="+", default=["0", "32", "64", "96", "128", "192", "256"])
    parser.add_argument("--precision", help="Default: that of the model.")
    given = parser.parse_args()
    model = load_model(given.model, device="cpu")
    ndim, scale = model.config.ndim, model.config.reference_scale
    seen = tuple(map(int, given.shape.split(",")))
    tile = tuple(map(int, given.tile.split(","))) if given.tile else None
    image = mosaic(given.images, tuple(round(n / scale) for n in seen), model)
    warm_up(wait=True)

    def segment(sides: tuple[int, ...], overlap: tuple[int, ...]):
        changes = {"tile": sides, "tile_overlap": overlap, "precision": given.precision, "engine": "torch"}
        settings = PredictionConfig.parse(model.config.prediction.changed(changes).model_dump())
        return drain(Predictor(model, settings).run(image, model.config.axes, normalize=False))

    whole = segment(tuple(-(-n // 8) * 8 + 8 for n in seen), (0,) * ndim)
    inside = whole.maps.seed_map > model.config.prediction.foreground_threshold
    print(f"{given.model}, {given.images}: {whole.labels.max()} objects in {' x '.join(map(str, seen))}")
    print("tiles overlap work objects agree (apart) offsets apart: mean, 99.9 %, most")
    for text in given.overlaps:
        numbers = tuple(map(int, text.split(",")))
        sizes, overlap = resolve_tile(ndim, tile, numbers if len(numbers) > 1 else numbers * ndim)
        sizes = sizes if tile else best_tile(seen, overlap)
        tiles = plan_tiles(seen, sizes, overlap)
        found = segment(sizes, overlap)
        row = match(whole.labels, found.labels, iou_thresholds=(0.9,))[0]
        apart = np.sqrt(((found.maps.offsets - whole.maps.offsets) ** 2).sum(0))[inside]
        spread = [apart.mean(), np.percentile(apart, 99.9), apart.max()] if apart.size else [0.0] * 3
        print(
            f"{len(tiles)} of {'x'.join(map(str, tiles[0].shape))} {','.join(map(str, overlap))} "
            f"{len(tiles) * math.prod(tiles[0].shape) / math.prod(seen):.3f} "
            f"{found.labels.max()} {min(row.precision, row.recall):.4f} ({row.fn}) "
            f"{spread[0]:.3f} {spread[1]:.3f} {spread[2]:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
