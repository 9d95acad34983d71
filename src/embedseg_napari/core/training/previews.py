"""What the network in training finds by now, shown from time to time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.events import PreviewReady
from embedseg_napari.core.runs import unheard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embedseg_napari.core.data.example import Example
    from embedseg_napari.core.model.model import Model

PREVIEW_SHARE = 0.03
"""Part of the time that previews may take (benchmarks/overhead.py)."""
PREVIEW_SECONDS = 3.0


@dataclass(slots=True)
class Previews:
    """When the next preview is due, by what the last one cost."""

    last: float = 0.0
    """`time.monotonic` of the last."""
    cost: float | None = None
    """Seconds that it took; None before the first."""

    def take(
        self, ask: Callable[[], Example | None], model: Callable[[], Model], precision: str, step: int
    ) -> Iterator[PreviewReady]:
        """Show an image, if it is time and there is one."""
        now = time.monotonic()
        if now - self.last <= max(PREVIEW_SECONDS, (self.cost or 0.0) / PREVIEW_SHARE):
            return
        example = ask()
        if example is not None:
            yield _preview(example, model(), precision, step)
        self.last = time.monotonic()
        # The first one also loads and compiles what later ones find ready; it says nothing about their cost.
        self.cost = 0.0 if self.cost is None else self.last - now


def _preview(example: Example, model: Model, precision: str, step: int) -> PreviewReady:
    config, is_ready = model.config, example.is_normalized
    segmentation = model.predict(
        # Nobody wants to be warned of what a network finds that has hardly learned.
        example.image, config.axes, normalize=not is_ready, precision=precision, on_event=unheard, progress=False
    )  # fmt: skip
    return PreviewReady(
        name=example.name,
        image=example.image if is_ready else normalize(example.image, config.normalization),
        maps=segmentation.maps,
        labels=segmentation.labels,
        centers=segmentation.centers,
        scores=segmentation.scores,
        step=step,
    )
