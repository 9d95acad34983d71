"""A time-lapse that is a folder of frames, one file each."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.pairing import by_name, image_name, partners, without_partner
from embedseg_napari.core.files.tiff import list_images, read_image
from embedseg_napari.core.wording import count, shape_words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

NUMBER = re.compile(r"\d+")


class FrameFolder:
    """The images of a folder as one array, read frame by frame; T comes first.

    Parameters
    ----------
    folder : Path
        Its images are frames, in the natural order of their names (2 before 10).
    axes : str, optional
        Of a frame, where the files do not say.
    labels : bool
        Whether pixels are numbers of objects.
    say : callable
        Takes sentences on the first file, and on frames that are missing.
    labels_folder : Path, optional
        Folder of the labels of these frames, each of which tells which image is its own.

    Raises
    ------
    DataError
        If there is no image, the first cannot be read, or images and labels are not of the same frames.
    """

    def __init__(
        self,
        folder: Path,
        axes: str | None,
        labels: bool,
        say: Callable[[str], None],
        labels_folder: Path | None = None,
    ) -> None:
        self._paths, self._axes, self._labels = list_images(folder), axes, labels
        if not self._paths:
            raise DataError(f"{folder}: holds no images that can be read.")
        if labels_folder is not None:
            self._paths = _beside(labels_folder, list_images(labels_folder), folder, self._paths)
        missing, n = _missing(self._paths)
        if n:
            # Times without a colon have steps as well: 10:50 and 11:00.
            many = f"{count(n, 'frame')} are missing, the first of them {missing}; their"
            words = f"{missing} is missing; its" if n == 1 else many
            say(
                f"If the numbers in the names count frames, {words} neighbours are taken for frames that follow each "
                "other."
            )
        first = read_image(self._paths[0], axes, labels=labels, say=say)
        self.spacing, self.unit, self.frame_axes = first.spacing, first.unit, first.axes
        self.dtype = first.array.dtype
        self.shape = (len(self._paths), *first.array.shape)
        self.ndim = len(self.shape)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part.

        Raises
        ------
        DataError
            If a frame cannot be read, or is of another size.
        """
        asked = key if isinstance(key, tuple) else (key,)
        if isinstance(asked[0], slice):
            return np.stack([self[(t, *asked[1:])] for t in range(*asked[0].indices(self.shape[0]))])
        path = self._paths[asked[0]]
        frame = read_image(path, self._axes, labels=self._labels, say=lambda _: None).array
        if frame.shape != self.shape[1:]:
            raise DataError(
                f"{path}: has {shape_words(frame.shape)} pixels, and the first frame {shape_words(self.shape[1:])}; "
                "frames of a time-lapse are of one size."
            )
        part: np.ndarray = frame[asked[1:]]
        return part


def _beside(labels_folder: Path, labels: Sequence[Path], folder: Path, images: Sequence[Path]) -> list[Path]:
    """The image of each frame of labels: that of its name, or where no names are alike, of its number in them."""
    own, theirs = by_name(labels), by_name(images)
    found = partners(own, theirs)
    if not found:
        numbers, others = _by_number(own), _by_number(theirs)
        if not numbers or not others:
            raise DataError(
                f"{labels_folder if not numbers else folder}: which image and which labels are of one frame cannot be "
                "told from the names; name them alike."
            )
        found = {name: theirs[others[number]] for number, name in numbers.items() if number in others}
    for lacking, place, what in (
        ([name for name in own if name not in found], folder, "image"),
        (list(without_partner(found, theirs)), labels_folder, "labels"),
    ):
        if lacking:
            raise DataError(f"{place}: holds no {what} of the frame {lacking[0]} ({len(lacking)} are missing).")
    return [found[name] for name in own]


def _by_number(names: Collection[str]) -> dict[int, str]:
    """Names by the number that counts frames in them; empty where there is none, or two have the same."""
    numbers = {int(one[0]): name for one, name in zip(_numbers(names), names, strict=True) if one is not None}
    return numbers if len(numbers) == len(names) else {}


def _numbers(names: Collection[str]) -> list[re.Match[str] | None]:
    """The number that counts frames in each name: the last one that is not the same in all, as that of a channel is."""
    each = [list(NUMBER.finditer(name))[::-1] for name in names]
    for place in range(min(map(len, each), default=0)):
        if len({int(found[place][0]) for found in each}) > 1:
            return [found[place] for found in each]
    return [found[0] if found else None for found in each]


def _missing(paths: Sequence[Path]) -> tuple[str, int]:
    """The first frame that is missing by the numbers of the others, as it would be called, and how many are."""
    names = [image_name(path) for path in paths]
    found = [one for one in _numbers(names) if one is not None]
    numbers = [int(one[0]) for one in found]
    around = {(one.string[: one.start()], one.string[one.end() :]) for one in found}
    steps = [later - earlier for earlier, later in itertools.pairwise(numbers)]
    if len(numbers) < len(names) or len(around) > 1 or not steps or min(steps) < 1:
        # The numbers count something else.
        return "", 0
    step = min(steps)
    n = sum(one // step - 1 for one in steps)
    if any(one % step for one in steps) or n >= len(names):
        return "", 0
    at = next((place for place, one in enumerate(steps) if one > step), 0)
    before, after = around.pop()
    return f"{before}{numbers[at] + step:0{len(found[at][0])}}{after}", n
