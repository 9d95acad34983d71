"""What a training learns from one image: each draw another one, scored on others of its kind.

    python benchmarks/one_image.py run DATASET [--kind 256x256] [--start MODEL] [--draws 5] [--scored 12] [--steps 768]
                                   [--set SETTING=JSON] --name NAME --json rows.jsonl
    python benchmarks/one_image.py run VOLUMES --axes ZYX --spacing 2.18,1,1 --group "Emb.." [--planes 3] ...
    python benchmarks/one_image.py table rows.jsonl

Images are drawn at random from the training part of the data set, none is chosen; `--kind` keeps those of one shape.
Images in whose names the `--group` is the same are not scored (another plane, another hour of the same embryo). With
`--planes`, labels are known on so many planes of a volume only, spread over its objects; all others are unknown.
A start model must never have been trained on that data set. Steps are counted, not minutes, so that a busy machine does
not matter; the seconds of the processor are noted beside them (one thread: OMP_NUM_THREADS=1). Printed is AP at IoU 0.5
and 0.7: the mean of all draws, that of the start model as it is on the same images, and each draw.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from recipes import nested

if TYPE_CHECKING:
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.model.model import Model

IOUS = (0.5, 0.7)


def group_of(name: str, pattern: str | None) -> str:
    found = None if pattern is None else re.search(pattern, name)
    return name if found is None else found[0]


def on_planes(example: Example, n: int) -> Example:
    """A volume of whose labels `n` planes are known, at even steps from its first object to its last."""
    depths = np.flatnonzero(example.instances.any((1, 2)))
    ignore = np.ones(example.instances.shape, bool)
    ignore[np.unique(np.linspace(depths[0], depths[-1], n + 2).round().astype(int)[1:-1])] = False
    return dataclasses.replace(example, ignore=ignore)


def mean_ap(model: Model, examples: list[Example]) -> list[float]:
    """AP at each of the IoUs, mean over images."""
    from embedseg_napari.core.evaluation.matching import match
    from embedseg_napari.core.runs import unheard

    aps = []
    for one in examples:
        # A start that was made for images of one colour is shown the others' mean, as in a training.
        image = one.image if len(one.image) == model.config.n_channels else one.image.mean(0, keepdims=True)
        found = model.predict(image, model.config.axes, spacing=one.spacing, progress=False, on_event=unheard).labels
        aps.append([score.ap for score in match(one.instances, found, iou_thresholds=IOUS)])
    return np.mean(aps, axis=0).round(4).tolist()


def run(given: argparse.Namespace) -> None:
    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.pairs import find_dataset, load_folder
    from embedseg_napari.core.model.model import load_model
    from embedseg_napari.core.runs import drain
    from embedseg_napari.core.training.trainer import Trainer

    examples = [
        one
        for one in load_folder(find_dataset(given.dataset)[0], axes=given.axes, spacing=given.spacing)
        if given.kind in (None, "x".join(map(str, one.image.shape[1:]))) and one.instances.max() > 0
    ]
    for draw in given.draws:
        order = np.random.default_rng(draw).permutation(len(examples))
        drawn = examples[order[0]]
        group = group_of(drawn.name, given.group)
        others = [examples[i] for i in order[1:] if group_of(examples[i].name, given.group) != group][: given.scored]
        if given.planes:
            drawn = on_planes(drawn, given.planes)
        start = None if given.start is None else load_model(given.start, device="cpu")
        values = {"epochs": max(1, round(given.steps / 64)), "steps_per_epoch": 64, "seed": draw, **nested(given.set)}
        config = TrainingConfig.preset(given.preset, validate_every=10**6, **values)
        processor, began = time.process_time(), time.perf_counter()
        model = drain(Trainer(config, [drawn], (), start, device="cpu").run()).model
        processor, seconds = time.process_time() - processor, time.perf_counter() - began
        # What a start finds by itself shows how hard the images of this draw are, and whether training spoiled it.
        aps = {"ap": model} if start is None else {"ap": model, "ap_of_start": start}
        row = {
            "images": f"{Path(given.dataset).parent.name} {given.kind or ''}".strip(), "name": given.name, "draw": draw,
            "drawn": drawn.name, "steps": given.steps, "start": given.start, "set": given.set,
            "planes": given.planes,
            "seconds": round(seconds), "processor_seconds": round(processor),
            "scale": round(model.config.reference_scale, 3),
            "share_trained": model.config.training["share_trained"],
            "seed_threshold": round(model.config.prediction.seed_threshold, 3),
            **{name: mean_ap(one, others) for name, one in aps.items()},
        }  # fmt: skip
        print(json.dumps(row), flush=True)
        with Path(given.json).open("a") as file:
            file.write(json.dumps(row) + "\n")


def table(given: argparse.Namespace) -> None:
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for line in Path(given.json).read_text().splitlines():
        row = json.loads(line)
        found[row["name"], row["images"]].append([row["ap"], row.get("ap_of_start", [np.nan, np.nan])])
    print("| recipe | images | draws | AP at 0.5 / 0.7 | the start as it is | at 0.5, of each draw |")
    print("|---|---|---|---|---|---|")
    for (name, images), aps in found.items():
        mean, of_start = (" / ".join(f"{ap:.3f}" for ap in means) for means in np.mean(aps, axis=0))
        each = ", ".join(f"{ap[0]:.2f}" for ap, _ in aps)
        print(f"| {name} | {images} | {len(aps)} | {mean} | {of_start} | {each} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("dataset")
    one.add_argument("--kind", metavar="YxX", help="shape of the images")
    one.add_argument("--axes", help="of the images, where the files do not say")
    one.add_argument("--spacing", type=lambda text: tuple(map(float, text.split(","))), help="of the images: Z,Y,X")
    one.add_argument("--group", metavar="REGEX", help="images whose names match in the same text belong together")
    one.add_argument("--planes", type=int, help="planes of a volume on which labels are known")
    one.add_argument("--preset", default="few")
    one.add_argument("--start", metavar="MODEL")
    one.add_argument("--draws", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds of the draws")
    one.add_argument("--scored", type=int, default=12, help="other images, drawn too")
    one.add_argument("--steps", type=int, default=768)
    one.add_argument("--set", action="append", default=[], metavar="SETTING=JSON")
    one.add_argument("--name", required=True)
    one.add_argument("--json", required=True)
    one.set_defaults(work=run)
    many = commands.add_parser("table")
    many.add_argument("json")
    many.set_defaults(work=table)
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
