"""A row to choose a folder."""

from __future__ import annotations

import errno
import os

from embedseg_napari.viewer.widgets.folder_field import FolderField


def test_a_folder_on_a_disk_that_cannot_be_reached_is_none(qtbot, monkeypatch, tmp_path):
    field, stat = FolderField("Truth folder", ""), os.stat
    qtbot.addWidget(field)
    assert field.fault() == "Choose the truth folder."
    field.edit.setText(str(tmp_path))
    assert not field.fault()

    def fails(path, *args, **options):
        if os.fspath(path) == str(tmp_path / "share"):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", fails)
    field.edit.setText(str(tmp_path / "share"))
    assert "no such folder" in field.fault()
    assert field.edit.styleSheet()
