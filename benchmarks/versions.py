"""CPU seconds of predictions in this version and another one, in turns, a process for each.

    git worktree add ../before COMMIT
    python benchmarks/versions.py ../before [--turns 3] [--cases 2048 volume 4096]

One thread; each process predicts the same generated image three times, and the first does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

CASES = {
    "2048": ("nuclei-2d", (2048, 2048)),
    "4096": ("nuclei-2d", (4096, 4096)),
    "volume": ("nuclei-3d", (64, 512, 512)),
}


def predict(case: str) -> None:
    """Print median seconds and the number of objects."""
    import numpy as np
    import torch

    import embedseg_napari as es
    from embedseg_napari.core.data.synthetic import nuclei

    torch.set_num_threads(1)
    name, shape = CASES[case]
    piece = nuclei(tuple(min(side, 1024 if len(shape) == 2 else 256) for side in shape)).image
    image = np.tile(piece, [-(-side // n) for side, n in zip(shape, piece.shape, strict=True)])
    image = image[tuple(slice(side) for side in shape)]
    model, seconds, n_objects = es.load_model(name), [], 0
    for _ in range(3):
        start = time.process_time()
        n_objects = int(model.predict(image, "ZYX"[-len(shape) :]).labels.max())
        seconds.append(time.process_time() - start)
    print(statistics.median(seconds[1:]), n_objects)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="folder of the other version")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        predict(options.child)
        return
    here = Path(__file__).resolve().parents[1]
    for case in options.cases:
        seconds: dict[Path, list[float]] = {options.other.resolve(): [], here: []}
        n_objects = {}
        for _ in range(options.turns):
            for version, times in seconds.items():
                words = [sys.executable, __file__, str(version), "--child", case]
                paths = {**os.environ, "PYTHONPATH": str(version / "src"), "OMP_NUM_THREADS": "1"}
                took, n_objects[version] = subprocess.check_output(words, env=paths, text=True).split()
                times.append(float(took))
        before, now = map(statistics.median, seconds.values())
        found = " / ".join(n_objects.values())
        print(f"{case}: {before:.2f} / {now:.2f} s, {before / now:.2f} times as fast; {found} objects", flush=True)


if __name__ == "__main__":
    main()
