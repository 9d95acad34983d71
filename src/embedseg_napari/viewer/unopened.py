"""What napari cannot open: why, in a sentence, where napari itself shows the errors of its libraries.

A reader of our own for these files would make napari ask for a reader at every one of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.errors import NoAvailableReaderError, ReaderPluginError
from napari.utils.notifications import ErrorNotification, notification_manager, show_error
from psygnal import Signal
from qtpy.QtCore import QTimer

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.formats import way_out
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.picture import TIFF
from embedseg_napari.core.files.zarr_image import is_store

if TYPE_CHECKING:
    from os import PathLike

MENU = "File > IO Utilities > EmbedSeg: Open a folder of images and masks, or an OME-Zarr…"


class UnopenedFiles:
    """Hears of files that napari could not open, and says what is wrong with them."""

    explained = Signal(str)
    """The sentence."""

    def __init__(self) -> None:
        self._is_watching = False

    def watch(self) -> None:
        """Begin to listen; calling it again does no harm."""
        if not self._is_watching:
            self._is_watching = True
            notification_manager.notification_ready.connect(self._take)

    def _take(self, notification: Any) -> None:
        error = notification.exception if isinstance(notification, ErrorNotification) else None
        if isinstance(error, (ReaderPluginError, NoAvailableReaderError)):
            sentence = why_not(error.paths[0])
            # After napari's own message, which would cover it.
            QTimer.singleShot(0, lambda: self._say(sentence))

    def _say(self, sentence: str) -> None:
        show_error(sentence)
        self.explained.emit(sentence)


unopened = UnopenedFiles()
"""The one that all panels share."""


def why_not(path: str | PathLike[str]) -> str:
    """Why a file is not opened, and what to do."""
    file = Path(path)
    if not file.suffix or not (file.is_file() or is_store(file)):
        return f"{file.name}: napari opens no such file; drop an image, such as a TIFF."
    if not is_store(file) and file.suffix.lower() not in TIFF:
        return f"{file.name}: {way_out(file.suffix.lower())}."
    try:
        open_image(file)
    except DataError as error:
        return f"{str(error).replace(str(file), file.name)} Nothing was opened."
    if is_store(file):
        return f"{file.name}: napari does not open this OME-Zarr; open it with {MENU}"
    return f"{file.name}: its pixels are damaged or of a kind napari cannot read; save it anew, for example with Fiji."
