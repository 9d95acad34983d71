"""What the loop of painting, training and correcting reaches, with a simulated person.

    python benchmarks/annotator.py DATASET [--kind 256x256] [--painted 5 10 20 50] [--minutes 3] [--start MODEL]
                                   [--rounds 3] [--seeds 0 1] [--json FILE]

DATASET is a folder with `images/` and `masks/`; `--kind` keeps the images of one shape. Images are divided at random
into those the person has and those the model is scored on. The person paints part of the objects (`--first`), a few in
each of several images, trains, then goes through the places that the product is most in doubt about (image by image,
the most doubtful first): accepts, deletes, or paints the object anew while the number of painted objects lasts. Minutes
are the wall clock of everything the product computes: training, segmenting, ranking; the person takes no time. After
each round the model is scored on the other images, outside of the clock: mean AP at IoU 0.5.

`python benchmarks/annotator_curves.py FILE... --output FOLDER` draws the curves.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from simulated_person import Person, Sheet

from embedseg_napari.core.annotation.doubt import image_doubt, rank_doubt
from embedseg_napari.core.annotation.views import disagreeing_views
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer

if TYPE_CHECKING:
    from embedseg_napari.core.annotation.doubt import Doubt
    from embedseg_napari.core.data.pairs import Example
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.model.model import Model

GROUP = 5
"""Objects painted in one image before the person takes the next."""
AHEAD = 3
"""Images without labels that the model is asked about after each round; the most doubtful ones come next."""


@dataclass
class Row:
    """Where things stand after a round."""

    painted: int
    actions: int
    accepted: int
    deleted: int
    images: int
    minutes: float
    ap: float
    error: float
    """Standard error over the images scored."""


class Session:
    """One person with one set of images.

    Parameters
    ----------
    pool, others : list of Example
        Images to annotate, and images to score on.
    seed : int
        Of the person and of the training.
    planes : int, optional
        As for `Person`.
    """

    def __init__(self, pool: list[Example], others: list[Example], seed: int, planes: int | None = None) -> None:
        self.desk = [Sheet(example) for example in pool]
        self.others, self.seed = others, seed
        self.person = Person(seed, planes)
        self.seconds = 0.0

    @property
    def begun(self) -> list[Sheet]:
        """Images with an annotation."""
        return [sheet for sheet in self.desk if sheet.is_begun]

    def paint_first(self, n: int) -> None:
        """Paint `n` objects, a few in each image."""
        for sheet in self.desk:
            if n <= 0:
                return
            n -= self.person.paint_group(sheet, min(GROUP, n))

    def train(self, minutes: float, start: Model | None) -> Model:
        """One round of the product."""
        before = time.monotonic()
        config = TrainingConfig.preset("few", minutes=minutes, seed=self.seed)
        examples = [sheet.example for sheet in self.begun]
        model = drain(Trainer(config, examples, [], start, started=before).run()).model
        self.seconds += time.monotonic() - before
        return model

    def ask(self, model: Model) -> list[tuple[Sheet, Segmentation, list[Doubt]]]:
        """What the product puts into its queues, the image it is least sure of first."""
        before = time.monotonic()
        fresh = [sheet for sheet in self.desk if not sheet.is_begun][:AHEAD]
        found = []
        for sheet in [*self.begun, *fresh]:
            image, axes = sheet.truth.image, model.config.axes
            segmentation = model.predict(image, axes)
            views = disagreeing_views(model, image, axes, 1)
            found.append(
                (
                    sheet,
                    segmentation,
                    rank_doubt(segmentation, views, model.config.object_sizes, annotation=sheet.labels),
                )
            )
        self.seconds += time.monotonic() - before
        return sorted(found, key=lambda one: -image_doubt(one[2]))

    def correct(self, model: Model, n_actions: int, most_painted: int) -> None:
        """Go through the most doubtful places of every image in turn, until the actions are spent."""
        queues = self.ask(model)
        per_image = max(1, round(n_actions / max(len(queues), 1)))
        for sheet, segmentation, doubts in queues:
            for doubt in doubts[:per_image]:
                if n_actions <= 0:
                    return
                self.person.judge(sheet, segmentation, doubt, self.person.effort.painted < most_painted)
                n_actions -= 1

    def score(self, model: Model) -> Row:
        """AP on the other images."""
        values = []
        for example in self.others:
            labels = model.predict(example.image, model.config.axes).labels
            values.append(match(example.instances, labels)[0].ap)
        effort = self.person.effort
        error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        return Row(
            effort.painted, effort.actions, effort.accepted, effort.deleted, len(self.begun),
            round(self.seconds / 60, 2), round(float(np.mean(values)), 4), round(error, 4),
        )  # fmt: skip


def work(session: Session, painted: int, minutes: float, rounds: int, first: float, start: Model | None) -> list[Row]:
    """Paint, train, correct, train on; one row per round."""
    session.paint_first(max(3, round(first * painted)) if rounds > 1 else painted)
    rows, model = [], start
    for number in range(rounds):
        left = minutes - session.seconds / 60
        model = session.train(left / (rounds - number), model)
        rows.append(session.score(model))
        if number + 1 < rounds:
            session.correct(model, painted, painted)
    return rows


def divide(
    examples: list[Example], kind: str | None, n_others: int, pattern: str | None, seed: int
) -> tuple[list[Example], list[Example]]:
    """Images for the person, and other ones: at random, or those whose names match a pattern."""
    if kind is not None:
        shape = tuple(int(side) for side in kind.split("x"))
        examples = [example for example in examples if example.image.shape[1:] == shape]
    mixed = [examples[i] for i in np.random.default_rng(seed).permutation(len(examples))]
    if pattern is None:
        return mixed[n_others:], mixed[:n_others]
    is_other = [re.match(pattern, example.name) is not None for example in mixed]
    pool = [example for example, hit in zip(mixed, is_other, strict=True) if not hit]
    return pool, [example for example, hit in zip(mixed, is_other, strict=True) if hit][:n_others]


def main() -> None:
    """Run all sessions and print one row per round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--kind")
    parser.add_argument("--spacing", metavar="Z,Y,X", help="size of a voxel")
    parser.add_argument("--painted", type=int, nargs="+", default=[5, 10, 20, 50])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first", type=float, default=0.6, help="share of the objects painted before the first round")
    parser.add_argument("--planes", type=int, help="paint on so many planes of each group of objects in a volume")
    parser.add_argument("--others", type=int, default=20, help="images to score on")
    parser.add_argument("--others-match", metavar="REGEX", help="score on images whose names begin like this")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--start", help="a model of another data set")
    parser.add_argument("--json", type=Path, help="rows are added to this file")
    options = parser.parse_args()
    spacing = None if options.spacing is None else [float(step) for step in options.spacing.split(",")]
    examples = load_folder(options.dataset, spacing=spacing)
    for seed in options.seeds:
        pool, others = divide(examples, options.kind, options.others, options.others_match, seed)
        for painted in options.painted:
            start = None if options.start is None else load_model(options.start, "cpu")
            session = Session(pool, others, seed, options.planes)
            rows = work(session, painted, options.minutes, options.rounds, options.first, start)
            for number, row in enumerate(rows, 1):
                found = {
                    "dataset": Path(options.dataset).parent.name,
                    "kind": options.kind,
                    "start": options.start,
                    "planes": options.planes,
                    "rounds": options.rounds,
                    "goal": painted,
                    "seed": seed,
                    "round": number,
                    **asdict(row),
                }
                print(json.dumps(found), flush=True)
                if options.json is not None:
                    with options.json.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
