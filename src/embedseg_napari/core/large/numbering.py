"""From provisional ids to 1..n, block by block: nothing is gathered but what cannot be told otherwise."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from embedseg_napari.core.clustering.task import least_faint_size
from embedseg_napari.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embedseg_napari.core.config import PredictionConfig
    from embedseg_napari.core.large.grid import Block, BlockGrid

MOST_OBJECTS = 2**32 - 1


@dataclass(frozen=True, slots=True)
class SeamReport:
    """How well blocks agree on the objects that several of them see."""

    n_at_seams: int
    """Objects that have pixels in several cores."""
    n_agreed: int
    """Those that all these blocks found, with the very same pixels."""
    n_differing: int
    """Those that all of them found, but not with the same pixels."""
    n_doubles: int
    """Those of which a block gives its pixels to other objects, or to none."""
    n_orphans: int
    """Objects that only others found than the block in which they start; kept as far as they were seen."""
    n_cut: int
    """Objects that reach the end of what their block looked at, and may go on."""

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)

    def __str__(self) -> str:
        if not (self.n_at_seams or self.n_orphans or self.n_cut):
            return "Seams: no object lies across."
        if self.n_agreed == self.n_at_seams and not (self.n_orphans or self.n_cut):
            return f"Seams: {self.n_at_seams} objects lie across, and both sides agree on every pixel of all of them."
        parts = [
            f"both sides agree on every pixel of {self.n_agreed}",
            f"{self.n_differing} differ by some pixels",
            f"{self.n_doubles} are seen by one side only",
        ]
        if self.n_orphans:
            parts.append(f"{self.n_orphans} were found only beyond the block they start in")
        if self.n_cut:
            parts.append(f"{self.n_cut} are larger than the halo; a larger --halo shows them whole")
        return f"Seams: {self.n_at_seams} objects lie across; {'; '.join(parts)}."


class Numbering:
    """The numbers of a run's objects.

    Objects are numbered block by block, and within a block by the place of their seed. Those that the settings leave
    out, and small ones that start faintly, have none.

    Parameters
    ----------
    grid : BlockGrid
        How the image was cut.
    rows : callable
        Gives the rows of a block.
    settings : PredictionConfig
        Of the run.
    """

    def __init__(self, grid: BlockGrid, rows: Callable[[Block], NDArray[Any]], settings: PredictionConfig) -> None:
        self.grid, self.settings = grid, settings
        self.rows = lru_cache(maxsize=4 * max(16, *grid.counts))(lambda number: rows(grid.block(number)))
        self._kept = lru_cache(maxsize=4 * max(16, *grid.counts))(self._keep)
        self.n_left_out = 0
        self.least = self._least_faint()
        self.orphans: dict[int, int] = {}
        self.offsets = self._count()

    @property
    def n_objects(self) -> int:
        """How many there are."""
        return int(self.offsets[-1])

    def numbers(self, number: int) -> NDArray[np.uint32]:
        """New number of 0 and of each row of a block; 0 for those left out."""
        rows = self.rows(number)
        out = np.zeros(len(rows) + 1, np.uint32)
        owners = self.grid.owners(rows["id"])
        for owner in np.unique(owners):
            ids, of_owner = self._kept(int(owner))
            here = np.flatnonzero(owners == owner)
            out[here + 1] = _look_up(rows["id"][here], ids, of_owner)
        for at in np.flatnonzero(~rows["is_own"]):
            out[at + 1] = self.orphans.get(int(rows["id"][at]), out[at + 1])
        return out

    def told(self, number: int) -> tuple[NDArray[np.uint32], NDArray[Any]]:
        """Numbers and rows of the objects that the table has from a block, by rising number."""
        rows, numbers = self.rows(number), self.numbers(number)[1:]
        low, high = self.offsets[number], self.offsets[number + 1]
        here = np.flatnonzero((numbers > low) & (numbers <= high))
        here = here[np.argsort(numbers[here])]
        return numbers[here], rows[here]

    def seams(self) -> SeamReport:
        """Compare what the blocks on both sides of their borders found."""
        counts: Counter[str] = Counter(n_orphans=len(self.orphans))
        for number in range(len(self.grid)):
            rows, numbers = self.rows(number), self.numbers(number)[1:]
            counts["n_cut"] += int(np.count_nonzero(rows["is_cut"] & rows["is_own"] & (numbers > 0)))
            across = rows[rows["is_own"] & (rows["n_cores"] > 1) & (numbers > 0)]
            across = np.concatenate([across, rows[rows["is_own"] & ~rows["is_in_core"] & (numbers > 0)]])
            across = across[np.unique(across["id"], return_index=True)[1]]
            n_found, is_same = np.zeros(len(across), np.int64), np.ones(len(across), bool)
            for other in self.grid.neighbours(number) if len(across) else []:
                seen = self.rows(other)
                at = np.flatnonzero(np.isin(seen["id"], across["id"]))
                place = np.searchsorted(across["id"], seen["id"][at])
                n_found[place] += 1
                is_same[place] &= seen["pixels"][at] == across["pixels"][place]
            is_whole = n_found == across["n_cores"] - across["is_in_core"]
            counts["n_at_seams"] += len(across)
            counts["n_agreed"] += int(np.count_nonzero(is_whole & is_same))
            counts["n_differing"] += int(np.count_nonzero(is_whole & ~is_same))
            counts["n_doubles"] += int(np.count_nonzero(~is_whole))
        names = ("n_at_seams", "n_agreed", "n_differing", "n_doubles", "n_orphans", "n_cut")
        return SeamReport(*(counts[name] for name in names))

    def _least_faint(self) -> list[float]:
        """Per frame, pixels that an object needs that starts faintly: by the median of the others' sizes."""
        least = []
        for frame in range(self.grid.n_frames):
            sizes: Counter[int] = Counter()
            for number in self._of_frame(frame) if self.settings.faint_seeds else ():
                rows = self.rows(number)
                values = rows["n_claimed"][rows["is_own"] & ~rows["is_faint"]]
                sizes.update(dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True)))
            least.append(least_faint_size(_median(sizes)))
        return least

    def _of_frame(self, frame: int) -> range:
        return range(frame * self.grid.n_per_frame, (frame + 1) * self.grid.n_per_frame)

    def _is_unwanted(self, rows: NDArray[Any], frame: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Objects that are remains between others, and those that the settings leave out."""
        is_remains = rows["is_faint"] & (rows["n_claimed"] < self.least[frame]) & ~rows["is_at_border"]
        is_left_out = np.zeros(len(rows), bool)
        if self.settings.max_object_size:
            is_left_out |= rows["size"] > self.settings.max_object_size
        if self.settings.drop_border_objects:
            is_left_out |= rows["is_at_border"]
        return is_remains, is_left_out & ~is_remains

    def _own(self, number: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64], int]:
        """Ids of all objects that started in a block, rising; those that are kept; and how many are left out."""
        rows = self.rows(number)
        own = rows[rows["is_own"]]
        is_remains, is_left_out = self._is_unwanted(own, number // self.grid.n_per_frame)
        kept = own["id"][~(is_remains | is_left_out)]
        return np.sort(own["id"]), np.sort(kept), int(np.count_nonzero(is_left_out))

    def _keep(self, number: int) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """Ids that are kept of those that started in a block, rising, and their numbers."""
        _, kept, _ = self._own(number)
        first = int(self.offsets[number]) + 1
        return kept, np.arange(first, first + len(kept), dtype=np.uint32)

    def _count(self) -> NDArray[np.int64]:
        """Objects before each block; orphans are counted to the first block that sees them."""
        own = lru_cache(maxsize=4 * max(16, *self.grid.counts))(self._own)
        totals = [0]
        for number in range(len(self.grid)):
            rows = self.rows(number)
            _, kept, n_left_out = own(number)
            self.n_left_out += n_left_out
            total = totals[-1] + len(kept)
            foreign = rows[~rows["is_own"]]
            owners = self.grid.owners(foreign["id"])
            is_remains, is_left_out = self._is_unwanted(foreign, number // self.grid.n_per_frame)
            for owner in np.unique(owners):
                ids, _, _ = own(int(owner))
                is_orphan = (owners == owner) & ~np.isin(foreign["id"], ids) & ~(is_remains | is_left_out)
                for orphan in foreign["id"][is_orphan].tolist():
                    if orphan not in self.orphans:
                        total += 1
                        self.orphans[orphan] = total
            totals.append(total)
        if totals[-1] > MOST_OBJECTS:
            raise DataError(
                f"There are {totals[-1]} objects, more than {MOST_OBJECTS} that 32-bit labels can number; segment "
                "regions of the image one by one."
            )
        return np.array(totals, np.int64)


def _look_up(wanted: NDArray[np.uint64], ids: NDArray[np.uint64], numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Numbers of ids, 0 for those that are not there; `ids` rise."""
    if not len(ids):
        return np.zeros(len(wanted), np.uint32)
    at = np.searchsorted(ids, wanted).clip(0, len(ids) - 1)
    return np.where(ids[at] == wanted, numbers[at], 0).astype(np.uint32)


def _median(counts: Counter[int]) -> float:
    """Of values above 0 and how often they are there; 0 where there are none."""
    values = sorted(value for value in counts if value > 0)
    n = sum(counts[value] for value in values)
    if not n:
        return 0.0
    ends = np.cumsum([counts[value] for value in values])
    middle = np.searchsorted(ends, [(n - 1) // 2, n // 2], side="right")
    return float(values[middle[0]] + values[middle[1]]) / 2
