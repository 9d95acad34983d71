"""The images that a training learns from and is scored on: folders, OME-Zarr, arrays; in memory or on the disk."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from embedseg_napari.core.data.on_disk import FromDisk
from embedseg_napari.core.data.pairs import from_arrays, load_folder
from embedseg_napari.core.errors import SettingsError
from embedseg_napari.core.runs import is_main_process
from embedseg_napari.core.stores.own_labels import labels_of_others

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embedseg_napari.core.axes import OneChannel
    from embedseg_napari.core.config import TrainingConfig
    from embedseg_napari.core.data.example import Example


class Reading(TypedDict, total=False):
    """How images are read: arguments of `load_folder` and `from_arrays`."""

    axes: str | None
    channel: OneChannel | None
    spacing: Sequence[float] | None
    ignore_label: int | None


def from_disk(
    config: TrainingConfig, run_folder: Path | None, watch: Callable[[str, float], None] | None = None
) -> FromDisk:
    """How images that do not fit into memory are learned from.

    Parameters
    ----------
    config : TrainingConfig
        Settings.
    run_folder : Path, optional
        Where what is measured of them is kept, by the main process.
    watch : callable, optional
        As :class:`FromDisk` takes it.
    """
    memory = None if config.memory is None else 1e9 * config.memory
    return FromDisk(memory, config.center, run_folder if is_main_process() else None, watch)


def read_images(
    source: str | Path | Sequence[Any], reading: Reading, disk: FromDisk, labels: str | Path | None = None
) -> list[Example]:
    """Images of a folder with `images/` and `masks/`, or of arrays; what does not fit into memory stays on the disk."""
    if isinstance(source, str | Path):
        return load_folder(source, labels=labels, from_disk=disk, **reading)
    if labels is not None:
        raise SettingsError("labels names those of an OME-Zarr; arrays come with theirs.")
    return from_arrays(source, **reading)


def read_held_out(
    source: str | Path | Sequence[Any],
    reading: Reading,
    disk: FromDisk,
    labels: str | Path | None = None,
    training: Sequence[Example] = (),
) -> list[Example]:
    """The same of held-out images, of which there may be none, beside those trained on, whose name of labels holds."""
    if isinstance(source, str | Path):
        named = labels_of_others(labels, [one.path for one in training])
        return read_images(source, reading, disk.beside(training), named)
    if isinstance(source, Sized) and len(source) == 0:
        return []
    # No name of the images that are trained on.
    return from_arrays(source, called="held-out image", **reading)
