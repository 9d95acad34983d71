"""What a run over a large image has done so far: one file a block, complete or not there."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Self
from uuid import uuid4

import numpy as np
from pydantic import Field

from embedseg_napari.core.config import PredictionConfig  # noqa: TC001 (settings are read at run time)
from embedseg_napari.core.config.limits import RunEngine  # noqa: TC001 (likewise)
from embedseg_napari.core.data.normalization import Scaling
from embedseg_napari.core.errors import AlreadyExists, DataError, SettingsError
from embedseg_napari.core.files.atomic import version_of, write_atomically, write_text
from embedseg_napari.core.files.documents import parse_json, read_text
from embedseg_napari.core.large.block_objects import BlockResult, row_type
from embedseg_napari.core.large.grid import BlockGrid
from embedseg_napari.core.large.whole_image import WholeImage
from embedseg_napari.core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from embedseg_napari.core.large.grid import Block

RECORD = "run.json"
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
Side = Annotated[int, Field(ge=0, lt=2**48)]
Sides = Annotated[tuple[Side, ...], Field(min_length=2, max_length=3)]
Number = Annotated[float, Field(gt=-1e300, lt=1e300)]


class FrameScale(Settings):
    """Brightness of a frame, one value per channel; what has no limit is None."""

    shift: tuple[Number, ...]
    scale: tuple[Number, ...]
    least: tuple[Number | None, ...]
    most: tuple[Number | None, ...]
    contrast: tuple[Number, ...]

    @classmethod
    def of(cls, whole: WholeImage) -> Self:
        """As it is stored."""

        def finite(values: NDArray[np.float32]) -> list[float | None]:
            return [float(value) if np.isfinite(value) else None for value in values]

        scaling = whole.scaling
        return cls.parse(
            {name: finite(getattr(scaling, name)) for name in ("shift", "scale", "least", "most")}
            | {"contrast": [float(value) for value in whole.contrast]}
        )

    @property
    def whole(self) -> WholeImage:
        """As it is used."""

        def numbers(values: tuple[float | None, ...], without: float) -> NDArray[np.float32]:
            return np.array([without if value is None else value for value in values], np.float32)

        limits = numbers(self.least, -np.inf), numbers(self.most, np.inf)
        scaling = Scaling(numbers(self.shift, 0.0), numbers(self.scale, 1.0), *limits)
        return WholeImage(scaling, np.array(self.contrast))


class RunRecord(Settings):
    """All that each block of a run must know, the same for all."""

    version: Annotated[int, Field(ge=1, le=1)] = 1
    signature: Annotated[str, Field(max_length=200)]
    """Stands for the model and all that decides on labels."""
    token: Annotated[str, Field(pattern="^[0-9a-f]{0,32}$")] = ""
    """Tells this run from all others that are ever begun in its place; those of earlier versions have none."""
    model: str
    """Name or file."""
    image: str
    """Where the image is; empty for an array in memory."""
    level: Annotated[int, Field(ge=0, lt=100)] = 0
    axes: Annotated[str, Field(max_length=20)] | None = None
    """Where its file does not say, or is said to be wrong."""
    channel: Annotated[int, Field(ge=0)] | str = "all"
    region: tuple[Sides, Sides]
    """First pixel, and one past the last, of the part of the image that is segmented."""
    n_frames: Annotated[int, Field(ge=1, lt=2**31)] = 1
    block: Sides
    halo: Sides
    margin: Sides
    tile: Sides
    precision: str
    engine: RunEngine = "torch"
    """What runs the network, for all blocks; earlier versions knew nothing else."""
    settings: PredictionConfig
    skips_background: bool = True
    frames: tuple[FrameScale, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape of what is segmented."""
        return tuple(b - a for a, b in zip(*self.region, strict=True))

    @property
    def grid(self) -> BlockGrid:
        """How it is cut."""
        return BlockGrid(self.shape, self.block, self.halo, self.n_frames)


class RunFolder:
    """A folder in which a run leaves what its blocks found, until the labels are written.

    Parameters
    ----------
    path : Path
        Need not exist.
    token : str
        Of the run whose blocks are meant, as its record says.
    """

    def __init__(self, path: Path, token: str = "") -> None:
        self.path, self.token = path, token

    def begin(self, record: RunRecord) -> RunRecord:
        """Write what the run is, or find that it is the one begun before, by whatever process.

        Raises
        ------
        DataError
            If another run was begun here, or nothing can be written.
        """
        record = record.model_copy(update={"token": uuid4().hex})
        try:
            write_text(self.path / RECORD, record.model_dump_json(indent=1), overwrite=False)
        except AlreadyExists:
            return self.of(record.signature)
        return record

    def of(self, signature: str) -> RunRecord:
        """The run that was begun, which must be the one of this signature.

        Raises
        ------
        AlreadyExists
            If it is another one.
        DataError
            If it cannot be read.
        """
        begun = self.record()
        if begun.signature != signature:
            raise AlreadyExists(
                f"{self.path}: was begun with another model or other settings, or its image was changed since; run it "
                "with those to go on, choose another name or output, or start anew with --overwrite."
            )
        return begun

    @property
    def is_begun(self) -> bool:
        """Whether there is a run."""
        return (self.path / RECORD).exists()

    def is_of(self, signature: str) -> bool:
        """Whether there is a run of this signature; one that cannot be read is none."""
        try:
            return self.record().signature == signature
        except DataError:
            return False

    @property
    def is_there(self) -> bool:
        """Whether the run that was begun here last is the one of the token, and not through."""
        version = version_of(self.path / RECORD)
        try:
            return version is not None and _token_of(self.path, version) == self.token
        except DataError:
            return False

    def gone(self) -> DataError:
        """What is said to whoever wants to go on with a run that is not there."""
        return DataError(
            f"{self.path}: this run is no longer there, with what was done; its disk was taken away, or another "
            "program has begun these labels anew (--overwrite). Run it again where it is, or with another name for the "
            "labels (--name, or --output)."
        )

    def record(self) -> RunRecord:
        """What the run is.

        Raises
        ------
        DataError
            If there is none, or it cannot be read.
        """
        path = self.path / RECORD
        try:
            return RunRecord.parse(parse_json(read_text(path)))
        except FileNotFoundError as error:
            raise DataError(f"{self.path}: no run was begun here.") from error
        except (OSError, ValueError, SettingsError) as error:
            raise DataError(f"{path}: cannot be read ({error}); start anew with --overwrite.") from error

    def block_file(self, number: int) -> Path:
        """Where the result of a block is; a run that was begun in the place of another has none of its blocks."""
        return self.path / "blocks" / self.token / f"{number // 1000:04}" / f"{number:07}.npz"

    def has(self, number: int) -> bool:
        """Whether a block is done; a file that ends too early is that of none."""
        return zipfile.is_zipfile(self.block_file(number))

    def save(self, number: int, result: BlockResult) -> None:
        """Keep what a block found; when this returns, it outlasts a crash.

        Where the folder is gone, nothing is written: another program is through, or the disk was taken away.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        if not self.path.is_dir():
            return
        labels = result.labels
        if len(result.rows) < 2**16:
            labels = labels.astype(np.uint16)

        def write(target: Path) -> None:
            with target.open("wb") as file:
                np.savez_compressed(file, labels=labels, rows=result.rows, is_background=result.is_background)

        write_atomically(self.block_file(number), write)

    def load(self, block: Block) -> BlockResult:
        """What a block found.

        Raises
        ------
        DataError
            If its file is missing or damaged.
        """
        with self._open(block.number) as archive:
            labels = archive["labels"]
        rows = self.rows(block)
        if labels.shape != block.core.shape or labels.dtype.kind != "u" or int(labels.max(initial=0)) > len(rows):
            raise self._damaged(block.number, "its labels do not fit")
        return BlockResult(labels, rows)

    def rows(self, block: Block) -> NDArray[Any]:
        """The objects of a block only."""
        with self._open(block.number) as archive:
            rows: NDArray[Any] = archive["rows"]
        if rows.dtype != row_type(len(block.core.shape)) or rows.ndim != 1:
            raise self._damaged(block.number, "its objects do not fit")
        return rows

    def is_background(self, number: int) -> bool:
        """Whether a block was skipped as background."""
        with self._open(number) as archive:
            return bool(archive["is_background"])

    @contextmanager
    def _open(self, number: int) -> Iterator[Any]:
        try:
            with self.block_file(number).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                yield archive
        except UNREADABLE as error:
            raise self._damaged(number, error) from error

    def _damaged(self, number: int, why: object) -> DataError:
        path = self.block_file(number)
        return DataError(f"{path}: cannot be read ({why}); delete it and run again, and this block is done anew.")


@lru_cache(maxsize=8)
def _token_of(path: Path, version: tuple[int, ...]) -> str:
    """The token of the run in a folder, read once for each version of its record: that of a long movie is large."""
    return RunFolder(path).record().token
