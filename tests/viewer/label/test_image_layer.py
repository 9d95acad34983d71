"""The layer of an image of a session: commands know the file that it is the whole of."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

pytest.importorskip("pyqtgraph")

from label_steps import annotate, paint

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.picture import Picture
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.viewer.layers import file_of

pytestmark = pytest.mark.usefixtures("own_data")

AXES = ["YX", "ZYX", "CYX", "CZYX", "YXC"]


def picture(axes, rng, path):
    """A picture of a file."""
    shape = [{"Z": 4, "C": 3}.get(letter, 30) for letter in axes]
    array = rng.integers(0, 200, shape).astype(np.uint8)
    tifffile.imwrite(path, array, photometric="rgb" if axes == "YXC" else "minisblack")
    return Picture(array, axes, path=path, is_colour=axes == "YXC")


def resumed(viewer, panel, folder, picture):
    with AnnotationSession(folder) as session:
        session.add_image("cells", picture)
    panel.sessions.resume_wanted.emit(folder)
    return viewer.layers["cells"]


@pytest.mark.parametrize("axes", AXES)
def test_an_image_that_is_a_file_is_known_to_be_one(viewer, label_panel, rng, tmp_path, axes) -> None:
    path = tmp_path / "cells.tif"
    layer = resumed(viewer, label_panel, tmp_path / "session", picture(axes, rng, path))
    assert file_of(layer) == path
    # What was painted on and closed comes again.
    paint(label_panel, 1)
    assert label_panel.autosave.save_now()
    viewer.layers.clear()
    label_panel.navigator.go_to("cells")
    assert file_of(viewer.layers["cells"]) == path


def test_a_file_with_its_axes_in_another_order_is_not(viewer, label_panel, rng, tmp_path) -> None:
    layer = resumed(viewer, label_panel, tmp_path / "session", picture("ZCYX", rng, tmp_path / "cells.tif"))
    with pytest.raises(DataError, match="Save cells first"):
        file_of(layer)


def test_a_copy_that_the_session_keeps_is_no_file_of_the_users(viewer, label_panel, rng, tmp_path) -> None:
    one = picture("YX", rng, tmp_path / "cells.tif")
    layer = resumed(viewer, label_panel, tmp_path / "session", Picture(one.array + 1, "YX", path=one.path))
    with pytest.raises(DataError, match="Save cells first"):
        file_of(layer)


def test_another_session_keeps_no_copy_of_an_image_that_is_a_file(viewer, label_panel, rng, tmp_path) -> None:
    path = tmp_path / "cells.tif"
    layer = resumed(viewer, label_panel, tmp_path / "session", picture("YX", rng, path))
    label_panel.sessions.new.click()
    annotate(label_panel, layer)
    paint(label_panel, 1)
    assert label_panel.autosave.save_now()
    session = label_panel.autosave.session
    assert session.folder != tmp_path / "session"
    assert session.image("cells").source.path == str(path)
