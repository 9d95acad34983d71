"""How labels in a store were made: noted in them by the run, and told again as a command or a script."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.lazy_image import LazyImage
from embedseg_napari.core.files.ngff import read_notes
from embedseg_napari.core.model.known_models import model_at
from embedseg_napari.jobs.large.plan import LargeJob
from embedseg_napari.jobs.recipe import Recipe, model_words, predict_words, record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embedseg_napari.core.large.run_folder import RunRecord
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.jobs.large.target import Target

OPTIONS = (
    "output",
    "name",
    "table",
    "level",
    "region",
    "axes",
    "channel",
    "block",
    "halo",
    "skip_background",
    "device",
)
"""Of a job, what decides on labels or where they go; it is noted where it differs from what is usual."""


def recipe_of_run(
    job: LargeJob, image: LazyImage, model: Model, target: Target, run: RunRecord, n_objects: int
) -> dict[str, Any]:
    """What is noted in the labels of a run that is through, as the recipe of other label images is written."""
    known = model_at(Path(run.model))
    stored = model.config.prediction.model_dump(mode="json")
    settings = run.settings.model_dump(mode="json")
    call = {
        # The pixels of a layer are in no file.
        "image": "" if isinstance(job.image, LazyImage) else str(Path(job.image).absolute()),
        "model": known.name if known.is_bundled else run.model,
        "options": _options(job),
        "settings": {name: value for name, value in settings.items() if stored.get(name) != value},
    }
    about = {
        "file": image.path.name,
        "axes": image.axes,
        "shape": list(image.shape),
        "spacing": image.spacing,
        "unit": image.unit if image.spacing else None,
    }
    labels = {"file": target.labels.name, "n_objects": n_objects}
    text = record(
        model_words(model, run.model), run.settings, about, labels, words_of(call), channel=job.channel, level=job.level
    )
    return {**json.loads(text), "call": call}


def words_of(call: Mapping[str, Any]) -> list[str]:
    """The words of the command that a note stands for; without one of its options nothing else is found."""
    options = dict(call["options"])
    output = options.pop("output", None)
    words = predict_words(
        call["model"],
        [Path(call["image"])],
        Path(output or "."),
        axes=options.pop("axes", None),
        channel=options.pop("channel", "all"),
        device=options.pop("device", "auto"),
        changes=call["settings"],
    )
    if output is None:
        at = words.index("--output")
        del words[at : at + 2]
    if not options.pop("skip_background", True):
        words.append("--all-blocks")
    if output is not None and not options:
        # By an option of blocks a TIFF is known to be cut into them.
        options["halo"] = "auto"
    for name, value in options.items():
        words += [f"--{name}", _text(name, value)]
    return words


def recipe_of_labels(labels: Path) -> Recipe:
    """What makes the labels in a store again, without a viewer.

    Parameters
    ----------
    labels : Path
        Group of the label image.

    Raises
    ------
    DataError
        If no run has made them.
    """
    call = call_of(labels)
    if call is None:
        raise DataError(f"{labels}: no run has noted here how these labels were made.")
    if not call["image"]:
        return Recipe("", "The image was a layer in no file; save it, and segment that file.", "")
    if not Path(call["image"]).exists() and "output" not in call["options"]:
        # The store was moved with its labels.
        call["image"] = str(labels.parent.parent.absolute())
    arguments = "".join(
        f"        {name}={value!r},\n" for name, value in {**call["options"], **call["settings"]}.items()
    )
    script = (
        "import embedseg_napari as es\n\n"
        'if __name__ == "__main__":\n'
        "    # Goes on with a run that was stopped; name= or output= puts the labels elsewhere.\n"
        f"    result = es.predict_large(\n        {call['image']!r},\n        {call['model']!r},\n{arguments}    )\n"
        '    print(f"{result.n_objects} objects; the labels are in {result.labels}")\n'
    )
    return Recipe(shlex.join(words_of(call)), "", script)


def recipe_noted(labels: Path) -> dict[str, Any] | None:
    """The recipe that is noted in labels of a store, with the day of their last change by hand; None without one."""
    notes = read_notes(labels)
    recipe = notes.get("recipe")
    return {**recipe, "changed": notes.get("changed")} if isinstance(recipe, dict) else None


def call_of(labels: Path) -> dict[str, Any] | None:
    """What was asked of the run that made labels; None where that is not noted, or is nothing that can be asked."""
    call = (recipe_noted(labels) or {}).get("call")
    if not isinstance(call, dict) or set(call) != {"image", "model", "options", "settings"}:
        return None
    is_text = isinstance(call["image"], str) and isinstance(call["model"], str)
    are_options = all(isinstance(call[name], dict) for name in ("options", "settings"))
    if not is_text or not are_options or not set(call["options"]) <= set(OPTIONS):
        return None
    # A store may come from anywhere: nothing but names of settings becomes part of a script.
    return call if all(name.isidentifier() for name in call["settings"]) else None


def _options(job: LargeJob) -> dict[str, Any]:
    usual = {one.name: one.default for one in fields(LargeJob)}
    found = {name: getattr(job, name) for name in OPTIONS if getattr(job, name) != usual[name]}
    return {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in found.items()}


def _text(name: str, value: Any) -> str:
    if name == "region":
        return ",".join(f"{low}:{high}" for low, high in value)
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
