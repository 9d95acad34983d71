"""The run folder: everything a training needs to go on exactly where it was; safetensors and JSON, no pickle."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from embedseg_napari.core.config import SCALES, ModelConfig
from embedseg_napari.core.data.survey import OBJECTS
from embedseg_napari.core.errors import DataError, SettingsError
from embedseg_napari.core.events import EpochFinished  # noqa: TC001, pydantic looks it up
from embedseg_napari.core.files.atomic import write_atomically, write_text
from embedseg_napari.core.files.documents import Unreadable, parse_json, read_text
from embedseg_napari.core.settings import Amount, Count, PixelsPerAxis, complaint
from embedseg_napari.core.training.origin import Origin  # noqa: TC001, pydantic looks it up
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor

FORMAT_VERSION = 1
Positive = Annotated[int, Field(ge=1, lt=2**31)]
Named = tuple[str, tuple[Count, ...]]
"""Name and shape of an image."""
STATE = "state.json"
TENSORS = re.compile(r"state-[0-9]{8,}(-[0-9a-f]{8})?\.safetensors")


@dataclass(slots=True)
class TrainingState:
    """State of a training between two steps, without its tensors."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    settings: dict[str, JsonValue]
    """The TrainingConfig of the run."""
    data: list[Named]
    """Name and shape of every training and validation image, to notice changed data."""
    crop_size: PixelsPerAxis
    steps_per_epoch: Positive
    step: Count = 0
    seconds: Amount = 0.0
    sums: Annotated[list[float], Field(min_length=4, max_length=4)] = field(default_factory=lambda: [0.0] * 4)
    """Of the loss and its three terms over the steps of the current epoch."""
    history: list[EpochFinished] = field(default_factory=list)
    best_score: float | None = None
    """Of the weights that are kept."""
    sure_seediness: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of the same, see `ModelConfig.sure_seediness`."""
    record: list[float] | None = None
    """Scores of the held-out images, each by itself, when their mean was highest."""
    seconds_validating: Amount = 0.0
    validation: list[Named] | None = None
    """Name and shape of the validation images alone."""
    labels: list[str] | None = None
    """What tells the labels of every image of `data` from others; None in the run of an older version."""
    batch_size: Positive | None = None
    foreground_weight: Annotated[float, Field(gt=0)] | None = None
    rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    scale: Annotated[float, Field(ge=SCALES[0], le=SCALES[1])] | None = None
    """What followed from the labels when training began, and stays although labels are added."""
    start: str | None = None
    """Name and digest of the model that training started from; empty for a new network, None in an old run."""
    network: dict[str, JsonValue] | None = None
    """Which network learns and what its output means, see `TrainingPlan.network`; None in an old run."""
    origin: Origin | None = None
    """Thresholds and name of what training started from; None in an old run."""


READER = TypeAdapter(TrainingState)


def save_checkpoint(folder: Path, state: TrainingState, tensors: dict[str, dict[str, Tensor]]) -> None:
    """Write a checkpoint so that a crash at any moment leaves the old one or the new one whole.

    Parameters
    ----------
    folder : Path
        Run folder; made if missing.
    state : TrainingState
        Numbers and settings.
    tensors : dict
        Parts (network, average, optimizer, best weights) and their tensors by name.

    Raises
    ------
    DataError
        If the folder cannot be written.
    """
    flat = {
        f"{part}.{name}": value.detach().cpu().contiguous().clone()
        for part, values in tensors.items()
        for name, value in values.items()
    }
    # A name of its own: the checkpoint before this one, of the same step or of another training, stays whole.
    path = folder / f"state-{state.step:08d}-{uuid4().hex[:8]}.safetensors"
    write_atomically(path, lambda target: target.write_bytes(save(flat)))
    # The JSON names its tensors, so replacing it switches both at once.
    text = json.dumps({"format_version": FORMAT_VERSION, "tensors": path.name, **asdict(state)})
    # What cannot be read must never carry its final name.
    _parse(text)
    try:
        write_text(folder / STATE, text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    _remove(old for old in _tensor_files(folder) if old != path)


def remove_checkpoint(folder: Path) -> None:
    """Take away the checkpoint in a run folder; what was measured of images stays."""
    _remove([folder / STATE, *_tensor_files(folder)])


def remove_run_folder(folder: Path) -> None:
    """Take away what a training wrote into a run folder, and the folder if nothing else is in it."""
    remove_checkpoint(folder)
    _remove(folder.glob(OBJECTS))
    with contextlib.suppress(OSError):
        folder.rmdir()


def _tensor_files(folder: Path) -> list[Path]:
    """The files of checkpoints; others in the folder are a person's."""
    return [path for path in folder.glob("*.safetensors") if TENSORS.fullmatch(path.name)]


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        # Where another program still reads it, the next checkpoint takes it away.
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def load_checkpoint(
    folder: Path, device: torch.device
) -> tuple[TrainingState, defaultdict[str, dict[str, Tensor]]] | None:
    """Read what :func:`save_checkpoint` wrote; None if there is none.

    Raises
    ------
    DataError
        If it is damaged or of another version.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        state, file = _parse(read_text(path))
        tensors: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, value in load_file(folder / Path(file).name, device=str(device)).items():
            part, _, name = key.partition(".")
            tensors[part][name] = value
        return state, tensors
    except (OSError, ValueError, KeyError, SafetensorError, SettingsError) as error:
        raise DataError(f"Run folder {folder} is damaged ({error}); train again in a new run folder.") from error


def _parse(text: str) -> tuple[TrainingState, str]:
    """The state in the text of a checkpoint, and the name of the file with its tensors."""
    values = parse_json(text)
    version, file = values.pop("format_version", None), values.pop("tensors", None)
    if version != FORMAT_VERSION:
        raise Unreadable(f"it was written by another version of this program, format {version!r}")
    if not isinstance(file, str):
        raise Unreadable("it names no file of weights")
    try:
        state = READER.validate_python(values)
    except ValidationError as error:
        raise SettingsError(complaint(error)) from error
    # The curve becomes part of the model.
    ModelConfig.parse({"history": [asdict(row) for row in state.history]})
    return state, file


def taken_up(now: TrainingState, before: TrainingState) -> tuple[TrainingState, str]:
    """The state to go on from, with the settings and images of now; and a sentence on labels that changed.

    Where what is held out has other labels, or is seen in other parts, as an image is that is now read from the disk,
    scores say nothing about those before, and their record begins anew.

    Raises
    ------
    DataError, SettingsError
        As :func:`check_same_run`.
    """
    check_same_run(now, before)
    changes = {name: getattr(now, name) for name in ("settings", "data", "validation", "labels")}
    if _held_out(now) != _held_out(before):
        changes |= {"best_score": None, "sure_seediness": None, "record": None}
    return replace(before, **changes), changed_labels(now, before)


def _held_out(state: TrainingState) -> list[tuple[Named, str]]:
    """The images to validate on, which follow the others, and what tells their labels."""
    images, labels = state.validation or [], state.labels or []
    return list(zip(images, labels[len(state.data) - len(images) :], strict=False))


def changed_labels(now: TrainingState, before: TrainingState) -> str:
    """A sentence on images whose labels are others than before; empty where there are none.

    Those that were read from the disk and now lie in memory, or the other way round, are not compared.
    """
    here: defaultdict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for (name, _), digest in zip(now.data, now.labels or [], strict=True):
        here[name][digest.split()[0]].add(digest)
    then = zip(before.data, before.labels or [], strict=False)
    known = [(name, digest, here[name].get(digest.partition(" ")[0])) for (name, _), digest in then]
    changed = dict.fromkeys(name for name, digest, there in known if there and digest not in there)
    if not changed:
        return ""
    which = f"The labels of {count(len(changed), 'image')}, such as {next(iter(changed))}, have"
    return f"{which} changed since; training goes on with those of now."


def check_same_run(now: TrainingState, before: TrainingState) -> None:
    """Refuse to resume with other data or settings.

    Duration and memory may change, and so may labels; images to train on may join, but none may be missing. Settings
    that the run did not know, as an older version made it, stop nothing.

    Raises
    ------
    DataError
        If images are missing or others, or other images are held out.
    SettingsError
        If a setting is another.
    """
    names = [Counter((name, *shape) for name, shape in state.data) for state in (before, now)]
    if missing := names[0] - names[1]:
        raise DataError(
            f"The run folder belongs to other images, such as {next(iter(missing))[0]}; resume with the same data, or "
            "use a new run folder."
        )
    if before.validation is not None and now.validation != before.validation:
        raise DataError(
            "The run folder belongs to a training with other held-out images; name the same ones, or use a new run "
            "folder."
        )
    # Where its weights are not wanted in the end, the start model may be gone: the checkpoint holds those of the run.
    kinds = [None if one is None else (one["architecture"], one["n_channels"]) for one in (before.network, now.network)]
    is_other = None not in kinds and kinds[0] != kinds[1]
    if (now.settings["keep_start"] or is_other) and before.start is not None and before.start != now.start:
        began, goes_on = (f"the model {one}" if one else "a new network" for one in (before.start, now.start))
        raise SettingsError(
            f"The training began with {began} and would go on with {goes_on}; resume with the same start, or use a new "
            "run folder."
        )
    for name, value in now.settings.items():
        was = before.settings.get(name, value)
        if isinstance(was, dict) and isinstance(value, dict):
            was = value | was
        if name not in ("epochs", "minutes", "memory") and was != value:
            raise SettingsError(
                f"Setting {name!r} was {was!r} before and is {value!r} now; "
                "resume with the same settings, or use a new run folder."
            )
