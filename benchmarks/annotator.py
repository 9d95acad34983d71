"""What the loop of painting, training and correcting reaches, with a simulated person.

    python benchmarks/annotator.py DATASET [--kind 256x256] [--painted 5 10 20 50] [--minutes 3] [--start MODEL]
                                   [--rounds 2] [--seeds 0 1] [--processor-time] [--json FILE]

DATASET is a folder with `images/` and `masks/`; `--kind` keeps the images of one shape. Images are divided at random
into those the person has and those the model is scored on. The person paints part of the objects (`--first`), a few in
each of several images, and trains; then goes to the place that the product is most in doubt about, in each image in
turn, the most doubtful first, draws a box around it and sees to all objects in it: accepts what is right and paints
what is not, while the number of painted objects lasts; and trains on. Minutes are the wall clock of everything the
product computes: training, segmenting, ranking; the person takes no time. After each round the model is scored on the
other images, outside of the clock: mean AP at IoU 0.5.

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

from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.pairs import load_folder
from embedseg_napari.core.evaluation.matching import match
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.review.doubt import image_doubt, rank_doubt
from embedseg_napari.core.review.views import disagreeing_views
from embedseg_napari.core.runs import drain
from embedseg_napari.core.training.trainer import Trainer

if TYPE_CHECKING:
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.inference.segmentation import Segmentation
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.core.review.doubt import Doubt

PLACE = 3
"""Objects that are seen to at a place the product proposes."""
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
    settings : dict, optional
        Of the training, in place of the preset's.
    """

    def __init__(
        self,
        pool: list[Example],
        others: list[Example],
        seed: int,
        planes: int | None = None,
        settings: dict[str, object] | None = None,
    ) -> None:
        self.settings = settings or {}
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
        length = {} if "epochs" in self.settings else {"minutes": minutes}
        config = TrainingConfig.preset("few", seed=self.seed, **length, **self.settings)
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

    def correct(self, model: Model, most_painted: int) -> None:
        """See to the most doubtful place of every image, the most doubtful image first, while objects are left."""
        for sheet, segmentation, doubts in self.ask(model):
            left = most_painted - self.person.effort.painted
            if left <= 0:
                return
            # Nothing to propose means nothing found: the middle is as good as any place.
            middle = tuple(side / 2 for side in sheet.labels.shape)
            place = next((one.center for one in doubts if not sheet.is_settled(one.center)), middle)
            self.person.settle(sheet, segmentation, place, min(PLACE, left))

    def score(self, model: Model) -> Row:
        """AP on the other images."""
        values = []
        for example in self.others:
            labels = model.predict(example.image, model.config.axes).labels
            values.append(match(example.instances, labels)[0].ap)
        effort = self.person.effort
        error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        return Row(
            effort.painted, effort.actions, effort.accepted, len(self.begun),
            round(self.seconds / 60, 2), round(float(np.mean(values)), 4), round(error, 4),
        )  # fmt: skip


def work(session: Session, painted: int, minutes: float, rounds: int, first: float, start: Model | None) -> list[Row]:
    """Paint, train, correct, train on; one row per round."""
    session.paint_first(max(3, round(first * painted)) if rounds > 1 else painted)
    rows, model = [], start
    for number in range(rounds):
        left = minutes - session.seconds / 60
        model = session.train(left if number + 1 == rounds else left / (rounds - number + 1), model)
        rows.append(session.score(model))
        if number + 1 < rounds:
            session.correct(model, painted)
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


def setting(text: str) -> tuple[str, object]:
    """Read ``name=value``."""
    name, _, value = text.partition("=")
    return name, json.loads(value)


def main() -> None:
    """Run all sessions and print one row per round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--kind")
    parser.add_argument("--spacing", metavar="Z,Y,X", help="size of a voxel")
    parser.add_argument("--painted", type=int, nargs="+", default=[5, 10, 20, 50])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2, help="the last one takes two shares of the time")
    parser.add_argument("--first", type=float, default=0.6, help="share of the objects painted before the first round")
    parser.add_argument("--planes", type=int, help="paint on so many planes of each group of objects in a volume")
    parser.add_argument("--others", type=int, default=20, help="images to score on")
    parser.add_argument("--others-match", metavar="REGEX", help="score on images whose names begin like this")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--start", help="a model of another data set")
    parser.add_argument(
        "--setting", type=setting, action="append", default=[], metavar="NAME=JSON", help="setting of the training"
    )
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="minutes of the processor, not of the clock: with OMP_NUM_THREADS=1 those of one core, however busy it is",
    )
    parser.add_argument("--json", type=Path, help="rows are added to this file")
    options = parser.parse_args()
    if options.processor_time:
        # The product, too, reads its budget from there.
        time.monotonic = time.process_time
    spacing = None if options.spacing is None else [float(step) for step in options.spacing.split(",")]
    examples = load_folder(options.dataset, spacing=spacing)
    for seed in options.seeds:
        pool, others = divide(examples, options.kind, options.others, options.others_match, seed)
        for painted in options.painted:
            start = None if options.start is None else load_model(options.start, "cpu")
            session = Session(pool, others, seed, options.planes, dict(options.setting))
            rows = work(session, painted, options.minutes, options.rounds, options.first, start)
            for number, row in enumerate(rows, 1):
                found = {
                    "dataset": Path(options.dataset).parent.name,
                    "kind": options.kind,
                    "start": options.start,
                    "planes": options.planes,
                    "rounds": options.rounds,
                    "processor_time": options.processor_time,
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
