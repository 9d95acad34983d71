"""``embedseg predict`` of an image larger than memory: its options, and how far it is."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedseg_napari.cli.console import complain, say, tell
from embedseg_napari.cli.failures import StopRequest
from embedseg_napari.cli.progress import LOG_SECONDS, Shown
from embedseg_napari.core.runs import drain
from embedseg_napari.core.wording import count, duration

if TYPE_CHECKING:
    from rich.progress import Progress

BLOCKS = "Images in blocks"
RANGE = re.compile(r"(\d+):(\d+)")


def parse_region(text: str) -> tuple[tuple[int, int], ...]:
    """Read ``[Z0:Z1,]Y0:Y1,X0:X1``."""
    found = [RANGE.fullmatch(part.strip()) for part in text.split(",")]
    ranges = tuple((int(one[1]), int(one[2])) for one in found if one is not None)
    if len(ranges) != len(found) or len(ranges) not in (2, 3):
        raise typer.BadParameter(
            f"{text!r} is no region; write first and last-plus-one pixel per axis, such as 0:2048,0:2048 (Y,X) or "
            "0:40,0:2048,0:2048 (Z,Y,X)."
        )
    return ranges


def parse_block(text: str) -> tuple[int, ...]:
    """Read ``N`` or ``Z,Y,X``."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not 1 <= len(values) <= 3 or any(value < 8 or value % 8 for value in values):
        raise typer.BadParameter(f"{text!r} is no block; write multiples of 8 such as 2048, or 64,256,256 (Z,Y,X).")
    return values


def parse_halo(text: str) -> str | tuple[int, ...]:
    """Read ``auto``, ``exact``, ``N`` or ``Z,Y,X``."""
    if text in ("auto", "exact"):
        return text
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not 1 <= len(values) <= 3 or min(values) < 0:
        raise typer.BadParameter(f"{text!r} is no halo; write auto, exact, or pixels such as 64 or 16,48,48 (Z,Y,X).")
    return values


def parse_part(text: str) -> tuple[int, int]:
    """Read ``I/N``."""
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(f"{text!r} is no part; write such as 3/64, counted from 1.")
    return int(found[1]), int(found[2])


def _option(flag: str, text: str, metavar: str | None = None, parser: Any = None, **more: Any) -> Any:
    return typer.Option(flag, metavar=metavar, parser=parser, help=text, rich_help_panel=BLOCKS, **more)


Level = Annotated[int | None, _option("--level", "Resolution level of an OME-Zarr; 0 is the full one.", "N", min=0)]
RegionOption = Annotated[
    Any, _option("--region", "Segment only this part of an image in blocks.", "[Z0:Z1,]Y0:Y1,X0:X1", parse_region)
]
BlockOption = Annotated[
    Any,
    _option(
        "--block",
        "Pixels of a block, multiples of 8; larger ones are faster and need more memory. Also segments a TIFF in "
        "blocks. [default: what takes about 1.5 GB]",
        "N|Z,Y,X",
        parse_block,
    ),
]
HaloOption = Annotated[
    Any,
    _option(
        "--halo",
        "Pixels around a tile that the network sees, too: exact is all that can count, auto as much as does count. "
        "[default: auto]",
        "auto|exact|N|Z,Y,X",
        parse_halo,
    ),
]
LabelsName = Annotated[
    str | None, _option("--name", "Name of the labels in the image's store. [default: embedseg]", "NAME")
]
TableOption = Annotated[
    Path | None,
    _option("--table", "Where the table of objects goes. [default: a .csv beside the store]", "FILE.csv|FILE.parquet"),
]
Workers = Annotated[
    int | None, _option("--workers", "Processes that work on blocks at the same time. [default: 1]", "N", min=1)
]
Scheduler = Annotated[
    str | None, _option("--scheduler", "A running scheduler of Dask whose workers do the blocks.", "ADDRESS|FILE")
]
Part = Annotated[
    Any,
    _option("--part", "Do only this part of the blocks, such as 3/64, for a job array; then --finish.", "I/N",
            parse_part),
]  # fmt: skip
Finish = Annotated[bool, _option("--finish", "Write labels and table of the blocks that parts have done.")]
DryRunOption = Annotated[
    bool, _option("--dry-run", "Only say how many blocks there are, and what memory, disk and time they need.")
]
AllBlocks = Annotated[bool, _option("--all-blocks", "Run the network also over blocks of nothing but background.")]


def segment_in_blocks(
    image: Path, model: str, output: Path | None, device: str, changes: dict[str, Any], given: dict[str, Any],
    *, axes: str | None, channel: Any, overwrite: bool, shown: bool,
) -> None:  # fmt: skip
    """Segment one image in blocks, or say what that would take."""
    from embedseg_napari.jobs.large.dry_run import dry_run
    from embedseg_napari.jobs.large.plan import DEFAULT_NAME, LargeJob
    from embedseg_napari.jobs.large.run import predict_large, seam_words

    job = LargeJob(
        image,
        model,
        device,
        changes,
        axes,
        "all" if channel is None else channel,
        given["level"] or 0,
        given["region"],
        output,
        given["name"] or DEFAULT_NAME,
        given["table"],
        overwrite,
        block=given["block"][0] if given["block"] and len(given["block"]) == 1 else given["block"],
        halo=given["halo"] or "auto",
        workers=given["workers"] or 1,
        scheduler=given["scheduler"],
        part=given["part"],
        finish=given["finish"],
        skip_background=not given["all_blocks"],
    )
    request, progress, began = StopRequest(), LargeProgress(shown), time.monotonic()
    with request.listening("Stopping; blocks that are done stay. Press Ctrl-C again to end at once."):
        if given["dry_run"]:
            for line in drain(dry_run(job, request), progress).lines():
                say(line)
            return
        with progress.showing():
            result = drain(predict_large(job, request), progress)
    if result.stopped:
        left = f"{result.n_missing} of {count(result.n_blocks, 'block')} left" if result.n_missing else "labels left"
        complain(f"Stopped: {left}; what is done stays, and the same command goes on from there.")
        raise typer.Exit(request.status)
    if not result.is_finished:
        say(
            f"{count(result.n_blocks - result.n_missing, 'block')} of {result.n_blocks} done; when all parts are "
            "through, --finish writes the labels"
        )
        return
    left_out = f", {result.n_left_out} left out" if result.n_left_out else ""
    say(f"{image.name}: {count(result.n_objects, 'object')}{left_out}, {time.monotonic() - began:.1f} s")
    if result.n_background:
        say(f"{count(result.n_background, 'block')} of {result.n_blocks} skipped as nothing but background")
    say(seam_words(result).removesuffix("."))
    table = "" if result.table is None else f", the table in {result.table}"
    say(f"Labels are in {result.labels}{table}")


class LargeProgress(Shown):
    """Shows the events of a run over blocks.

    Parameters
    ----------
    shown : bool
        False leaves only messages.
    """

    def __init__(self, shown: bool) -> None:
        super().__init__(shown)
        self.task: Any = None
        self.last_line = time.monotonic()

    def _add_tasks(self, bar: Progress) -> None:
        self.task = bar.add_task("blocks", total=None)

    def __call__(self, event: Any) -> None:
        """Show one event."""
        from embedseg_napari.core.events import Message
        from embedseg_napari.jobs.large.run import BlockFinished, BlocksStarted, Finishing

        match event:
            case Message():
                tell(event)
            case BlocksStarted():
                if event.n_done:
                    say(f"{event.n_done} of {count(event.n_blocks, 'block')} done before")
                if self.bar is not None:
                    self.bar.update(self.task, total=event.n_wanted)
            case BlockFinished():
                words = f"block {event.done} of {event.n_wanted}, {duration(event.seconds_left)} left"
                if self.bar is not None:
                    self.bar.update(self.task, completed=event.done, description="blocks")
                elif self.shown and time.monotonic() - self.last_line >= LOG_SECONDS:
                    self.last_line = time.monotonic()
                    say(words)
            case Finishing():
                if self.bar is not None:
                    self.bar.update(self.task, completed=event.done, total=event.of, description="writing labels")
