"""What a short round from a bundled model does to the image it was painted in, and to others.

    python benchmarks/start_models.py DATASET --start MODEL [--kind 256x256] [--only REGEX] [--spacing Z,Y,X]
                                      [--painted 8] [--steps 128] [--seeds 0 1] [--setting NAME=JSON] [--json FILE]
    python benchmarks/start_models.py --table FILE...

DATASET is a folder with `images/` and `masks/`; `--only` keeps images whose names match, `--kind` those of one shape,
which should be images that the model never saw. A simulated person paints all objects in a box or two of one image,
`--painted` of them, and marks a square of background. One round with the preset `few` follows, of so many steps, with
one thread. Mean AP at IoU 0.5 of that whole image and of `--others` further ones, before the round and after it.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from annotator import divide, setting
from simulated_person import Person, Sheet

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.runs import drain, unheard
from embedseg_napari.core.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.model.model import Model

GROUP, STEPS_PER_EPOCH = 5, 16


def mean_ap(model: Model, examples: Sequence[Example]) -> float:
    """Mean AP at IoU 0.5."""
    values = []
    for one in examples:
        found = model.predict(one.image, model.config.axes, progress=False, on_event=unheard).labels
        values.append(match(one.instances, found, [0.5], planes=False)[0].ap)
    return round(float(np.mean(values)), 3)


def paint(example: Example, n: int, seed: int) -> Sheet:
    """An image in which `n` objects are painted."""
    sheet, person = Sheet(example), Person(seed)
    while person.effort.painted < n and person.paint_group(sheet, min(GROUP, n - person.effort.painted)):
        pass
    return sheet


def measure(options: argparse.Namespace, examples: list[Example], seed: int) -> dict[str, object]:
    """One round."""
    pool, others = divide(examples, options.kind, options.others, options.others_match, seed)
    painted = next(one for one in pool if len(np.unique(one.instances)) > options.painted)
    start = load_model(options.start, "cpu")
    before = mean_ap(start, [painted]), mean_ap(start, others)
    length = {"epochs": max(1, options.steps // STEPS_PER_EPOCH), "steps_per_epoch": STEPS_PER_EPOCH}
    config = TrainingConfig.preset("few", seed=seed, **length, **dict(options.setting))
    began = time.monotonic()
    model = drain(Trainer(config, [paint(painted, options.painted, seed).example], [], start).run()).model
    return {
        "images": f"{Path(options.dataset).parent.name} {options.kind or ''}".strip(),
        "start": options.start,
        "name": options.name,
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "before_painted": before[0],
        "after_painted": mean_ap(model, [painted]),
        "before_others": before[1],
        "after_others": mean_ap(model, others),
        "share_trained": model.config.training["share_trained"],
        "min_object_size": model.config.prediction.min_object_size,
    }


def table(files: Sequence[Path]) -> str:
    """Markdown: one line for each kind of image and recipe, means over seeds."""
    groups = defaultdict(list)
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            groups[row["images"], row["start"], row["name"]].append(row)
    lines = ["| images | start | recipe | painted image | other images | trained share |", "|---|---|---|---|---|---|"]
    for (images, start, name), rows in groups.items():
        mean = {key: np.mean([row[key] for row in rows]) for key in rows[0] if isinstance(rows[0][key], float | int)}
        change = {what: f"{mean[f'before_{what}']:.3f} → {mean[f'after_{what}']:.3f}" for what in ("painted", "others")}
        lines.append(
            f"| {images} ({len(rows)}) | `{start}` | {name} | {change['painted']} | {change['others']} "
            f"| {mean['share_trained']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all rounds and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?")
    parser.add_argument("--start")
    parser.add_argument("--name", default="as it is")
    parser.add_argument("--kind")
    parser.add_argument("--only", metavar="REGEX", default="")
    parser.add_argument("--spacing", metavar="Z,Y,X", help="size of a voxel")
    parser.add_argument("--painted", type=int, default=8)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--others", type=int, default=5, help="images to score on")
    parser.add_argument("--others-match", metavar="REGEX", help="score on images whose names begin like this")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--setting", type=setting, action="append", default=[], metavar="NAME=JSON")
    parser.add_argument("--json", type=Path, help="rows are added to this file")
    parser.add_argument("--table", type=Path, nargs="+", help="print a table of such files instead")
    options = parser.parse_args()
    if options.table:
        print(table(options.table))
        return
    torch.set_num_threads(1)
    spacing = None if options.spacing is None else [float(step) for step in options.spacing.split(",")]
    examples = [one for one in load_folder(options.dataset, spacing=spacing) if re.search(options.only, one.name)]
    for seed in options.seeds:
        row = json.dumps(measure(options, examples, seed))
        print(row, flush=True)
        if options.json is not None:
            with options.json.open("a", encoding="utf-8") as file:
                file.write(row + "\n")


if __name__ == "__main__":
    main()
