"""How far a run is: bars on a terminal, plain lines at sensible intervals in a log."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from embedseg_napari.cli.console import complain, is_terminal, say, tell
from embedseg_napari.cli.failures import sentence
from embedseg_napari.core.wording import clock_time, count, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.progress import Progress

    from embedseg_napari.core.events import EpochFinished, TrainingEvent, TrainingStarted

LOG_SECONDS = 10.0
"""Time between two lines of progress in a log."""
CURVE_ROWS = 10
"""Rows that a training curve is told in."""


class Shown:
    """Keeps bars on the screen while something runs, if the output is a terminal."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self.bar: Progress | None = None

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show bars inside."""
        from embedseg_napari.core.bar import bars

        if not (self.shown and is_terminal()):
            yield
            return
        with bars() as self.bar:
            self._add_tasks(self.bar)
            try:
                yield
            finally:
                self.bar = None

    def _add_tasks(self, bar: Progress) -> None:
        raise NotImplementedError


class TrainingProgress(Shown):
    """Shows the events of a training.

    Parameters
    ----------
    shown : bool
        False leaves only messages.
    """

    def __init__(self, shown: bool) -> None:
        super().__init__(shown)
        self.fraction = 0.0
        self.task: Any = None
        self.last_line = float("-inf")
        self.n_epochs: int | None = None

    def _add_tasks(self, bar: Progress) -> None:
        self.task = bar.add_task("starting", total=1.0)

    def __call__(self, event: TrainingEvent) -> None:
        """Show one event."""
        from embedseg_napari.core.bar import step_words
        from embedseg_napari.core.events import EpochFinished, Message, StepFinished, TrainingStarted

        match event:
            case Message():
                tell(event)
            case TrainingStarted():
                self.n_epochs = event.n_epochs
                for line in started_lines(event):
                    say(line)
            case StepFinished():
                self.fraction = event.progress
                if self.bar is not None:
                    self.bar.update(self.task, completed=event.progress, description=step_words(event))
            case EpochFinished():
                self._epoch(event)

    def _epoch(self, event: EpochFinished) -> None:
        last = event.epoch + 1 == self.n_epochs
        now = time.monotonic()
        if not self.shown or (now - self.last_line < LOG_SECONDS and not last):
            return
        self.last_line = now
        total = "" if self.n_epochs is None else f"/{self.n_epochs}"
        parts = [f"{self.fraction:4.0%}", f"epoch {event.epoch + 1}{total}", clock_time(event.seconds)]
        parts.append(f"loss {event.loss:.4f}")
        if event.ap_50 is not None:
            parts.append(f"AP@0.5 {event.ap_50:.3f}")
        if event.ap_mean is not None:
            parts.append(f"mean AP {event.ap_mean:.3f}")
        if event.is_best:
            parts.append("kept")
        say("  ".join(parts))


def started_lines(event: TrainingStarted) -> list[str]:
    """Tell in two lines what a training works with."""
    images = f"Training on {count(event.n_images, 'image')} with {count(event.n_objects, 'object')}"
    if event.n_validation_images:
        held_out = f", validating on {count(event.n_validation_images, 'image')}."
    elif event.n_held_out_objects:
        held_out = f"; the last state is kept, scored on {count(event.n_held_out_objects, 'object')} held out."
    else:
        held_out = "; no images are held out, so the last state is kept and no score is known."
    if event.n_epochs is not None:
        length = count(event.n_epochs, "epoch")
    else:
        length = f"{event.minutes:g} {'minute' if event.minutes == 1 else 'minutes'} in total"
    crop = " x ".join(map(str, event.crop_size))
    return [
        images + held_out,
        f"{length}, {count(event.steps_per_epoch, 'step')} per epoch, crops of {crop} pixels, "
        f"on {event.device} in {event.precision}.",
    ]


def curve_rows(history: Sequence[dict[str, Any]], training: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and at most `CURVE_ROWS` rows of a training curve; the one that was kept and the last are among them.

    What was best for a while is not the model where a training was stopped later: with held-out images only the row
    with the model's score is, without them the state after its last step. `training` is what a model says of its own.
    """
    wanted = {round(i * (len(history) - 1) / max(CURVE_ROWS - 2, 1)) for i in range(CURVE_ROWS - 1)}
    score = training.get("best_score")
    if training.get("n_validation_images"):
        is_kept = [score is not None and row.get("is_best") and row.get("ap_mean") == score for row in history]
    else:
        is_kept = [score is not None and row.get("step") == training.get("steps") for row in history]
    kept = [i for i, is_it in enumerate(is_kept) if is_it][-1:]
    chosen = sorted({i for i in wanted if i < len(history)} | set(kept))

    def number(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    rows = []
    for i in chosen:
        row = history[i]
        rows.append(
            [
                f"{row['epoch'] + 1}{' kept' if i in kept else ''}",
                clock_time(row.get("seconds", 0.0)),
                number(row.get("loss"), 4),
                number(row.get("ap_50"), 3),
                number(row.get("ap_mean"), 3),
            ]
        )
    return ["Epoch", "Time", "Loss", "AP@0.5", "Mean AP"], rows


class PredictionProgress(Shown):
    """Shows the events of predictions, one image after the other.

    Parameters
    ----------
    shown : bool
        False leaves only messages and what failed.
    """

    def __init__(self, shown: bool) -> None:
        super().__init__(shown)
        self.images: Any = None
        self.tiles: Any = None
        self.name = ""
        self.n_frames = 1
        self.began = self.last_line = time.monotonic()

    def _add_tasks(self, bar: Progress) -> None:
        self.images = bar.add_task("images", total=None)
        self.tiles = bar.add_task("tiles", total=None)

    def __call__(self, event: Any) -> None:
        """Show one event."""
        from embedseg_napari.core.events import ClusteringStarted, Message, PairTried, PredictionStarted, TileFinished
        from embedseg_napari.jobs.folder.segment_folder import ImageFailed, ImageSaved, ImageSkipped
        from embedseg_napari.jobs.segment import ImageStarted

        match event:
            case Message():
                tell(type(event)(f"{self.name}: {event.text}" if self.name else event.text, event.level))
            case ImageStarted():
                self.name, self.n_frames, self.began = printable(event.name), 1, time.monotonic()
                if self.bar is not None:
                    self.bar.update(self.images, completed=event.index, total=event.n_images)
                    self.bar.reset(self.tiles, description=self.name, total=None)
            case PredictionStarted():
                self.n_frames = event.n_frames
                if self.bar is not None:
                    self.bar.update(self.tiles, total=max(event.n_frames * event.n_tiles, 1))
            case TileFinished():
                self._tile(event.frame, event.tile, event.n_tiles)
            case ClusteringStarted():
                if self.bar is not None:
                    self.bar.update(self.tiles, description=f"{self.name}: collecting objects")
            case PairTried():
                if self.bar is not None:
                    self.bar.update(self.images, completed=event.done, total=event.n_pairs, description="thresholds")
            case ImageSaved():
                left_out = f", {event.n_left_out} left out" if event.n_left_out else ""
                seconds = time.monotonic() - self.began
                self._finish(f"{event.name}: {count(event.n_objects, 'object')}{left_out}, {seconds:.1f} s")
            case ImageSkipped():
                self._finish(f"{event.name}: segmented before")
            case ImageFailed():
                text, path = sentence(event.error), str(event.path)
                complain(text if path in text else text.replace("Error: ", f"Error: {path}: ", 1))
                # One that cannot be read is not begun.
                self._finish(f"{event.path.name}: failed")

    def _tile(self, frame: int, tile: int, n_tiles: int) -> None:
        if self.bar is not None:
            self.bar.update(self.tiles, completed=frame * n_tiles + tile, description=self.name)
        elif self.shown and time.monotonic() - self.last_line >= LOG_SECONDS:
            of = f"frame {frame + 1} of {self.n_frames}, " if self.n_frames > 1 else ""
            self._line(f"{self.name}: {of}tile {tile} of {n_tiles}")

    def _finish(self, text: str) -> None:
        """Tell how an image ended; what is said from now on is not of it."""
        self.name = ""
        if self.shown:
            self._line(text)
        if self.bar is not None:
            self.bar.advance(self.images)

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        say(text)


class PartProgress(Shown):
    """Shows how many parts of large images are measured, or frames linked; messages, too."""

    def __init__(self, shown: bool, doing: str = "measuring", done: str = "measured") -> None:
        super().__init__(shown)
        self.doing, self.done = doing, done
        self.task: Any = None
        self.last_line = time.monotonic()

    def _add_tasks(self, bar: Progress) -> None:
        self.task = bar.add_task(self.doing, total=None)

    def __call__(self, event: Any) -> None:
        """Show one event."""
        from embedseg_napari.core.events import Message
        from embedseg_napari.core.measure.measurements import PartMeasured
        from embedseg_napari.core.tracking.run import FrameLinked

        if isinstance(event, Message):
            tell(event)
        elif isinstance(event, (PartMeasured, FrameLinked)):
            if self.bar is not None:
                self.bar.update(self.task, total=event.n_parts, completed=event.done)
            elif self.shown and time.monotonic() - self.last_line >= LOG_SECONDS:
                self.last_line = time.monotonic()
                say(f"part {event.done} of {event.n_parts} {self.done}")
