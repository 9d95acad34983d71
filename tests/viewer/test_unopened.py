"""Files that napari cannot open: our sentence follows its own."""

from __future__ import annotations

import numpy as np
import pytest
from store_steps import write_store

from embedseg_napari.viewer.unopened import why_not

# Napari's reader tries all plugins of imageio, old ones too, and those leave the file open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def dropped(viewer, qtbot):
    """Drop a file on the viewer as the mouse does; what napari's hook makes of an error is part of it."""
    from napari.utils.notifications import notification_manager

    def drop(path):
        before = len(notification_manager.records)
        try:
            viewer.__wrapped__.window._qt_viewer._qt_open([str(path)], stack=False)
        except ValueError as error:
            notification_manager.receive_error(type(error), error, error.__traceback__)
        qtbot.waitUntil(lambda: len(notification_manager.records) > before + 1)
        return notification_manager.records[-1].message

    yield drop
    # An error that is kept would keep the viewer.
    notification_manager.records.clear()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.tif", "Exposure: 20 ms für Bild 1\n".encode(), "holds text and no image, though its name ends in .tif"),
        ("empty.tif", b"", "is empty; copy it again"),
        ("zeros.tif", bytes(900), "holds nothing but zeros; copy it again"),
        ("picture.tif", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "of another format than its name says"),
        ("table.xyz", b"1", "not an image that can be read here"),
    ],
)
@pytest.mark.usefixtures("whole_window")
def test_what_is_no_image_is_said_in_the_panel_and_as_a_notification(
    viewer, open_panel, dropped, tmp_path, name, content, words
):
    panel = open_panel("EmbedSeg: Segment")
    (tmp_path / name).write_bytes(content)
    message = dropped(tmp_path / name)
    assert message.startswith(f"{name}: ")
    assert words in message
    assert panel.status.text() == message
    assert len(viewer.layers) == 0


def test_a_store_is_opened_from_the_menu(tmp_path):
    store = write_store(tmp_path / "cells.ome.zarr", np.ones((8, 8), np.uint8), "yx", "0.4")
    assert "open it with File > IO Utilities" in why_not(store)
