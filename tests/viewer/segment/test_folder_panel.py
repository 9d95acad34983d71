"""A whole folder, segmented from the Segment panel."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import tifffile
from PIL import Image
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication
from typer.testing import CliRunner

from embedseg_napari.cli import app
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import read_image, write_image
from embedseg_napari.jobs.folder import joint_table
from embedseg_napari.jobs.folder.joint_table import TABLE
from embedseg_napari.jobs.folder.plan import words_of
from embedseg_napari.jobs.folder.report import FolderReport
from embedseg_napari.jobs.object_table import read_tables
from embedseg_napari.viewer.model_list import models
from embedseg_napari.viewer.widgets.collapsible import Folded
from embedseg_napari.viewer.widgets.recipe_buttons import RecipeButtons

WAIT = 60_000


@pytest.fixture
def panel(open_panel, tiny_model_file):
    models.remember(tiny_model_file)
    return open_panel("EmbedSeg: Segment")


def test_a_folder(panel, tmp_path, qtbot):
    images = tmp_path / "images"
    for name in ("a", "b"):
        write_image(images / f"{name}.tif", np.zeros((24, 24), np.uint8), "YX", (0.5, 0.5), "um")
    (images / "broken.tif").write_bytes(b"no image")
    for folded in panel.findChildren(Folded):
        folded.unfold()
    batch = panel.batch
    assert not batch.run_button.isEnabled()
    batch.images.setText(str(images))
    batch.results.setText(str(tmp_path / "out"))
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert "2 of 3 images" in batch.status.text()
    assert any("broken.tif" in batch.failures.item(row).text() for row in range(batch.failures.count()))
    labels = read_image(tmp_path / "out" / "a.tif")
    assert labels.array.shape == (24, 24)
    np.testing.assert_allclose(labels.spacing, (0.5, 0.5))
    assert (tmp_path / "out" / TABLE).exists()
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert "exists already" in batch.status.text()


def test_how_far_a_folder_is_stands_next_to_the_button(panel):
    layout = panel.batch.layout()
    order = [layout.itemAt(i).widget() for i in range(layout.count())]
    assert order.index(panel.batch.status) < order.index(panel.batch.open_report)
    assert order.index(panel.batch.failures) == order.index(panel.batch.status) + 1, "it ends in a colon"
    assert order.index(panel.batch.progress) == 2, "after the form and the buttons"


def test_a_folder_without_an_image_that_can_be_read_gives_no_results(panel, tmp_path, qtbot):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.tif").write_bytes(b"no image")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert "0 of 1 image segmented" in batch.status.text()
    assert not (tmp_path / "out").exists()


def test_the_axes_of_a_folder(panel, tmp_path, qtbot):
    """Of files that name none, as the command line's --axes."""
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "yxc.tif", np.zeros((16, 24, 2), np.uint8), photometric="minisblack")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    # A pasted path may bring spaces.
    batch.results.setText(f" {tmp_path / 'out'} ")
    batch.axes.setText("YXQ")
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert "unknown letter 'Q'" in batch.status.text()
    batch.axes.setText(" yxc ")
    batch.channel.setCurrentText("0")
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert "1 of 1 image segmented" in batch.status.text()
    assert read_image(tmp_path / "out" / "yxc.tif").array.shape == (16, 24)


def test_failures_of_the_last_folder_go_when_the_next_is_refused(panel, tmp_path, qtbot):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "broken.tif").write_bytes(b"no image")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert batch.failures.count() == 1
    batch.images.setText(str(tmp_path / "nowhere"))
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert (batch.failures.count(), batch.failures.isHidden()) == (0, True)


def test_a_report_that_is_not_written_is_no_fault_of_the_last_image(panel, tmp_path, qtbot, monkeypatch):
    def full(*_, **__):
        raise DataError("The disk is full.")

    monkeypatch.setattr(FolderReport, "write", full)
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.tif", np.zeros((16, 24), np.uint8), "YX")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    listed = [batch.failures.item(row).text() for row in range(batch.failures.count())]
    assert "(warning) The report was not written: The disk is full." in listed


@pytest.mark.parametrize("field", ["images", "results"])
def test_a_folder_of_spaces_is_none(panel, tmp_path, field):
    batch = panel.batch
    for line in (batch.images, batch.results):
        line.setText(str(tmp_path))
    assert batch.run_button.isEnabled()
    getattr(batch, field).setText("  ")
    assert not batch.run_button.isEnabled()
    assert "Choose the folder" in batch.run_button.toolTip()
    getattr(batch, field).clear()
    assert getattr(batch, field).placeholderText() == "choose a folder"


def test_one_channel_of_a_folder(panel, tmp_path, qtbot):
    write_image(tmp_path / "images" / "two.tif", np.zeros((2, 24, 24), np.uint8), "CYX")
    write_image(tmp_path / "images" / "one.tif", np.zeros((24, 24), np.uint8), "YX")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    batch.channel.setCurrentText("1")
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        "objects.csv", "recipes", "report.html", "two.tif",
    ]  # fmt: skip
    assert "one.tif: The image has no channel axis" in batch.failures.item(0).text()


def test_the_mean_of_all_channels_of_a_folder(panel, tmp_path, qtbot):
    write_image(tmp_path / "images" / "two.tif", np.zeros((2, 24, 24), np.uint8), "CYX")
    write_image(tmp_path / "images" / "one.tif", np.zeros((24, 24), np.uint8), "YX")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    batch.channel.setCurrentText("mean of all")
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert "2 of 2 images segmented" in batch.status.text()


def test_a_place_that_cannot_be_written_is_found_before_the_work(panel, tmp_path, qtbot, monkeypatch):
    write_image(tmp_path / "images" / "a.tif", np.zeros((24, 24), np.uint8), "YX")
    (tmp_path / "file").write_text("no folder")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "file" / "out"))
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert f"{tmp_path / 'file'}: nothing can be written there" in batch.status.text()
    # Root may write everywhere: what the system answers about a read-only folder.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    batch.results.setText(str(tmp_path / "new" / "out"))
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert f"{tmp_path}: nothing can be written there" in batch.status.text()
    assert not (tmp_path / "new").exists()


def test_images_are_counted_by_kind_before_the_run(panel, tmp_path, qtbot):
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / "images" / name, np.zeros((24, 24), np.uint8), "YX")
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(tmp_path / "images" / "c.png")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    qtbot.waitUntil(lambda: batch.found.text() == "3 images: 2 TIF, 1 PNG", timeout=WAIT)
    batch.images.setText(str(tmp_path / "nowhere"))
    qtbot.waitUntil(lambda: "nowhere" in batch.found.text(), timeout=WAIT)


@pytest.mark.parametrize(("kind", "files"), [("together", [TABLE]), ("each", ["a.csv", "b.csv"]), ("", [])])
def test_tables_are_those_of_the_command_line(panel, tmp_path, qtbot, kind, files):
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.tif", np.eye(24, dtype=np.uint8), "YX")
    panel.thresholds.set_values({"seed_threshold": 0, "foreground_threshold": 0})
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    batch.table.setCurrentIndex(batch.table.findData(kind))
    batch.maps.setChecked(True)
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == sorted([*files, "a.tif", "b.tif", "maps", "recipes", "report.html"])
    assert sorted(path.name for path in (tmp_path / "out" / "maps").iterdir()) == ["a.tif", "b.tif"]
    if kind == "each":
        words = ["--seed-threshold", "0", "--foreground-threshold", "0", "--csv"]
        places = [str(panel.model.path), str(tmp_path / "images"), "--output", str(tmp_path / "cli")]
        ended = CliRunner().invoke(app, ["predict", *places, *words])
        assert ended.exit_code == 0, ended.output
        assert (tmp_path / "cli" / "a.csv").read_text() == (tmp_path / "out" / "a.csv").read_text()


def test_the_table_of_a_folder_is_not_read_where_the_window_would_stand_still(panel, tmp_path, qtbot, monkeypatch):
    readers = set()

    def read(path):
        readers.add(threading.get_ident())
        return read_tables(path)

    monkeypatch.setattr(joint_table, "read_tables", read)
    write_image(tmp_path / "images" / "a.tif", np.zeros((24, 24), np.uint8), "YX")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert readers
    assert threading.get_ident() not in readers


def test_images_of_another_day_join_the_table_unasked(panel, tmp_path, qtbot):
    batch = panel.batch
    panel.thresholds.set_values({"seed_threshold": 0, "foreground_threshold": 0})
    batch.results.setText(str(tmp_path / "out"))
    for day, name in ((1, "a"), (2, "b")):
        write_image(tmp_path / str(day) / f"{name}.tif", np.eye(24, dtype=np.uint8), "YX")
        batch.images.setText(str(tmp_path / str(day)))
        batch.run_button.click()
        qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
        assert "1 of 1 image segmented" in batch.status.text()
    assert "The table also lists 1 image not segmented now." in batch.status.text()
    text = (tmp_path / "out" / TABLE).read_text()
    assert "a.tif,1," in text
    assert "b.tif,1," in text


def test_an_earlier_run_is_continued(panel, tmp_path, qtbot):
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.tif", np.zeros((24, 24), np.uint8), "YX")
    batch = panel.batch
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    batch.table.setCurrentIndex(batch.table.findData("each"))
    batch.resume.setChecked(True)
    for expected in ("2 of 2 images segmented", "1 of 2 images segmented, 0 objects. 1 segmented by an earlier run"):
        batch.run_button.click()
        qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
        assert expected in batch.status.text()
        (tmp_path / "out" / "b.csv").unlink()


def test_the_report_of_a_folder_is_written_and_opened(panel, tmp_path, qtbot, monkeypatch):
    for name in ("a", "b"):
        write_image(tmp_path / "images" / f"{name}.tif", np.zeros((24, 24), np.uint8), "YX")
    batch = panel.batch
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()) or len(opened) == 1)
    batch.images.setText(str(tmp_path / "images"))
    batch.results.setText(str(tmp_path / "out"))
    assert batch.report.isChecked()
    assert batch.open_report.isHidden()
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    report = tmp_path / "out" / "report.html"
    assert not batch.open_report.isHidden()
    batch.open_report.click()
    assert opened == [str(report)]
    assert "2 of 2 images" in batch.status.text()
    # On a computer without a browser.
    batch.open_report.click()
    assert str(report) in batch.status.text()
    report.unlink()
    batch.report.setChecked(False)
    batch.overwrite.setChecked(True)
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.current is None, timeout=WAIT)
    assert batch.open_report.isHidden()
    assert not report.exists()


def test_the_command_of_a_folder_says_what_is_ticked(panel, tmp_path):
    batch = panel.batch
    batch.images.setText(str(tmp_path))
    batch.results.setText(str(tmp_path / "out"))
    assert not {"--planes", "--no-report"} & set(words_of(batch._job()))
    batch.planes.setChecked(True)
    batch.report.setChecked(False)
    batch.findChild(RecipeButtons).copy_command()
    assert QApplication.clipboard().text().endswith("--planes --no-report")
