"""The Labels layer that is a store: there from the first block on, and filled while others finish."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from embedseg_napari.viewer.files.live import live_levels, store_of
from embedseg_napari.viewer.layers import FOUND, RESULT, found_in
from embedseg_napari.viewer.result_layers import add_beside, is_shown

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from napari.layers import Labels
    from napari.viewer import Viewer

    from embedseg_napari.viewer.large.source import Source

PAUSE = 700
"""Milliseconds between two looks at a store that is being filled, at least; a look that takes longer pauses longer."""
MOST_ROWS = 200_000
"""Objects up to which a layer gets the table of them."""


class StoreLayer(QObject):
    """Shows one label image on the disk.

    Parameters
    ----------
    viewer : napari viewer
        Where.
    source : Source
        The image it belongs to.
    name : str
        Of the layer, where it is new.
    level : int
        Of the image, on whose pixels the labels lie.
    """

    def __init__(self, viewer: Viewer, source: Source, name: str, level: int, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer, self.source, self.name, self.level = viewer, source, name, level
        self.layer: Labels | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)

    def show(self, folder: Path) -> None:
        """Show the label image of a group, in the layer that shows it already or in a new one.

        Raises
        ------
        DataError
            If it cannot be read.
        """
        frame = self.source.frame(self.level)
        levels = live_levels(folder, frame.axes)
        found = {RESULT: FOUND, **found_in(self.source.layer)}
        there = layer_of(self.viewer, folder)
        if there is not None and there.data[0].shape == levels[0].shape:
            # The store may be a new one under the old name.
            there.data = levels
            # It may have been opened from the store, or be of an image that was closed since.
            there.metadata = {**there.metadata, **found}
            # It gave way to a part that was tried out.
            there.visible = True
            self.layer = there
            return
        if there is not None:
            # It is of another resolution now.
            self.viewer.layers.remove(there)
        options = {"multiscale": True, "metadata": {**found, "path": str(folder)}, **frame.options()}
        self.layer = add_beside(self.viewer, self.viewer.add_labels, levels, self.name, options)

    def look_soon(self) -> None:
        """Read anew what is in view, but not at every block."""
        if not self._timer.isActive():
            self._timer.start(PAUSE)

    def refresh(self) -> None:
        """Read anew what is in view."""
        self._timer.stop()
        if is_shown(self.viewer, self.layer):
            assert self.layer is not None
            began = time.monotonic()
            self.layer.refresh(extent=False)
            self._timer.setInterval(max(PAUSE, int(10_000 * (time.monotonic() - began))))

    def take_table(self, table: pd.DataFrame | None) -> None:
        """Give the layer the table of its objects."""
        if table is not None and is_shown(self.viewer, self.layer):
            assert self.layer is not None
            self.layer.features = table

    def stop(self) -> None:
        """Look at the store no longer."""
        self._timer.stop()


def layer_of(viewer: Viewer, folder: Path) -> Any:
    """The layer that shows the label image of a group; None if none does."""
    for layer in viewer.layers:
        store = store_of(layer)
        if store is not None and store.folder.resolve() == folder.resolve():
            return layer
    return None


def read_table(path: Path | None, n_objects: int) -> pd.DataFrame | None:
    """The table of objects as a layer takes it, one row per label; None where it is too large or not there.

    Parameters
    ----------
    path : Path, optional
        CSV or Parquet.
    n_objects : int
        Rows that it has.
    """
    import pandas as pd

    if path is None or n_objects > MOST_ROWS or not path.is_file():
        return None
    table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else pd.read_csv(path)
    # Napari finds the row of a label by this name.
    return table.rename(columns={"label": "index"})
