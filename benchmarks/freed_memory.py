"""CPU seconds and peak memory of predictions with freed memory kept and without, in turns, a process for each.

    python benchmarks/freed_memory.py [--turns 3] [--thread]

`--thread` predicts in a thread other than the main one, as the viewer does; there glibc has other memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import threading
import time

CASES = {
    "2048": ("nuclei-2d", (2048, 2048)),
    "4096": ("nuclei-2d", (4096, 4096)),
    "volume": ("nuclei-3d", (64, 512, 512)),
}


def predict(case: str, is_kept: bool) -> None:
    """Print median seconds of two predictions after one that is not counted, and the peak in GB."""
    import numpy as np
    import torch

    from embedseg_napari.core import freed_memory
    from embedseg_napari.core.clustering.clustering import warm_up
    from embedseg_napari.core.data.synthetic import nuclei
    from embedseg_napari.core.model.model import load_model

    torch.set_num_threads(1)
    if not is_kept:
        freed_memory._glibc = lambda: None
    name, shape = CASES[case]
    piece = nuclei(tuple(min(side, 512 if len(shape) == 2 else 128) for side in shape)).image
    image = np.tile(piece, [-(-side // n) for side, n in zip(shape, piece.shape, strict=True)])
    image = image[tuple(slice(side) for side in shape)]
    warm_up(wait=True)
    model, seconds = load_model(name, device="cpu"), []
    for _ in range(3):
        start = time.process_time()
        model.predict(image, "ZYX"[-len(shape) :])
        seconds.append(time.process_time() - start)
    print(statistics.median(seconds[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--thread", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        case, kept = options.child
        if options.thread:
            thread = threading.Thread(target=predict, args=(case, kept == "kept"))
            thread.start()
            thread.join()
        else:
            predict(case, kept == "kept")
        return
    for case, (name, shape) in CASES.items():
        found: dict[str, list[list[float]]] = {"given back": [], "kept": []}
        for _ in range(options.turns):
            for way, rows in found.items():
                command = [sys.executable, __file__, "--child", case, way, *["--thread"] * options.thread]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rows.append([float(value) for value in done.stdout.split()])
        (before, less), (after, more) = (
            [statistics.median(column) for column in zip(*rows, strict=True)] for rows in found.values()
        )
        print(
            f"{name}, {' x '.join(map(str, shape))}: {before:.2f} s and {less:.2f} GB given back, {after:.2f} s and "
            f"{more:.2f} GB kept: {before / after:.2f} times as fast",
            flush=True,
        )


if __name__ == "__main__":
    main()
