"""What the network in training finds by now, shown from time to time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedseg_napari.core.data.normalization import normalize
from embedseg_napari.core.events import Message, PreviewReady
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

    said: set[str] = field(default_factory=set)
    """Why there was none."""

    def is_due(self) -> bool:
        """Whether it is time for the next."""
        return time.monotonic() - self.last > max(PREVIEW_SECONDS, (self.cost or 0.0) / PREVIEW_SHARE)

    def take(
        self, ask: Callable[[], Example | None], model: Callable[[], Model], precision: str, step: int
    ) -> Iterator[PreviewReady | Message]:
        """Show an image, if there is one; where that fails, say so once: training goes on."""
        now = time.monotonic()
        shown: PreviewReady | Message | None = None
        try:
            example = ask()
            if example is not None:
                shown = _preview(example, model(), precision, step)
        except Exception as error:  # noqa: BLE001 (told to the user, whatever it is; any program may read the image)
            text = f"Training goes on without this preview: {str(error) or type(error).__name__}"
            shown = None if text in self.said else Message(text, "warning")
            self.said.add(text)
        if shown is not None:
            yield shown
        self.last = time.monotonic()
        # The first one also loads and compiles what later ones find ready; it says nothing about their cost.
        self.cost = 0.0 if self.cost is None else self.last - now


def _preview(example: Example, model: Model, precision: str, step: int) -> PreviewReady:
    is_ready = example.is_normalized
    segmentation = model.predict(
        example.image,
        "CZYX" if example.ndim == 3 else "CYX",
        normalize=not is_ready,
        precision=precision,
        # Nobody wants to be warned of what a network finds that has hardly learned.
        on_event=unheard,
        progress=False,
    )
    return PreviewReady(
        name=example.name,
        image=example.image if is_ready else normalize(example.image, model.config.normalization),
        maps=segmentation.maps,
        labels=segmentation.labels,
        centers=segmentation.centers,
        scores=segmentation.scores,
        step=step,
    )
