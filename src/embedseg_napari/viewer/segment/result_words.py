"""What a segmentation found, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedseg_napari.core.wording import count
from embedseg_napari.viewer.result_layers import is_shown
from embedseg_napari.viewer.widgets.boxes import short

if TYPE_CHECKING:
    from embedseg_napari.viewer.segment.results import ResultLayers


def result_words(results: ResultLayers, suffix: str) -> str:
    """How many objects the chosen result has, and what became of others.

    Parameters
    ----------
    results : ResultLayers
        One is chosen.
    suffix : str
        Follows the number; empty where sliders found the objects anew.
    """
    assert results.chosen is not None
    shown = results.chosen.shown.segmentation
    n, frames = len(shown.scores), len(shown.frames)
    where = f" in {frames} frames" if frames > 1 else ""
    text = f"{count(n, 'object')}{where}{suffix}."
    if not n and not suffix and not shown.n_left_out:
        # A slider found none; after a run the sentence below says more.
        text += f" Lower the {shown.settings.threshold_of_seeds} or the minimum size."
    if not n and results.chosen.instead_of is not None:
        text += " Undo shows again what was found before."
    if shown.n_left_out:
        text += f" {shown.n_left_out} more left out by size or border."
    kept = results.chosen.kept
    if kept is not None and is_shown(results.viewer, kept) and not kept.visible:
        new = short(results.chosen.name)
        text += f" {short(kept.name)} was edited and is kept, but hidden; these are in {new}."
    return text
