"""OME-Zarr as layers: the image in all its resolutions, and its labels on top.

Napari's own reader opens the first group that it finds in a store, which in an image with labels is not the image.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QObject

from embedseg_napari.core.errors import DataError, EmbedSegError
from embedseg_napari.core.files.in_parts import open_image
from embedseg_napari.core.files.ngff import find_group, names_of_labels
from embedseg_napari.core.files.pairing import image_name
from embedseg_napari.core.files.picture import Picture
from embedseg_napari.core.files.zarr_image import is_store
from embedseg_napari.viewer.files.image_files import image_layer, labels_layer
from embedseg_napari.viewer.files.live import LiveArray, levels_of

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from embedseg_napari.core.files.lazy_image import LazyImage
    from embedseg_napari.viewer.files.image_files import LayerData

logger = logging.getLogger(__name__)


def open_store(viewer: Viewer, path: Path) -> list[Layer]:
    """Open an image, or labels, and the labels that lie in the image; pixels are read when they are looked at.

    Raises
    ------
    DataError
        If it holds no image that can be read.
    """
    return [
        (viewer.add_labels if kind == "labels" else viewer.add_image)(data, **options)
        for data, options, kind in _layers(path)
    ]


def _layers(path: Path) -> list[LayerData]:
    image = open_image(path)
    if image.left_out:
        logger.warning("%s: %s.", path, image.left_out)
    name = image.path.name if image.is_labels else image_name(path)
    picture = _picture(image)
    layer = _with_levels(labels_layer(picture, name) if image.is_labels else image_layer(picture, name), image)
    layers = [_live(layer, image) if image.is_labels else layer]
    group = find_group(path)
    if group is not None and group.named is None and not image.is_labels:
        for label in names_of_labels(image.path):
            try:
                labels = open_image(image.path / "labels" / label)
            except DataError as error:
                # The image is worth seeing without them.
                logger.warning("%s", error)
                continue
            layers.append(_live(_with_levels(labels_layer(_picture(labels), label, picture), labels), labels))
    return layers


def _picture(image: LazyImage) -> Picture:
    array = LiveArray(image).as_dask()
    return Picture(
        array, image.axes, image.spacing, image.unit, image.channel_names, image.path, interval=image.interval
    )


def _with_levels(layer: LayerData, image: LazyImage) -> LayerData:
    """The layer with all resolutions, where the image begins."""
    data, options, kind = layer
    if image.origin is not None:
        space = dict(zip((letter for letter in "ZYX" if letter in image.axes), image.origin, strict=True))
        options = {**options, "translate": tuple(space.get(letter, 0.0) for letter in image.axes)}
    if image.level > 0 or len(image.levels) < 2:
        return data, options, kind
    rest = [level.as_dask() for level in levels_of(image)[1:]]
    return [data, *rest], {**options, "multiscale": True}, kind


def _live(layer: LayerData, labels: LazyImage) -> LayerData:
    """Labels as they are on the disk at any time; those of one level, and floats, as they were."""
    data, options, kind = layer
    is_whole = labels.level == 0 and labels.dtype.kind in "ui"
    if not is_whole or not isinstance(data, list):
        return layer
    return levels_of(labels), options, kind


class StoreDrop(QObject):
    """Lets stores be dropped on a panel, which opens them with the labels in them.

    Napari offers readers of folders for every folder that is dropped on its window, so that one of ours would raise a
    question at each of them.

    Parameters
    ----------
    panel : QWidget
        Where.
    viewer : Viewer
        In which they are opened.
    """

    def __init__(self, panel: QWidget, viewer: Viewer) -> None:
        super().__init__(panel)
        self.viewer = viewer
        panel.setAcceptDrops(True)
        panel.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take stores; everything else goes on to napari's window."""
        if event is None or event.type() not in (QEvent.Type.DragEnter, QEvent.Type.Drop):
            return False
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if not paths or not all(is_store(path) for path in paths):
            event.ignore()
            return True
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            for path in paths:
                try:
                    open_store(self.viewer, path)
                except EmbedSegError as error:
                    show_error(str(error))
        return True
