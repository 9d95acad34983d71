"""``embedseg tune``: thresholds that suit a model and annotated images."""

from __future__ import annotations

from typing import Annotated

import typer

from embedseg_napari.cli.console import say, show_table
from embedseg_napari.cli.options import (
    Axes,
    Channel,
    Device,
    HeldOut,
    ModelSource,
    NoProgress,
    Spacing,
    parse_axes,
    parse_spacing,
    require_writable,
    setting,
)
from embedseg_napari.cli.progress import PredictionProgress
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.runs import drain, never
from embedseg_napari.core.wording import count


def tune(
    model: ModelSource,
    dataset: HeldOut,
    save: Annotated[bool, typer.Option("--save", help="Store the best thresholds in the model file.")] = False,
    axes: Axes = None,
    channel: Channel = None,
    spacing: Spacing = None,
    ignore_label: Annotated[int | None, setting(TrainingConfig, "ignore_label", metavar="N")] = None,
    device: Device = "auto",
    no_progress: NoProgress = False,
) -> None:
    """Find the seed and foreground thresholds that suit annotated images best.

    The network is run once on each image; pairs of thresholds are then scored by AP, averaged over IoU 0.5 to 0.9 and
    over the images. Take images that the model was not trained on.
    """
    letters, pixel_size = parse_axes(axes), parse_spacing(spacing)
    TrainingConfig.preset(ignore_label=ignore_label)
    from embedseg_napari.core.model.known_models import find_model_file
    from embedseg_napari.jobs.tune import predict_and_tune, require_changeable, store_thresholds, tuning_images

    path = find_model_file(model)
    if save:
        require_changeable(path)
        require_writable(path.parent, "model")
    images = tuning_images(
        dataset, path, device, axes=letters, channel=channel, spacing=pixel_size, ignore_label=ignore_label
    )
    progress = PredictionProgress(shown=not no_progress)
    with progress.showing():
        found = drain(predict_and_tune(images, path, never), progress).thresholds
    rows = [
        [name, f"{seed:g}", f"{foreground:g}", f"{found.score_of((seed, foreground)):.3f}"]
        for name, (seed, foreground) in (("before", found.start), ("best", found.best))
    ]
    show_table(f"Thresholds on {count(len(images), 'image')}", ["", "Seed", "Foreground", "Mean AP"], rows)
    if found.best == found.start:
        say("No thresholds are better than those of the model.")
    elif save:
        say(f"Stored in {drain(store_thresholds(path, path, found, never))}")
    else:
        say("Add --save to store the best ones in the model file.")
