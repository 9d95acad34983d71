"""Label images of a time-lapse in, tracks out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedseg_napari.core.axes import guess_axes, result_axes, spatial_axes
from embedseg_napari.core.errors import AnnotationError, DataError
from embedseg_napari.core.events import Message
from embedseg_napari.core.exchange.tracks import require_new, require_track_format, write_tracks
from embedseg_napari.core.files.documents import parse_json, read_text
from embedseg_napari.core.files.picture import Picture
from embedseg_napari.core.files.units import MICROMETRE, in_micrometres
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.core.tracking.corrections import CorrectedTracks
from embedseg_napari.core.tracking.frame_folder import FrameFolder
from embedseg_napari.core.tracking.run import MAX_GAP, tracking
from embedseg_napari.jobs.label_files import named_like, read_labels, read_like, sized_like

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from embedseg_napari.core.tracking.tracks import Tracks


@dataclass(frozen=True, slots=True)
class TrackJob:
    """What is linked, and where the tracks go."""

    labels: Path
    """A label image with a time axis, or a folder of frames."""
    output: Path
    """A folder that does not exist."""
    image: Path | None = None
    """The image of the labels, or a folder of its frames."""
    format: str = "ctc"
    axes: str | None = None
    spacing: tuple[float, ...] | None = None
    """Micrometres per pixel (z, y, x) in place of what the files say."""
    max_distance: float | None = None
    """Micrometres where the pixel size is known, else pixels."""
    max_gap: int = MAX_GAP
    divisions: bool = True
    trackastra: str | None = None
    """Model of trackastra that links, a name or a folder."""
    corrections: Path | None = None
    """What was corrected by hand before, ``corrections.json``."""


def words_of(job: TrackJob) -> list[str]:
    """The words of the command that does a job."""
    words = ["embedseg", "track", str(job.labels), "--output", str(job.output)]
    words += [] if job.image is None else ["--image", str(job.image)]
    words += [] if job.format == "ctc" else ["--format", job.format]
    words += [] if job.axes is None else ["--axes", job.axes]
    words += [] if job.spacing is None else ["--spacing", ",".join(f"{step:.17g}" for step in job.spacing)]
    words += [] if job.max_distance is None else ["--max-distance", f"{job.max_distance:.17g}"]
    words += [] if job.max_gap == MAX_GAP else ["--max-gap", str(job.max_gap)]
    words += [] if job.trackastra is None else ["--trackastra", job.trackastra]
    words += [] if job.corrections is None else ["--corrections", str(job.corrections)]
    return words if job.divisions else [*words, "--no-divisions"]


def track_files(job: TrackJob, should_stop: Callable[[], bool]) -> Generator[Any, None, Tracks]:
    """Link the objects and write the tracks.

    Raises
    ------
    DataError
        If a file cannot be read or does not fit, or the output exists.
    Stopped
        If `should_stop` returned True; nothing is written then.
    """
    require_track_format(job.format)
    require_new(job.output)
    corrections = [] if job.corrections is None else read_corrections(job.corrections)
    labels_folder = job.labels if _is_frames(job.labels) else None
    like = None if job.image is None else (yield from _read(job.image, None, None, labels_folder, is_labels=False))
    labels = yield from _read(job.labels, job.axes, like, is_labels=True)
    like = yield from named_like(like, labels)
    spacing, unit = in_micrometres(labels.spacing, labels.unit) if job.spacing is None else (job.spacing, MICROMETRE)
    if spacing is not None and len(spacing) != len(spatial_axes(labels.axes)):
        raise DataError(f"--spacing needs one number for each of the axes {spatial_axes(labels.axes)}.")
    try:
        tracks = yield from tracking(
            labels.array,
            None if like is None else like.array,
            labels.axes,
            image_axes=None if like is None else like.axes,
            spacing=spacing,
            unit=unit,
            max_distance=job.max_distance,
            max_gap=job.max_gap,
            divisions=job.divisions,
            trackastra=job.trackastra,
            should_stop=should_stop,
        )
        corrected = CorrectedTracks(tracks)
        corrected.replay(corrections)
    except (DataError, AnnotationError) as error:
        about = job.corrections if isinstance(error, AnnotationError) else job.labels
        # What is wrong with a frame of a folder names its file.
        raise DataError(str(error) if str(error).startswith(str(about)) else f"{about}: {error}") from error
    n_empty = tracks.n_frames - len(set(tracks.frame.tolist()))
    if n_empty:
        yield Message(
            f"Frames without objects: {n_empty} of {tracks.n_frames}; tracks go on after up to {job.max_gap}.",
            "warning",
        )
    write_tracks(corrected.tracks, labels.array, job.output, job.format, should_stop=should_stop)
    return corrected.tracks


def _is_frames(path: Path) -> bool:
    """Whether a path is a folder of frames, and no image that is stored as a folder."""
    return path.is_dir() and not is_store(path)


def _read(
    path: Path, axes: str | None, like: Picture | None, labels_folder: Path | None = None, *, is_labels: bool
) -> Generator[Message, None, Picture]:
    """A time-lapse: a file, or a folder of frames, perhaps of those of labels; its axes are known afterwards."""
    if not _is_frames(path):
        if not is_labels:
            return (yield from read_like(path, axes, whole=False))
        return (yield from read_labels(path, axes, like, whole=False))
    said: list[str] = []
    given = None if axes is None else axes.upper().replace("T", "")
    frames = FrameFolder(path, given, is_labels, said.append, labels_folder)
    for text in said:
        yield Message(f"{path}: {text}", "warning")
    own = frames.frame_axes
    if not own:
        known = "" if like is None else result_axes(like.axes).replace("T", "")
        own = known if len(known) == frames.ndim - 1 else guess_axes(frames.shape[1:])
    array: Any = frames
    is_guessed = not frames.frame_axes
    return sized_like(Picture(array, f"T{own}", frames.spacing, frames.unit, path=path, axes_guessed=is_guessed), like)


def read_corrections(path: Path) -> list[Any]:
    """Read what was corrected by hand before.

    Raises
    ------
    DataError
        If the file cannot be read, or is another one.
    """
    try:
        found = parse_json(read_text(path)).get("corrections")
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file.") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: corrections cannot be read ({error}).") from error
    if not isinstance(found, list):
        raise DataError(f"{path}: holds no corrections; give the corrections.json of an export.")
    return found
