"""Compare recipes of training: the same number of steps, random splits, several seeds, differences image by image.

    python benchmarks/recipes.py run DATASET --name zoom0 --set augmentation.scale=0 --json rows.jsonl
    python benchmarks/recipes.py table rows.jsonl --baseline fast

`run` trains on randomly drawn images of the data set's training part and scores others of that part, none of `val/`
or `test/`; split and seed are the same number. Steps are counted, not minutes, so that a busy machine does not matter;
the processor's seconds are noted beside them (one thread: OMP_NUM_THREADS=1). `table` prints mean AP and the
mean difference to the baseline over all images and splits that both have, with a 95 % interval from resampled images.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

IOUS = (0.5, 0.7, 0.9)


def nested(assignments: list[str]) -> dict[str, Any]:
    """Settings from ``a.b=JSON``."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        path, _, value = assignment.partition("=")
        *parents, last = path.split(".")
        inside = values
        for parent in parents:
            inside = inside.setdefault(parent, {})
        inside[last] = json.loads(value)
    return values


def split(examples: list[Any], n: int, n_scored: int, group: str | None, seed: int) -> tuple[list[Any], list[Any]]:
    """Draw images to train on and others to score; all of one group lie on one side."""
    names = [example.name if group is None else re.findall(group, example.name)[0] for example in examples]
    groups = list(dict.fromkeys(names))
    place = {groups[group]: rank for rank, group in enumerate(np.random.default_rng(seed).permutation(len(groups)))}
    order = sorted(range(len(examples)), key=lambda i: place[names[i]])
    border = n
    while group is not None and border < len(order) and names[order[border]] == names[order[border - 1]]:
        border += 1
    return [examples[i] for i in order[:n]], [examples[i] for i in order[border : border + n_scored]]


def run(given: argparse.Namespace) -> None:
    import torch

    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.pairs import find_dataset, load_folder
    from embedseg_napari.core.evaluation.matching import match
    from embedseg_napari.core.events import Message
    from embedseg_napari.core.model.model import load_model
    from embedseg_napari.core.runs import drain
    from embedseg_napari.core.training.trainer import Trainer

    examples = load_folder(find_dataset(given.dataset)[0], spacing=given.spacing)
    start_from = None if given.start is None else load_model(given.start, device="cpu")
    for seed in given.seeds:
        training, others = split(examples, given.images, given.scored, given.group, seed)
        epochs = max(1, round(given.steps / 64))
        values = {"steps_per_epoch": 64, "seed": seed, "validate_every": 10**6, **nested(given.set)}
        config = TrainingConfig.preset(given.preset, epochs=epochs, **values)
        start, processor = time.perf_counter(), time.process_time()

        def tell(event: object) -> None:
            if isinstance(event, Message):
                print(event.text, flush=True)

        result = drain(Trainer(config, training, None, start_from, device="cpu").run(), tell)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        prediction = result.model.config.prediction
        if given.keep:
            Path(given.keep).mkdir(parents=True, exist_ok=True)
            result.model.save(Path(given.keep) / f"{given.name}-{seed}.embedseg")
        rows = {}
        for example in others:
            labels = result.model.predict(example.image, result.model.config.axes).labels
            rows[example.name] = [round(one.ap, 4) for one in match(example.instances, labels, iou_thresholds=IOUS)]
        means = np.mean(list(rows.values()), axis=0)
        row = {
            "name": given.name, "seed": seed, "steps": given.steps, "images": given.images, "group": given.group,
            "settings": nested(given.set), "start": given.start, "threads": torch.get_num_threads(),
            "seconds": round(seconds, 1), "processor_seconds": round(processor, 1),
            "seed_threshold": prediction.seed_threshold, "foreground_threshold": prediction.foreground_threshold,
            "ap": rows,
        }  # fmt: skip
        with Path(given.json).open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{given.name} seed {seed}: AP {' / '.join(f'{ap:.3f}' for ap in means)}, {processor:.0f} s", flush=True)


def table(given: argparse.Namespace) -> None:
    runs: dict[str, dict[tuple[int, str], list[float]]] = defaultdict(dict)
    costs: dict[str, list[float]] = defaultdict(list)
    for line in Path(given.json).read_text().splitlines():
        row = json.loads(line)
        costs[row["name"]].append(row["processor_seconds"])
        for image, ap in row["ap"].items():
            runs[row["name"]][(row["seed"], image)] = ap
    rng = np.random.default_rng(0)
    print(f"| recipe | runs | processor's seconds | AP {' / '.join(map(str, IOUS))} | difference to {given.baseline} |")
    print("|---|---|---|---|---|")
    for name, found in runs.items():
        shared = sorted(found.keys() & runs[given.baseline].keys())
        values = np.array([found[key] for key in found])
        parts = []
        if name != given.baseline and shared:
            away = np.array([np.subtract(found[key], runs[given.baseline][key]) for key in shared])
            means = away[rng.integers(len(away), size=(2000, len(away)))].mean(1)
            low, high = np.percentile(means, [2.5, 97.5], axis=0)
            parts = [f"{m:+.3f} ({a:+.3f} to {b:+.3f})" for m, a, b in zip(away.mean(0), low, high, strict=True)]
        aps = " / ".join(f"{ap:.3f}" for ap in values.mean(0))
        print(f"| {name} | {len(costs[name])} | {np.median(costs[name]):.0f} | {aps} | {', '.join(parts)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("dataset")
    one.add_argument("--name", required=True)
    one.add_argument("--preset", default="fast")
    one.add_argument("--set", action="append", default=[], metavar="SETTING=JSON")
    one.add_argument("--steps", type=int, default=768)
    one.add_argument("--images", type=int, default=60)
    one.add_argument("--scored", type=int, default=60)
    one.add_argument("--group", metavar="PATTERN", help="regular expression; images whose names share it stay together")
    one.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    one.add_argument("--start", metavar="MODEL", help="a model to start from")
    one.add_argument("--spacing", type=lambda text: tuple(map(float, text.split(","))), metavar="Z,Y,X")
    one.add_argument("--keep", metavar="FOLDER", help="save the models here")
    one.add_argument("--json", required=True)
    one.set_defaults(work=run)
    many = commands.add_parser("table")
    many.add_argument("json")
    many.add_argument("--baseline", default="fast")
    many.set_defaults(work=table)
    given = parser.parse_args()
    given.work(given)


if __name__ == "__main__":
    main()
