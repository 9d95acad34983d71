"""The run folder: everything a training needs to go on exactly where it was; safetensors and JSON, no pickle."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from embedseg_napari.core.errors import DataError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

FORMAT_VERSION = 1


@dataclass(slots=True)
class TrainingState:
    """State of a training between two steps, without its tensors."""

    settings: dict[str, Any]
    """The TrainingConfig of the run."""
    data: list[list[Any]]
    """Name and shape of every training and validation image, to notice changed data."""
    crop_size: list[int]
    steps_per_epoch: int
    step: int = 0
    seconds: float = 0.0
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    """Loss and its three terms, summed over the steps of the current epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    best_score: float | None = None
    """Of the weights that are kept."""
    record: list[float] | None = None
    """Scores of the held-out images, each by itself, when their mean was highest."""
    seconds_validating: float = 0.0
    validation: list[list[Any]] | None = None
    """Name and shape of the validation images alone."""
    batch_size: int | None = None
    foreground_weight: float | None = None
    rate: float = 1.0
    scale: float | None = None
    """What followed from the labels when training began, and stays although labels are added."""


def save_checkpoint(folder: Path, state: TrainingState, tensors: dict[str, Tensor]) -> None:
    """Write a checkpoint so that a crash at any moment leaves the old one or the new one whole.

    Parameters
    ----------
    folder : Path
        Run folder; made if missing.
    state : TrainingState
        Numbers and settings.
    tensors : dict of str to Tensor
        Weights, averages and optimiser state under dotted names.

    Raises
    ------
    DataError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"state-{state.step:08d}.safetensors"
        temporary = folder / f".{name}.tmp"
        save_file({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, temporary)
        os.replace(temporary, folder / name)
        # The JSON names its tensors, so replacing it switches both at once.
        text = json.dumps({"format_version": FORMAT_VERSION, "tensors": name, **asdict(state)})
        temporary = folder / ".state.json.tmp"
        temporary.write_text(text)
        os.replace(temporary, folder / "state.json")
        for old in folder.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink()
    except OSError as error:
        raise DataError(f"Run folder {folder} cannot be written: {error.strerror or error}.") from error


def load_checkpoint(folder: Path, device: torch.device) -> tuple[TrainingState, dict[str, Tensor]] | None:
    """Read the checkpoint of a run folder; None if there is none.

    Raises
    ------
    DataError
        If it is damaged or of another version.
    """
    path = folder / "state.json"
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        version = values.pop("format_version")
        if version != FORMAT_VERSION:
            raise DataError(
                f"Run folder {folder} was written by another version of this program (format {version}); "
                "train again in a new run folder."
            )
        tensors = load_file(folder / os.path.basename(values.pop("tensors")), device=str(device))
        return TrainingState(**values), tensors
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise DataError(f"Run folder {folder} is damaged ({error}); train again in a new run folder.") from error


def collect_tensors(
    network: torch.nn.Module,
    average: torch.nn.Module,
    best: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Tensor]:
    """All tensors of a training under dotted names; the average is left out where it is the network itself."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    if average is not network:
        tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in (best or {}).items()}
    return tensors | {f"optimizer.{k}": v for k, v in flatten_optimizer(optimizer).items()}


def restore_tensors(
    tensors: dict[str, Tensor], network: torch.nn.Module, average: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor] | None:
    """Put back what :func:`collect_tensors` took; the best weights are returned."""

    def part(name: str) -> dict[str, Tensor]:
        return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}

    network.load_state_dict(part("network"))
    if average is not network:
        average.load_state_dict(part("average"))
    restore_optimizer(optimizer, part("optimizer"))
    return part("best") or None


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Optimiser state as named tensors; step counts become tensors too."""
    out = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            out[f"{index}.{name}"] = torch.as_tensor(value)
    return out


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`flatten_optimizer` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def check_same_run(now: TrainingState, before: TrainingState) -> None:
    """Refuse to resume with other data or settings.

    The duration may change, and so may labels; images to train on may join, but none may be missing. Settings that the
    run did not know, as an older version made it, stop nothing.

    Raises
    ------
    DataError
        If images are missing or others, or other images are held out.
    SettingsError
        If a setting is another.
    """
    missing = Counter(map(_key, before.data)) - Counter(map(_key, now.data))
    if missing:
        raise DataError(
            f"The run folder belongs to other images, such as {next(iter(missing))[0]}; resume with the same data, or "
            "use a new run folder."
        )
    if before.validation is not None and now.validation != before.validation:
        raise DataError(
            "The run folder belongs to a training with other held-out images; name the same ones, or use a new run "
            "folder."
        )
    for name, value in now.settings.items():
        was = before.settings.get(name, value)
        if name not in ("epochs", "minutes") and was != value:
            raise SettingsError(
                f"Setting {name!r} was {was!r} before and is {value!r} now; "
                "resume with the same settings, or use a new run folder."
            )


def _key(image: list[Any]) -> tuple[Any, ...]:
    name, shape = image
    return name, *shape
