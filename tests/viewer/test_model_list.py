from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from embedseg_napari.core.config import ModelConfig, ObjectSizes
from embedseg_napari.core.errors import ModelError
from embedseg_napari.core.model.card import describe
from embedseg_napari.core.model.model import Model, load_model
from embedseg_napari.viewer import model_list as module
from embedseg_napari.viewer.model_list import ModelList, read_config, recent_file


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"m{i}.embedseg" for i in range(15)]
    for path in paths:
        path.write_bytes(b"x")
    return paths


def test_recent_models_are_kept_latest_first_and_without_repeats(files):
    listed = ModelList()
    for path in (*files[:3], files[0]):
        listed.remember(path)
    recent = [known.path for known in ModelList().all() if not known.is_bundled]
    assert recent == [files[0], files[2], files[1]]
    assert json.loads(recent_file().read_text())[0] == str(files[0])


def test_only_so_many_are_kept_and_vanished_files_are_left_out(files):
    listed = ModelList()
    for path in files:
        listed.remember(path)
    files[-1].unlink()
    recent = [known.path for known in listed.all() if not known.is_bundled]
    assert recent == files[-2 : -module.MOST_RECENT - 1 : -1]


def test_a_checkpoint_that_is_chosen_again_is_imported_once(golden, tmp_path):
    checkpoint = shutil.copy(golden("legacy_2d.pth"), tmp_path / "worms.pth")
    listed = ModelList()
    copy = listed.remember(checkpoint)
    assert listed.remember(checkpoint) == copy
    copy.path.unlink()
    assert listed.remember(checkpoint).path.is_file()


@pytest.mark.parametrize("reason", [errno.ENOTCONN, errno.ESTALE, errno.EACCES])
def test_a_model_on_a_disk_that_cannot_be_reached_is_left_out(files, monkeypatch, reason):
    listed, stat = ModelList(), os.stat
    for path in files[:2]:
        listed.remember(path)

    def fails(path, *args, **options):
        if isinstance(path, (str, os.PathLike)) and os.fspath(path) == os.fspath(files[0]):
            raise OSError(reason, os.strerror(reason))
        return stat(path, *args, **options)

    monkeypatch.setattr(os, "stat", fails)
    assert [known.path for known in listed.all() if not known.is_bundled] == [files[1]]
    assert module.KnownModel(files[0] / "models" / "001.embedseg").name == "001"
    with pytest.raises(ModelError, match="cannot be reached"):
        listed.remember(files[0])


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / folder / f"{name}.embedseg" for folder in ("old", "new") for name in ("cells", folder)]
    known = [module.KnownModel(path) for path in paths]
    assert module.names_of(known) == ["cells (old)", "old", "cells (new)", "new"]
    bundled = module.KnownModel(paths[0], is_bundled=True)
    assert module.names_of([bundled, known[2]]) == ["cells", "cells (new)"]


def test_panels_are_told(files):
    listed, heard = ModelList(), []
    listed.changed.connect(heard.append)
    listed.remember(files[0])
    assert [known.path for known in heard] == [files[0]]


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "image.tif").write_bytes(b"x")
    with pytest.raises(ModelError, match="not a model file"):
        ModelList().remember(tmp_path / "image.tif")
    with pytest.raises(ModelError, match="no such"):
        ModelList().remember(tmp_path / "gone.embedseg")


def test_a_damaged_list_starts_anew(files):
    recent_file().parent.mkdir(parents=True, exist_ok=True)
    recent_file().write_text("{")
    listed = ModelList()
    listed.remember(files[0])
    assert [known.path for known in listed.all() if not known.is_bundled] == [files[0]]


def test_a_damaged_model_is_refused_with_a_sentence(files):
    with pytest.raises(ModelError, match="damaged"):
        read_config(files[0])
    assert read_config(files[0].with_suffix(".pth")) is None


def test_a_model_that_is_replaced_is_read_anew(tiny_model_file, tmp_path):
    path = tmp_path / "m.embedseg"
    shutil.copy(tiny_model_file, path)
    first = read_config(path)
    assert read_config(path) is first
    model = load_model(path, "cpu")
    Model(model.config.model_copy(update={"license": "CC0-1.0"}), model.network).save(path, overwrite=True)
    assert (first.license, read_config(path).license) == ("", "CC0-1.0")
    path.unlink()
    with pytest.raises(ModelError, match="no such"):
        read_config(path)


def test_descriptions():
    config = ModelConfig(
        ndim=3,
        grid_spacing=(0.1, 0.1, 0.1),
        spacing=(2.0, 0.2, 0.2),
        spacing_unit="um",
        object_sizes=ObjectSizes(mean=(5.2, 30.4, 31.0)),
    )
    assert describe(config) == "3D, 1 channel, 2 x 0.2 x 0.2 µm, objects of 5 x 30 x 31 px"
    assert "checkpoint" in describe(None)


def test_a_model_file_is_described_without_pytorch(tiny_model_file):
    code = (
        "import sys; from embedseg_napari.viewer.model_list import read_config; "
        f"assert read_config({str(tiny_model_file)!r}).ndim == 2; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
