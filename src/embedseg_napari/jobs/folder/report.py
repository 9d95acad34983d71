"""The report of a folder's results: collected image by image, of earlier runs too, and written when all are done."""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count as counted
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from embedseg_napari.core.axes import guess_axes, result_axes
from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.files.atomic import write_atomically
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.lazy_image import frames_or_whole
from embedseg_napari.core.files.plane_stack import each_plane, is_plane_file
from embedseg_napari.core.files.tiff import read_image
from embedseg_napari.core.report.entry import N_BINS, Entry, brightness_of, objects_of
from embedseg_napari.core.report.page import Content, figure, head_of, page
from embedseg_napari.core.report.thumbnail import plane_of, thumbnail
from embedseg_napari.core.wording import count
from embedseg_napari.jobs.folder.plan import words_of
from embedseg_napari.jobs.recipe import methods_sentence, model_words, read_recipe, versions
from embedseg_napari.jobs.segment import settings_of, take_channel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.config import ModelConfig, PredictionConfig
    from embedseg_napari.core.model.model import Model
    from embedseg_napari.jobs.folder.plan import FolderJob, Output

    Arrays = Callable[[], Iterable[NDArray[Any]]]

NAME = "report.html"
PAGE_BYTES = 7_000_000
"""What the pictures of all images may take together; they are a third larger on the page."""
MOST_BYTES = 60_000
"""What those of one image may take."""


class FolderReport:
    """Keeps some numbers of each image in memory, and its picture in a temporary file.

    Parameters
    ----------
    job : FolderJob
        What is segmented.
    n_images : int
        How many images that are; the more, the smaller are their pictures.
    """

    def __init__(self, job: FolderJob, n_images: int) -> None:
        self.job = job
        self._n_images = n_images
        self._most_bytes = min(MOST_BYTES, PAGE_BYTES // n_images)
        self._entries: list[Entry] = []
        self._places: list[tuple[int, int]] = []
        """Where in the file the picture of each entry lies: first byte, number of bytes."""
        self._sizes = np.zeros(N_BINS, np.int64)
        self._pictures: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the pictures."""
        if self._pictures is not None:
            # What was left to write to a full disk is not wanted any more.
            with suppress(OSError):
                self._pictures.close()

    def add(
        self,
        output: Output,
        array: NDArray[Any],
        axes: str,
        labels: NDArray[Any] | None,
        score: float | None,
        said: list[str],
    ) -> None:
        """Add an image that was segmented just now.

        Parameters
        ----------
        output : Output
            Where it is, and its results.
        array : ndarray
            The image.
        axes : str
            One letter per axis of it.
        labels : ndarray of int, optional
            Its labels, in the order of its axes; None reads them from their file.
        score : float, optional
            Mean over its objects.
        said : list of str
            Remarks on it.
        """
        entry = Entry(output.image.name, None, score, None, remarks=tuple(said))
        self._take(entry, array, axes, self._arrays(output, labels))

    def add_earlier(self, output: Output, config: ModelConfig) -> None:
        """Add an image that an earlier run has segmented: image, labels and recipe are read again."""
        entry = Entry(output.image.name, None, None, None, is_earlier=True)
        try:
            recipe = read_recipe(output.labels) or {}
            score, remarks = (recipe.get("labels") or {}).get("mean_score"), recipe.get("remarks") or ()
            entry = replace(
                entry,
                score=score if isinstance(score, float) else None,
                remarks=tuple(str(remark) for remark in remarks),
            )
            picture = read_image(output.image, self.job.axes, lazily=True, say=lambda _: None)
            axes = picture.axes or guess_axes(picture.array.shape, config.ndim, config.n_channels)
            array = frames_or_whole(picture.array, axes)
            arrays = self._arrays(output, None)
        except (EmbedSegError, OSError, MemoryError, RuntimeError, ValueError) as error:
            self._keep(_without_picture(entry, error), "")
        else:
            self._take(entry, array, axes, arrays)

    def _arrays(self, output: Output, labels: NDArray[Any] | None) -> Arrays:
        if self.job.planes and is_plane_file(output.labels):
            return lambda: each_plane(open_image(output.labels))
        if labels is None:
            picture = read_image(output.labels, labels=True, lazily=True, say=lambda _: None)
            labels = frames_or_whole(picture.array, picture.axes)
        return lambda: (labels,)

    def _take(self, entry: Entry, array: NDArray[Any], axes: str, arrays: Arrays) -> None:
        drawn = ""
        try:
            own = result_axes(axes)
            entry = replace(entry, objects=objects_of(arrays(), own))
            image, letters = take_channel(array, axes, self.job.channel)
            entry = replace(entry, brightness=brightness_of(image))
            # Colours that were averaged are shown as they are.
            plane, shown = plane_of(array, axes) if self.job.channel == "mean" else plane_of(image, letters)
            outlined = (plane_of(one, own)[0] for one in arrays())
            entry = replace(entry, shown=shown)
            drawn = figure(thumbnail(plane, outlined, self._most_bytes), entry.name, shown)
        except (EmbedSegError, OSError, MemoryError, RuntimeError, ValueError) as error:
            # The labels are written; an image that cannot be drawn ends nothing.
            entry = _without_picture(entry, error)
        self._keep(entry, drawn)

    def _keep(self, entry: Entry, drawn: str) -> None:
        content, place = drawn.encode(), (0, 0)
        try:
            if self._pictures is None:
                self._pictures = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the report)
            first = self._pictures.seek(0, os.SEEK_END)
            self._pictures.write(content)
            self._pictures.flush()
            place = (first, len(content))
        except OSError as error:
            entry = _without_picture(entry, error)
        self._places.append(place)
        self._entries.append(entry)
        if entry.objects is not None:
            self._sizes += entry.objects.sizes

    def write(self, failures: Sequence[tuple[Path, Exception]], model: Model, *, is_stopped: bool) -> Path:
        """Write the page, beside the labels; at least one image was added.

        Parameters
        ----------
        failures : sequence of tuple
            Files without labels, and why.
        model : Model
            What segmented the images.
        is_stopped : bool
            Whether images were left undone.

        Returns
        -------
        Path
            Its file: ``report.html``, or one with the next number that is free where that has other images or may not
            be replaced.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        settings, known = settings_of(model, self.job.changes), model_words(model, self.job.model)
        content = Content(
            f"Segmentation of {_inputs_words(self.job.inputs)}",
            _key(self.job),
            self._summary(len(failures), is_stopped),
            _by_sentence(failures),
            self._entries,
            self._sizes,
            "voxels" if model.config.ndim == 3 else "pixels",
            shlex.join(words_of(self.job)),
            _recipe_rows(self.job, known, settings, model.device.type),
            methods_sentence(known, settings),
        )

        def write(target: Path) -> None:
            with target.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(page(content, self._picture))

        place, is_ours = self._place(content.key)
        write_atomically(place, write, overwrite=is_ours)
        return place

    def _picture(self, index: int) -> str:
        first, length = self._places[index]
        if self._pictures is None or not length:
            return ""
        self._pictures.seek(first)
        return self._pictures.read(length).decode()

    def _summary(self, n_failed: int, is_stopped: bool) -> list[str]:
        n_done = len(self._entries)
        n_earlier = sum(entry.is_earlier for entry in self._entries)
        text = f"{n_done} of {count(self._n_images, 'image')} segmented, {count(int(self._sizes.sum()), 'object')}"
        text += f"; {n_earlier} of them by an earlier run" if n_earlier else ""
        text += f"; {n_failed} failed" if n_failed else ""
        said = [f"{text}."]
        if is_stopped:
            left = self._n_images - n_done - n_failed
            said.append(f"Stopped: {count(left, 'image')} not segmented; continue with --resume.")
        said.append(f"The labels are in {self.job.results}. Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.")
        return said

    def _place(self, key: str) -> tuple[Path, bool]:
        """Where the page goes, and whether a report of the same images is there that may be replaced."""
        for number in counted(1):
            place = self.job.results / (NAME if number == 1 else NAME.replace(".", f"-{number}."))
            if not os.path.lexists(place):
                return place, False
            if (self.job.overwrite or self.job.resume) and _begins_with(place, head_of(key)):
                return place, True
        raise AssertionError("numbers do not end")


def _without_picture(entry: Entry, error: Exception) -> Entry:
    return replace(entry, remarks=(*entry.remarks, f"Not shown: {str(error) or type(error).__name__}"))


def _by_sentence(failures: Sequence[tuple[Path, Exception]]) -> list[tuple[list[str], str]]:
    """Names of the files that failed for the same reason, and that reason."""
    found: dict[str, list[str]] = {}
    for path, error in failures:
        words = (str(error) or type(error).__name__).removeprefix(f"{path}: ")
        found.setdefault(words, []).append(path.name)
    return [(names, words) for words, names in found.items()]


def _begins_with(path: Path, text: str) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(text)) == text.encode()
    except OSError:
        return False


def _key(job: FolderJob) -> str:
    inputs = sorted(str(path.resolve()) for path in job.inputs)
    return hashlib.blake2s("\n".join(inputs).encode(errors="surrogateescape"), digest_size=8).hexdigest()


def _inputs_words(inputs: Sequence[Path]) -> str:
    more = f" and {len(inputs) - 1} more" if len(inputs) > 1 else ""
    return f"{inputs[0].resolve().name or inputs[0]}{more}"


def _recipe_rows(
    job: FolderJob, model: Mapping[str, str], settings: PredictionConfig, device: str
) -> list[tuple[str, str]]:
    given = {
        "Axes": job.axes or "as each file says",
        "Channel": str(job.channel),
        "Pixel size": "as each file says" if job.spacing is None else ", ".join(map(str, job.spacing)),
        "Device": device,
    }
    stored = settings.model_dump(mode="json")
    words = {True: "yes", False: "no"}
    return [
        ("Model", model["name"]),
        ("File of the model", model["file"]),
        ("SHA-256 of the model", model["sha256"]),
        *given.items(),
        *(
            (name.replace("_", " ").capitalize(), words[value] if isinstance(value, bool) else str(value))
            for name, value in stored.items()
            if value is not None
        ),
        *versions().items(),
        ("Of each image", f"{job.results / 'recipes'} holds sums of files, settings and the command"),
    ]
