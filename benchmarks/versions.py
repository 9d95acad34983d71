"""CPU seconds of predictions in this version and another one, in turns, a process for each.

    git worktree add ../before COMMIT
    python benchmarks/versions.py ../before [--turns 3] [--cases 2048 volume 4096]

One thread; each process predicts the same generated image three times, and the first does not count. Interpreter,
models and engine of each side can be chosen, here those of an environment with OpenVINO for this version alone:

    python benchmarks/versions.py ../before --python-here fast/bin/python --models-here 2d.embedseg 3d.embedseg
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

CASES = {"2048": (2048, 2048), "4096": (4096, 4096), "volume": (64, 512, 512)}
MODELS = ["nuclei-2d", "nuclei-3d"]


@dataclass
class Side:
    """One of the two that are compared."""

    folder: Path
    python: str
    models: list[str]
    engine: str | None
    seconds: list[float] = field(default_factory=list)
    n_objects: str = ""

    def time(self, case: str) -> None:
        """Predict in a process of its own."""
        words = [self.python, __file__, str(self.folder), "--child", case, self.models[len(CASES[case]) - 2]]
        paths = {**os.environ, "PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"}
        if self.engine is not None:
            words.append(self.engine)
        took, self.n_objects = subprocess.check_output(words, env=paths, text=True).split()
        self.seconds.append(float(took))


def predict(case: str, name: str, engine: str | None = None) -> None:
    """Print median seconds and the number of objects."""
    import numpy as np
    import torch

    import embedseg_napari as es
    from embedseg_napari.core.data.synthetic import nuclei

    torch.set_num_threads(1)
    shape = CASES[case]
    piece = nuclei(tuple(min(side, 1024 if len(shape) == 2 else 256) for side in shape)).image
    image = np.tile(piece, [-(-side // n) for side, n in zip(shape, piece.shape, strict=True)])
    image = image[tuple(slice(side) for side in shape)]
    model, seconds, n_objects = es.load_model(name, device="cpu"), [], 0
    # Earlier versions have no engines.
    settings = {} if engine is None else {"engine": engine}
    for _ in range(3):
        start = time.process_time()
        n_objects = int(model.predict(image, "ZYX"[-len(shape) :], **settings).labels.max())
        seconds.append(time.process_time() - start)
    print(statistics.median(seconds[1:]), n_objects)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="folder of the other version")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    for side, words in (("here", "this version"), ("other", "the other version")):
        parser.add_argument(f"--python-{side}", default=sys.executable, help=f"interpreter that runs {words}")
        parser.add_argument(f"--models-{side}", nargs=2, metavar=("2D", "3D"), default=MODELS, help=f"of {words}")
        parser.add_argument(f"--engine-{side}", help=f"of {words}; default: what its model says")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        predict(*options.child)
        return
    here = Path(__file__).resolve().parents[1]
    for case in options.cases:
        sides = (
            Side(options.other.resolve(), options.python_other, options.models_other, options.engine_other),
            Side(here, options.python_here, options.models_here, options.engine_here),
        )
        for _ in range(options.turns):
            for side in sides:
                side.time(case)
        before, now = (statistics.median(side.seconds) for side in sides)
        found = " / ".join(side.n_objects for side in sides)
        print(f"{case}: {before:.2f} / {now:.2f} s, {before / now:.2f} times as fast; {found} objects", flush=True)


if __name__ == "__main__":
    main()
