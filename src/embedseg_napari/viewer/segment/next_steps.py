"""What may be done with the objects that were found: buttons that lead on, and a file that keeps axes and scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QWidget

from embedseg_napari.core.errors import EmbedSegError
from embedseg_napari.core.files.names import portable_name
from embedseg_napari.viewer.files.writers import save_labels
from embedseg_napari.viewer.labelled_images import found_within, shares_pixels
from embedseg_napari.viewer.layers import file_of
from embedseg_napari.viewer.result_layers import is_shown
from embedseg_napari.viewer.widgets.boxes import button, short
from embedseg_napari.viewer.worker import report_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedseg_napari.viewer.segment.results import ResultLayers


class NextSteps(QWidget):
    """*Measure*, *Track* where there are several frames, and *Save labels…*.

    Parameters
    ----------
    results : ResultLayers
        What was found.
    open_panel : callable
        Brings the panel of a name forward.
    """

    def __init__(self, results: ResultLayers, open_panel: Callable[[str], Any]) -> None:
        super().__init__()
        self._results, self._open_panel = results, open_panel
        self.measure = button("Measure", "Size, shape and brightness of each object.", lambda: self._lead_to("Measure"))
        self.track = button("Track", "Follow each object from frame to frame.", lambda: self._lead_to("Track"))
        # By default napari's own dialog writes a TIFF that says nothing of axes and pixel size.
        self.save = button("Save labels…", "Save the labels as a TIFF with axes and pixel size.", self._ask)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for one in (self.measure, self.track, self.save):
            row.addWidget(one)

    def refresh(self) -> None:
        """Show what can be done now."""
        result = self._results.chosen
        self.setVisible(self._results.labels is not None)
        self.track.setVisible(result is not None and len(result.shown.segmentation.frames) > 1)

    def _lead_to(self, panel: str) -> None:
        result = self._results.chosen
        if result is None or result.labels is None:
            return
        labels, image = result.labels, result.selection.layer
        # A part that was tried out may be of another level.
        fits = not result.selection.stands_alone or shares_pixels(image, labels)
        if not fits:
            show_info(f"{short(labels.name)} has other pixels than {short(image.name)}: no brightness is measured.")
        self._open_panel(f"EmbedSeg: {panel}").take_over(labels, image if fits else None)

    def _ask(self) -> None:
        result = self._results.chosen
        if result is None or result.labels is None:
            return
        try:
            folder = file_of(result.selection.layer).parent
        except EmbedSegError:
            folder = Path()
        proposed = folder / f"{portable_name(result.labels.name, 'labels')}.tif"
        path, _ = QFileDialog.getSaveFileName(self, "Save labels", str(proposed), "TIFF (*.tif *.tiff)")
        if path:
            self.write(Path(path))

    def write(self, path: Path) -> None:
        """Write the labels; the dialog has asked whether the file of this very name may be replaced."""
        result, labels = self._results.chosen, self._results.labels
        assert result is not None
        assert labels is not None
        try:
            path = save_labels(labels, path)
        except EmbedSegError as error:
            report_error(error)
        else:
            within = found_within(labels, [result.selection.layer])
            words = "" if within is None or not within.words else f" It begins at {within.words} of the image."
            if any(is_shown(self._results.viewer, layer) for layer, _ in result.whole):
                # Those are seen, and the labels are hidden meanwhile.
                words += (
                    " Objects are cut where they cross; Export… in Measure writes them whole for Fiji, QuPath and COCO."
                )
            show_info(f"Saved {short(path.name)}.{words}")
