"""Truth and prediction of one file as they are compared: frames apart, axes in one order, planes told from labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from embedseg_napari.core.axes import ordered, parse_axes, reorder
from embedseg_napari.core.data.unknown import split_ignore_label, union
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.evaluation.matching import lenient_ap, match_rows
from embedseg_napari.core.evaluation.planes import Stack, require_planes, spatial_ndim, stack_kind
from embedseg_napari.core.evaluation.unknown import restrict_to_known
from embedseg_napari.core.files.plane_stack import are_planes, is_plane_file
from embedseg_napari.core.files.tiff import Picture, read_image
from embedseg_napari.core.wording import shape_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.evaluation.folders import FilePair
    from embedseg_napari.core.evaluation.matching import MatchRow


UNNAMED = (
    "a stack whose file does not say what its planes are was taken for one volume. If they are frames, say so with "
    "--axes TYX."
)
PLANES = (
    "stacks with one number in each plane were taken for planes of one object each. If they are volumes, say so with "
    "--axes ZYX; if they are planes, --axes YX says so."
)
MOVIE_OF_VOLUMES = "a stack of four axes that its file does not name was taken for a time-lapse of volumes (TZYX)."
CALLED_SLICES = (
    "what one file calls slices and the other frames was scored frame by frame. If it is a volume, say so with "
    "--axes ZYX."
)


@dataclass(frozen=True, slots=True)
class LabelPair:
    """Truth and prediction of one image."""

    name: str
    true: np.ndarray
    """((Z,) Y, X) ids, or (K, (Z,) Y, X) bool planes of one object each."""
    predicted: np.ndarray
    """As `true`."""
    ignore: NDArray[np.bool_] | None
    """((Z,) Y, X) pixels of unknown class."""
    ndim: int
    """Spatial axes; an array of one more is planes."""
    frame: int | None = None
    """Which frame of a time-lapse it is."""

    @property
    def are_planes(self) -> bool:
        """Whether both are planes."""
        return self.is_true_planes and self.is_predicted_planes

    @property
    def is_true_planes(self) -> bool:
        """Whether the truth is planes."""
        return self.true.ndim > self.ndim

    @property
    def is_predicted_planes(self) -> bool:
        """Whether the prediction is planes."""
        return self.predicted.ndim > self.ndim

    def match(self) -> list[MatchRow]:
        """Scores of this image; see `core.evaluation.matching.match`."""
        return match_rows(self.true, self.predicted, ignore=self.ignore, planes=self.are_planes)

    def lenient_ap(self) -> list[float]:
        """AP as the original program scores overlapping truth; see `core.evaluation.matching.lenient_ap`."""
        known = self.known()
        return lenient_ap(known.true, known.predicted, planes=self.are_planes)

    def known(self) -> LabelPair:
        """What is known of truth and prediction; see `core.evaluation.unknown.restrict_to_known`."""
        if self.ignore is None:
            return self
        true, predicted = restrict_to_known(self.true, self.predicted, self.ignore)
        return replace(self, true=true, predicted=predicted, ignore=None)


def read_pair(
    pair: FilePair,
    ignore_label: int | None = None,
    axes: str | None = None,
    tell: Callable[[str, str], None] | None = None,
) -> tuple[list[LabelPair], str]:
    """Read truth and prediction of one file: one image, or every frame of a time-lapse by itself.

    A stack is a time-lapse where either file names an axis T; of three axes that neither file names, it is a volume.

    Parameters
    ----------
    pair : FilePair
        The files.
    ignore_label : int, optional
        Value of true pixels whose class is unknown.
    axes : str, optional
        Axes of the label images, such as ``"TYX"``, in place of what the files say; a stack of planes has one more, in
        front of the spatial ones.
    tell : callable, optional
        Takes a file and a sentence for each thing that was assumed or left out in it; by default they are logged.

    Returns
    -------
    images : list of LabelPair
        The image, or the frames.
    note : str
        What was guessed of these files, to follow their name; empty if nothing was.

    Raises
    ------
    DataError
        Naming the file that cannot be scored.
    """
    wanted = None if axes is None else parse_axes(axes)

    def read(path: Path) -> Picture:
        return read_image(path, labels=True, say=None if tell is None else partial(tell, str(path)))

    true, predicted = read(pair.true), read(pair.predicted)
    for picture in (true, predicted):
        _check_kind(picture)
    own, note = _axes(true, predicted, wanted)
    has_frames = "T" in own[0]
    arrays = _turned(true.array, own[0], has_frames), _turned(predicted.array, own[1], has_frames)
    hidden = None
    if pair.ignore is not None:
        ignore = read(pair.ignore)
        letters = ignore.axes if sorted(ignore.axes) == sorted(own[1]) else own[1]
        hidden = _turned(ignore.array != 0, letters, has_frames)
    planes = None
    written = [are_planes(picture) for picture in (true, predicted)]
    if wanted is not None:
        planes = min(array.ndim for array in arrays) > len(wanted)
    elif any(written):
        planes = True
    elif any(is_plane_file(picture.path) for picture in (true, predicted)):
        # Of a single plane, which was read as a label image.
        planes = False
    if not has_frames:
        one = _one(pair, *arrays, hidden, ignore_label, planes, None)
        is_known = wanted is not None or any(written) or true.array.dtype == predicted.array.dtype == bool
        if one.are_planes and not is_known:
            note = PLANES
        elif wanted is None and not any(own) and one.true.ndim == one.predicted.ndim == one.ndim == 3:
            note = UNNAMED
        return [one], note
    n_frames = len(arrays[0])
    if len(arrays[1]) != n_frames or (hidden is not None and len(hidden) != n_frames):
        odd = pair.predicted if len(arrays[1]) != n_frames else pair.ignore
        n_odd = len(arrays[1]) if len(arrays[1]) != n_frames else len(hidden if hidden is not None else ())
        raise DataError(
            f"{odd}: has {n_odd} frames, but its truth {pair.true} has {n_frames}; compare labels of the same "
            "time-lapse."
        )
    return [
        _one(pair, arrays[0][t], arrays[1][t], None if hidden is None else hidden[t], ignore_label, planes, t)
        for t in range(n_frames)
    ], note


def _axes(true: Picture, predicted: Picture, wanted: str | None) -> tuple[tuple[str, str], str]:
    """The axes of both files, empty where they are open, "T" where only the frames are known; and what was guessed."""
    own = _named(true, wanted), _named(predicted, wanted)
    n = true.array.ndim, predicted.array.ndim
    if wanted is not None or not any("T" in letters for letters in own):
        if wanted is None and n == (4, 4) and stack_kind(true.array) is Stack.LABELS:
            return ("TZYX", "TZYX"), "" if any(own) else MOVIE_OF_VOLUMES
        return own, ""
    if all("T" in letters for letters in own):
        return own, ""
    # The other file says where the frames are, if it has as many axes; else they come first, before planes.
    known, other = (0, 1) if "T" in own[0] else (1, 0)
    if n[other] < n[known]:
        raise _unlike(true, predicted)
    letters = own[known] if n[other] == n[known] else "T"
    note = CALLED_SLICES if "Z" in own[other] and n[other] == n[known] == 3 else ""
    return ((own[0], letters) if known == 0 else (letters, own[1])), note


def _named(picture: Picture, wanted: str | None) -> str:
    """Axes that a label file names, or those that were asked for; empty where they are open.

    A label image has no channels: what is called so are planes, or a stack of which nothing is known.
    """
    ndim = picture.array.ndim
    if wanted is not None:
        n = len(wanted)
        if ndim not in (n, n + 1):
            raise DataError(f"{picture.path}: axes {wanted!r} name {n} axes, the file has {ndim}.")
        time = "T" * ("T" in wanted)
        return wanted if ndim == n else f"{time}D{wanted.replace('T', '')}"
    return "" if "C" in picture.axes else picture.axes


def _turned(array: np.ndarray, letters: str, has_frames: bool) -> np.ndarray:
    """A label array as (T) (D) (Z)YX, as far as its axes are known."""
    if len(letters) == array.ndim and "D" not in letters:
        turned: np.ndarray = reorder(array, letters, ordered(letters))
        return turned
    return np.moveaxis(array, letters.index("T"), 0) if has_frames else array


def _unlike(true: Picture, predicted: Picture) -> DataError:
    return DataError(
        f"{predicted.path}: has shape {predicted.array.shape}, but its truth {true.path} has {true.array.shape}; "
        "compare images of the same size."
    )


def _one(
    pair: FilePair,
    true: np.ndarray,
    predicted: np.ndarray,
    ignore: NDArray[np.bool_] | None,
    ignore_label: int | None,
    planes: bool | None,
    frame: int | None,
) -> LabelPair:
    """Check what is compared, and tell planes from labels."""
    _check_signs(predicted, pair.predicted)
    ndim = spatial_ndim(true if ignore_label is None else np.where(true == ignore_label, 0, true), predicted, planes)
    if (
        abs(true.ndim - predicted.ndim) > 1
        or true.shape[true.ndim - ndim :] != predicted.shape[predicted.ndim - ndim :]
    ):
        raise DataError(
            f"{pair.predicted}: has shape {predicted.shape}, but its truth {pair.true} has {true.shape}; "
            "compare images of the same size."
        )
    true, unknown = split_ignore_label(true, ignore_label, planes=true.ndim > ndim)
    _check_signs(true, pair.true)
    true, predicted = _ids_or_planes(true, ndim, pair.true), _ids_or_planes(predicted, ndim, pair.predicted)
    if ignore is not None:
        space = predicted.shape[predicted.ndim - ndim :]
        if ignore.shape != space:
            raise DataError(f"{pair.ignore}: has shape {ignore.shape}, but its image {shape_words(space)}.")
        unknown = union(unknown, ignore)
    name = pair.name if frame is None else f"{pair.name} {frame}"
    return LabelPair(name, true, predicted, unknown, ndim, frame)


def _ids_or_planes(array: np.ndarray, ndim: int, path: Path) -> np.ndarray:
    """Planes as bool, ids as they are."""
    if array.ndim == ndim:
        return array
    require_planes(array, str(path))
    planes: np.ndarray = array != 0
    return planes


def _check_kind(picture: Picture) -> None:
    kind = picture.array.dtype
    if kind.kind not in "iub":
        raise DataError(f"{picture.path}: holds {kind} values; a label image needs whole numbers, one per object.")


def _check_signs(array: np.ndarray, path: object) -> None:
    if np.issubdtype(array.dtype, np.signedinteger) and array.size and array.min() < 0:
        raise DataError(f"{path}: holds negative numbers; use 0 for background and 1, 2, 3 ... for objects.")
