"""What of a training's time goes into steps, and what into all that is around them.

    python benchmarks/overhead.py DATASET [--minutes 3] [--presets fast few paper] [--images 60] [--group PATTERN]

Seconds of the processor in one thread, from the first step to the model that is handed over; previews as the panels ask
for them, of the first image.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import defaultdict
from functools import partial
from typing import Any

import torch

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import find_dataset, load_folder
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training import previews
from embedseg_napari.core.training.run import TrainingRun
from embedseg_napari.core.training.trainer import Trainer
from embedseg_napari.core.training.validation import Validator

PARTS = {
    "steps": (TrainingRun, "step"),
    "validation": (TrainingRun, "_validate"),
    "previews": (previews, "_preview"),
    "thresholds and precision": (Validator, "choose_prediction"),
}


def timed(owner: Any, name: str, part: str, seconds: dict[str, float]) -> None:
    """Let a method add to the seconds of its part."""
    original = getattr(owner, name)

    def run(*args: Any, **options: Any) -> Any:
        before = time.process_time()
        try:
            return original(*args, **options)
        finally:
            seconds[part] += time.process_time() - before

    setattr(owner, name, run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--presets", nargs="+", default=["fast", "few", "paper"])
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--group", metavar="PATTERN", help="regular expression; images whose names share it are alike")
    options = parser.parse_args()
    torch.set_num_threads(1)
    examples = load_folder(find_dataset(options.dataset)[0])
    if options.group:
        examples.sort(key=lambda example: re.findall(options.group, example.name)[0])
    examples = examples[: options.images]
    seconds: dict[str, float] = defaultdict(float)
    for part, (owner, name) in PARTS.items():
        timed(owner, name, part, seconds)
    # The clock starts with the first step: reading and compiling are looked at by other benchmarks.
    first: list[float] = []
    step = TrainingRun.step

    def noted(*args: Any) -> Any:
        first.append(time.process_time())
        return step(*args)

    TrainingRun.step = noted
    for preset in options.presets:
        seconds.clear()
        first.clear()
        n_held_out = 0 if preset == "few" else max(1, len(examples) // 10)
        training, validation = examples[n_held_out:], examples[:n_held_out]
        config = TrainingConfig.preset(preset, minutes=options.minutes)
        few = training[:2] if preset == "few" else training
        drain(Trainer(config, few, validation, preview=partial(few.__getitem__, 0)).run())
        total = time.process_time() - first[0]
        around = total - seconds["steps"]
        rest = ", ".join(f"{part} {100 * s / total:.1f} %" for part, s in seconds.items() if part != "steps")
        print(
            f"{preset}: {len(first)} steps, {total:.0f} s, of which {100 * around / total:.1f} % around the steps "
            f"({rest})",
            flush=True,
        )


if __name__ == "__main__":
    main()
