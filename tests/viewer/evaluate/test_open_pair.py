"""Folders of labels that are scored and opened."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from evaluate_steps import finish, press, spoiled

pytest.importorskip("pyqtgraph")

from embedseg_napari.viewer.worker import RunState


def test_folders(panel, folders, viewer, qtbot, tmp_path) -> None:
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(tmp_path / "nowhere"))
    assert "no such folder" in panel.source.complaint.text()
    assert not panel.evaluate.isEnabled()
    panel.source.true_folder.edit.setText(str(folders[0]))
    panel.source.predicted_folder.edit.setText(str(folders[1]))
    press(panel.evaluate, panel, qtbot)
    assert [image.name for image in panel.scores.images] == ["a", "b"]
    assert [image.name for image in panel.images.images] == ["a", "b"]
    assert len(viewer.layers) == 0
    panel.images.image_chosen.emit(panel.images.images[0])
    finish(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["a image", "a truth", "a prediction", "Mistakes"]
    assert len(panel.scores.images) == 2
    panel.images.image_chosen.emit(panel.images.images[1])
    finish(panel, qtbot)
    assert [layer.name for layer in viewer.layers] == ["b image", "b truth", "b prediction", "Mistakes"]
    panel.scoring.write(tmp_path / "scores.csv")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0].startswith("image,threshold,tp")
    assert len(lines) == 1 + 3 * 9


def test_an_image_of_a_folder_is_seen_whole_beside_a_larger_one(panel, folders, viewer, qtbot) -> None:
    viewer.add_image(np.zeros((2000, 2000), np.uint8))
    viewer.reset_view()
    zoom = viewer.scene.camera.zoom
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(folders[0]))
    panel.source.predicted_folder.edit.setText(str(folders[1]))
    press(panel.evaluate, panel, qtbot)
    panel.images.image_chosen.emit(panel.images.images[0])
    finish(panel, qtbot)
    side = max(viewer.layers["a truth"].data.shape)
    assert viewer.scene.camera.zoom == pytest.approx(zoom * 2000 / side, rel=0.1)


def test_movies_in_folders_are_scored_and_opened_frame_by_frame(panel, viewer, blobs, qtbot, tmp_path) -> None:
    true = blobs(2)[1].astype(np.uint16)
    for folder, movie in (("truth", [true] * 3), ("predicted", [true, true, spoiled(true)])):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(
            tmp_path / folder / "m.tif", np.stack(movie).astype(np.uint16), imagej=True, metadata={"axes": "TYX"}
        )
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(tmp_path / "truth"))
    panel.source.predicted_folder.edit.setText(str(tmp_path / "predicted"))
    press(panel.evaluate, panel, qtbot)
    assert [(image.name, image.rows[0].ap == 1) for image in panel.scores.images] == [
        ("m 0", True),
        ("m 1", True),
        ("m 2", False),
    ]
    panel.images.image_chosen.emit(panel.scores.images[2])
    finish(panel, qtbot)
    assert viewer.layers["m prediction"].data.shape == (3, *true.shape)
    assert viewer.dims.current_step[0] == 2
    assert not viewer.layers["Mistakes"].data[:2].max() > 1


def test_planes_in_folders_are_scored_and_opened(panel, viewer, blobs, qtbot, tmp_path) -> None:
    true = blobs(2)[1]
    planes = np.stack([true == k for k in range(1, true.max() + 1)]).astype(np.uint8)
    for folder, stack in (("truth", planes), ("predicted", planes[:0:-1])):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "m.tif", stack, photometric="minisblack")
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(tmp_path / "truth"))
    panel.source.predicted_folder.edit.setText(str(tmp_path / "predicted"))
    press(panel.evaluate, panel, qtbot)
    row = panel.scores.rows[0]
    assert (row.tp, row.fp, row.fn) == (len(planes) - 1, 0, 1)
    panel.images.image_chosen.emit(panel.scores.images[0])
    finish(panel, qtbot)
    np.testing.assert_array_equal(viewer.layers["m truth"].data, true)
    assert viewer.layers["Mistakes"].data.shape == true.shape


def test_a_missing_prediction_is_told(panel, folders, qtbot) -> None:
    from napari.utils.notifications import notification_manager

    (folders[1] / "b.tif").unlink()
    panel.source.use_folders.click()
    panel.source.true_folder.edit.setText(str(folders[0]))
    panel.source.predicted_folder.edit.setText(str(folders[1]))
    press(panel.evaluate, panel, qtbot)
    assert panel.run.state is RunState.FAILED
    assert "lacks the predictions for 1 of 2" in notification_manager.records[-1].message
    assert panel.evaluate.isEnabled()
    assert "lacks the predictions for 1 of" in panel.status.text()
    assert not panel.status.isHidden()
