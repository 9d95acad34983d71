"""The Track panel, opened through the manifest, and a movie of cells that divide."""

from __future__ import annotations

import pytest

from embedseg_napari.core.data.dividing_cells import dividing_cells, unlinked


@pytest.fixture
def panel(open_panel):
    return open_panel("EmbedSeg: Track")


@pytest.fixture
def layer(viewer):
    movie = dividing_cells(12, 6, 3, seed=2)
    return viewer.add_labels(
        unlinked(movie.labels), name="cells", scale=(1, 0.5, 0.5), axis_labels=("t", "y", "x"), units=("s", "um", "um")
    )
