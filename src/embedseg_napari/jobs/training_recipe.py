"""How a training is repeated without a viewer."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from embedseg_napari.core.axes import reorder, result_axes
from embedseg_napari.core.config import PRESETS, TrainingConfig
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.picture import same_pixels
from embedseg_napari.core.model.known_models import SCRATCH
from embedseg_napari.jobs.recipe import Recipe
from embedseg_napari.jobs.train import TrainingRequest
from embedseg_napari.jobs.training_pairs import ArrayPair, Region, knows_its_split, pair_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.jobs.label_round import RoundRequest

OPTIONS = {
    "epochs": "--epochs",
    "minutes": "--minutes",
    "validation_fraction": "--val-fraction",
    "ignore_label": "--ignore-label",
    "seed": "--seed",
    "memory": "--memory",
}
"""Options of ``embedseg train`` for settings that a preset may have otherwise."""


class PairFiles(NamedTuple):
    """Where the arrays of a pair come from."""

    image: Path
    labels: Path
    axes: str
    """Those of the image in the order of its file."""


def read_pair(
    image: str,
    labels: str,
    axes: str,
    *,
    spacing: tuple[float, ...] | None = None,
    unit: str | None = None,
    regions: Sequence[tuple[Sequence[Sequence[float]], bool]] = (),
    channel: OneChannel | None = None,
    name: str = "",
) -> ArrayPair:
    """Read a pair as the viewer has it.

    Parameters
    ----------
    image, labels : str
        Their files.
    axes : str
        Axes of the image in the order of its file.
    spacing, unit, channel
        As :class:`ArrayPair` has them.
    regions : sequence of (corners, is_box)
        As :class:`Region` has them.
    name : str
        What it is called in messages; by default as its file.

    Raises
    ------
    DataError
        If a file cannot be read or has other axes.
    """
    from embedseg_napari.core.files.tiff import read_image

    order = pair_axes(axes)
    truth, own = read_image(labels, labels=True).array, result_axes(axes)
    return ArrayPair(
        name or Path(image).stem,
        reorder(read_image(image, axes).array, axes, order),
        reorder(truth, own, result_axes(order)) if truth.ndim == len(own) else truth,
        order,
        spacing,
        unit,
        tuple(Region(np.array(corners, float), is_box) for corners, is_box in regions),
        channel,
    )


def of_training(request: TrainingRequest, files: Sequence[PairFiles] = ()) -> Recipe:
    """The recipe of a training; a training that ends after so many epochs gives the same model.

    Parameters
    ----------
    request : TrainingRequest
        What is trained, on a folder or on pairs.
    files : sequence of PairFiles
        Those of its pairs.

    Raises
    ------
    DataError
        If a pair is not what its files hold.
    """
    preset, changes = _nearest_preset(request.config)
    pairs = [_pair_words(pair, own) for pair, own in zip(request.pairs, files, strict=True)]
    folder = "None" if request.folder is None else f"Path({str(request.folder.absolute())!r})"
    named = {"axes": request.axes, "spacing": request.spacing, "channel": request.channel}
    said = "".join(f"    {name}={value!r},\n" for name, value in named.items() if value is not None)
    script = (
        "from pathlib import Path\n\n"
        "from embedseg_napari.core.config import TrainingConfig\n"
        "from embedseg_napari.core.runs import drain, never\n"
        "from embedseg_napari.jobs.train import TrainingJob, TrainingRequest\n"
        "from embedseg_napari.jobs.training_recipe import read_pair\n\n"
        f"values = TrainingConfig.preset({preset!r}).model_dump() | {changes!r}\n"
        f"pairs = [\n{''.join(pairs)}]\n"
        "request = TrainingRequest(\n"
        "    config=TrainingConfig.parse(values),\n"
        "    pairs=pairs,\n"
        f"    folder={folder},\n"
        f"    start_from={request.start_from!r},\n"
        f"    device={request.device!r},\n"
        f"    output=Path({str(request.output)!r}),\n"
        f"{said}"
        ")\n"
        "print(drain(TrainingJob(request).run(never)).path)\n"
    )
    return Recipe(*_command(request, preset, changes), script)


def of_round(request: RoundRequest) -> Recipe:
    """What trains on the images of a session as a round does; what is painted is read from the session's folder."""
    return of_training(
        TrainingRequest(
            config=request.config,
            pairs=(),
            folder=request.session.folder,
            start_from=request.start_from,
            device=request.device,
            output=request.output,
        )
    )


def _nearest_preset(config: TrainingConfig) -> tuple[str, dict[str, Any]]:
    """The preset with the fewest other settings, and those."""
    values = config.model_dump()
    presets = {name: TrainingConfig.preset(name).model_dump() for name in PRESETS}
    changes = {
        name: {key: value for key, value in values.items() if preset[key] != value} for name, preset in presets.items()
    }
    return min(changes.items(), key=lambda one: len(one[1]))


def _pair_words(pair: ArrayPair, files: PairFiles) -> str:
    """The words that read a pair from its files, once they are known to hold it."""
    stored = read_pair(str(files.image), str(files.labels), files.axes)
    for path, there, here in ((files.image, stored.image, pair.image), (files.labels, stored.labels, pair.labels)):
        if not same_pixels(there, here):
            raise DataError(f"{pair.name}: {path.name} holds something else than its layer; save the layer first.")
    regions = [(region.outline.tolist(), region.is_box) for region in pair.regions]
    named = {"spacing": pair.spacing, "unit": pair.unit, "regions": regions, "channel": pair.channel, "name": pair.name}
    words = [repr(str(files.image)), repr(str(files.labels)), repr(files.axes)]
    words += [f"{name}={value!r}" for name, value in named.items() if value not in (None, [])]
    return f"    read_pair({', '.join(words)}),\n"


def _command(request: TrainingRequest, preset: str, changes: dict[str, Any]) -> tuple[str, str]:
    """The command and, where there is none, why."""
    if request.folder is None:
        return "", "The command line trains on a folder with images/ and masks/; save a script instead."
    if knows_its_split(request.folder):
        # The part to hold out counts for nothing there, but its option would split anew.
        changes = {name: value for name, value in changes.items() if name != "validation_fraction"}
    # Epochs take the place of the minutes of a preset, and the other way round.
    lost = [
        name
        for name, value in changes.items()
        if name not in OPTIONS or (value is None and not (name in ("epochs", "minutes") and _other_end(name, changes)))
    ]
    if lost:
        return "", f"The command line has no option for {', '.join(lost)}; save a script instead."
    words = ["embedseg", "train", str(request.folder.absolute()), "--output", str(request.output), "--preset", preset]
    for name, value in changes.items():
        if value is not None:
            words += [OPTIONS[name], str(value)]
    words += [] if request.axes is None else ["--axes", request.axes]
    words += [] if request.spacing is None else ["--spacing", ",".join(map(str, request.spacing))]
    words += [] if request.channel is None else ["--channel", str(request.channel)]
    # On few labels the command line would start from a model of its own choice.
    start = SCRATCH if request.start_from is None and request.config.keep_start else request.start_from
    words += [] if start is None else ["--from", start]
    words += [] if request.device == "auto" else ["--device", request.device]
    return shlex.join(words), ""


def _other_end(name: str, changes: dict[str, Any]) -> bool:
    return changes.get("minutes" if name == "epochs" else "epochs") is not None
