"""What a training learns from one image: each draw another one, scored on others of its kind.

    python benchmarks/one_image.py run DATASET [--kind 256x256] [--start MODEL] [--draws 5] [--scored 12] [--steps 768]
                                   [--set SETTING=JSON] --name NAME --json rows.jsonl
    python benchmarks/one_image.py table rows.jsonl

Images are drawn at random from the training part of the data set, none is chosen; `--kind` keeps those of one shape.
A start model must never have been trained on that data set. Steps are counted, not minutes, so that a busy machine does
not matter; the seconds of the processor are noted beside them (one thread: OMP_NUM_THREADS=1). Printed is AP at IoU 0.5
and 0.7: the mean of all draws, and that of each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from recipes import nested

IOUS = (0.5, 0.7)


def run(given: argparse.Namespace) -> None:
    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.pairs import find_dataset, load_folder
    from embedseg_napari.core.evaluation.matching import match
    from embedseg_napari.core.model.model import load_model
    from embedseg_napari.core.runs import drain, unheard
    from embedseg_napari.core.training.trainer import Trainer

    examples = [
        one
        for one in load_folder(find_dataset(given.dataset)[0])
        if given.kind in (None, "x".join(map(str, one.image.shape[1:]))) and one.instances.max() > 0
    ]
    for draw in given.draws:
        order = np.random.default_rng(draw).permutation(len(examples))
        drawn, others = examples[order[0]], [examples[i] for i in order[1 : 1 + given.scored]]
        start = None if given.start is None else load_model(given.start, device="cpu")
        values = {"epochs": max(1, round(given.steps / 64)), "steps_per_epoch": 64, "seed": draw, **nested(given.set)}
        config = TrainingConfig.preset(given.preset, validate_every=10**6, **values)
        processor, began = time.process_time(), time.perf_counter()
        model = drain(Trainer(config, [drawn], (), start, device="cpu").run()).model
        processor, seconds = time.process_time() - processor, time.perf_counter() - began
        aps = []
        for one in others:
            found = model.predict(one.image, model.config.axes, progress=False, on_event=unheard).labels
            aps.append([score.ap for score in match(one.instances, found, iou_thresholds=IOUS)])
        row = {
            "images": f"{Path(given.dataset).parent.name} {given.kind or ''}".strip(), "name": given.name, "draw": draw,
            "drawn": drawn.name, "steps": given.steps, "start": given.start, "set": given.set,
            "seconds": round(seconds), "processor_seconds": round(processor),
            "scale": round(model.config.reference_scale, 3),
            "share_trained": model.config.training["share_trained"],
            "seed_threshold": round(model.config.prediction.seed_threshold, 3),
            "ap": np.mean(aps, axis=0).round(4).tolist(),
        }  # fmt: skip
        print(json.dumps(row), flush=True)
        with Path(given.json).open("a") as file:
            file.write(json.dumps(row) + "\n")


def table(given: argparse.Namespace) -> None:
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for line in Path(given.json).read_text().splitlines():
        row = json.loads(line)
        found[row["name"], row["images"]].append(row["ap"])
    print("| recipe | images | draws | AP at 0.5 / 0.7 | at 0.5, of each draw |\n|---|---|---|---|---|")
    for (name, images), aps in found.items():
        mean = " / ".join(f"{ap:.3f}" for ap in np.mean(aps, axis=0))
        print(f"| {name} | {images} | {len(aps)} | {mean} | {', '.join(f'{ap[0]:.2f}' for ap in aps)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("dataset")
    one.add_argument("--kind", metavar="YxX", help="shape of the images")
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
