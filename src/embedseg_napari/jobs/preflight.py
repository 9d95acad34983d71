"""What a training will work with, in plain words, before it starts."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from embedseg_napari.core.data.checks import check_examples
from embedseg_napari.core.data.splitting import hold_out_images
from embedseg_napari.core.data.statistics import measure
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.files.units import unit_words
from embedseg_napari.core.machine import memory_of_machine
from embedseg_napari.core.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from embedseg_napari.core.config import ModelConfig, TrainingConfig
    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.data.statistics import DatasetStatistics
    from embedseg_napari.core.training.planning import TrainingPlan

BYTES_PER_PIXEL = {2: 3700, 3: 1750}
"""Memory of a training step in float32 for each pixel of its crops: twice what the paper's network keeps
for its gradient (1865 and 689 bytes, counted); the U-Net takes less in 2D and a quarter more in 3D. About half in a
16-bit format."""
NETWORK_BYTES = 400 * 2**20
"""PyTorch itself, weights, averages and optimiser state."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found out about data and settings."""

    rows: tuple[tuple[str, str], ...] = ()
    """Topic and sentence."""
    warnings: tuple[str, ...] = ()
    problem: str = ""
    """Why training cannot start; empty if it can."""
    ndim: int = 0
    n_channels: int = 1
    """Spatial axes of the images; 0 where that is not known."""


def inspect_data(
    training: Sequence[Example], validation: Sequence[Example] | None, notes: Sequence[str] = ()
) -> Findings:
    """Look at the images alone; loads no PyTorch.

    Parameters
    ----------
    training : sequence of Example
        Training images.
    validation : sequence of Example, optional
        Held-out images; None leaves the choice to the trainer.
    notes : sequence of str
        What was told while they were read.
    """
    try:
        warnings = check_examples(training, validation or [])
        statistics = measure(training)
    except EmbedSegError as error:
        return Findings((), tuple(notes), str(error))
    rows = _data_rows(statistics, training, validation)
    return Findings(tuple(rows), (*notes, *warnings), ndim=statistics.ndim, n_channels=statistics.n_channels)


def inspect_plan(
    training: Sequence[Example],
    validation: Sequence[Example] | None,
    config: TrainingConfig,
    start_from: ModelConfig | None,
    device: str,
    found: Findings | None = None,
) -> Findings:
    """Look at images, settings and device together; loads PyTorch, so it belongs into a worker thread.

    Parameters
    ----------
    training, validation
        As in :func:`inspect_data`.
    config : TrainingConfig
        Settings.
    start_from : ModelConfig, optional
        Of the model training starts from.
    device : str
        As in `choose_device`.
    found : Findings, optional
        Of the data, where they were looked at already.
    """
    from embedseg_napari.core.training.planning import plan_training, reach_warning, scale_note
    from embedseg_napari.core.training.training_set import TrainingSet

    found = found or inspect_data(training, validation)
    if found.problem:
        return found
    data: TrainingSet | None = None
    try:
        if validation is None:
            trained, held_out = hold_out_images(training, config)
            data = TrainingSet(config, trained, held_out, is_unasked=True)
        # As the training does: what is held out does not count.
        plan = plan_training(config, training if data is None else data.training, start_from, device)
    except EmbedSegError as error:
        return replace(found, problem=str(error))
    rows, warnings = list(found.rows), list(found.warnings)
    if data is not None:
        rows[0] = ("Images", images_sentence(len(data.annotated), len(data.validation), data.n_held_out))
    crop = " x ".join(map(str, plan.crop_size))
    if note := scale_note(plan, start_from is None):
        rows.append(("Scale", note))
    if warning := reach_warning(plan):
        warnings.append(warning)
    rows.append(("Crops", f"{crop} pixels, {count(plan.batch_size, 'crop')} in each step"))
    rows.append(("Device", device_sentence(plan)))
    needed, available = memory_needed(plan), memory_available(plan.device)
    if available is None:
        rows.append(("Memory", f"about {_gigabytes(needed)} for a step"))
    else:
        rows.append(("Memory", f"about {_gigabytes(needed)} for a step, {_gigabytes(available)} free"))
        if needed > available:
            warnings.insert(
                0,
                "A step may need more memory than is free; take a smaller batch size or crop size under More settings.",
            )
    return replace(found, rows=tuple(rows), warnings=tuple(warnings))


def _data_rows(
    statistics: DatasetStatistics, training: Sequence[Example], validation: Sequence[Example] | None
) -> list[tuple[str, str]]:
    kind = f"{statistics.ndim}D, {count(statistics.n_channels, 'channel')}"
    if statistics.is_overlapping:
        kind += ", objects may overlap"
    sizes = statistics.sizes
    widest = max(sizes.maximum)
    rows = [
        # What the trainer will hold out is said with the plan.
        ("Images", f"{len(training)}" if validation is None else images_sentence(len(training), len(validation))),
        ("Kind", kind),
        (
            "Objects",
            f"{statistics.n_objects:,}, covering {100 * statistics.foreground_fraction:.0f} % of the labelled area",
        ),
        ("Size", f"{' x '.join(f'{extent:.0f}' for extent in sizes.mean)} pixels on average, the widest {widest:.0f}"),
        ("Pixel size", spacing_sentence(statistics, training)),
    ]
    return rows


def images_sentence(n_training: int, n_held_out: int, n_objects: int = 0) -> str:
    """How many images train, and how many, or how many of their objects, judge."""
    if n_objects:
        return f"{n_training}; {n_objects:,} of the objects held out to score the model"
    if not n_held_out:
        return f"{n_training}, none held out (no score will be known)"
    return f"{n_training} to train on, {n_held_out} held out to score the model"


def spacing_sentence(statistics: DatasetStatistics, training: Sequence[Example]) -> str:
    """The physical pixel size, and what it is used for."""
    if statistics.spacing is None:
        return "not known" + ("; voxels are taken as cubes" if statistics.ndim == 3 else "; not needed in 2D")
    unit = unit_words(next((example.unit for example in training if example.spacing is not None), None)) or "units"
    text = f"{' x '.join(f'{step:.3g}' for step in statistics.spacing)} {unit}"
    if statistics.ndim == 3:
        text += f"; voxels {statistics.spacing[0] / statistics.spacing[-1]:.3g} times as deep as wide"
    return text


def device_sentence(plan: TrainingPlan) -> str:
    """Where training will run, and in which number format."""
    import torch

    if plan.device.type == "cuda":
        name = torch.cuda.get_device_name(plan.device)
    elif plan.device.type == "mps":
        name = "Apple GPU"
    else:
        name = f"CPU, {count(os.cpu_count() or 1, 'core')}"
    return f"{name}, {plan.precision}"


def memory_needed(plan: TrainingPlan) -> float:
    """Bytes that a training step will take, roughly."""
    pixels = float(plan.batch_size)
    for side in plan.crop_size:
        pixels *= side
    share = 1.0 if plan.precision == "float32" else 0.5
    return NETWORK_BYTES + share * pixels * BYTES_PER_PIXEL[plan.statistics.ndim]


def memory_available(device: torch.device) -> float | None:
    """Free bytes of a device's memory; None where the system does not tell."""
    if device.type == "cuda":
        import torch

        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu":
        import psutil  # type: ignore[import-untyped]

        # In a container, or a job of a cluster, it tells what the whole machine has.
        return float(min(psutil.virtual_memory().available, memory_of_machine() or math.inf))
    return None


def _gigabytes(n: float) -> str:
    return f"{n / 2**30:.1f} GB"
