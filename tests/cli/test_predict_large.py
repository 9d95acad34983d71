"""``embedseg predict`` of a store: labels in it, one line on the objects, sentences where something is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import tifffile
from large_steps import blobs, write_store

from embedseg_napari.cli import main
from embedseg_napari.core.files.zarr_image import is_store


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "cells.ome.zarr", blobs((100, 130), 20, radius=(4.0, 7.0)))


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["predict", *map(str, words)])
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


def test_a_store(store, capsys):
    status, out, _ = run(capsys, "nuclei-2d", store, "--block", 64, "--no-progress")
    assert status == 0
    assert "cells.ome.zarr: " in out
    assert " objects, " in out
    assert "both sides agree" in out
    assert (store / "labels" / "embedseg" / "zarr.json").exists()
    assert store.with_name("cells.embedseg.csv").exists()


def test_a_dry_run_of_a_store(store, capsys):
    status, out, _ = run(capsys, "nuclei-2d", store, "--block", 64, "--dry-run")
    assert status == 0
    assert "6 blocks of 64 x 64 pixels" in out
    assert not (store / "labels").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--part", "3/2"], "no part"),
        (["--region", "5"], "no region"),
        (["--block", "7"], "no block"),
        (["--halo", "wide"], "no halo"),
        (["--save-maps"], "in blocks"),
        (["--finish", "--part", "1/2"], "by itself"),
        (["--output", "new.ome.zarr", "--name", "mine"], "leave out --name, or --output"),
    ],
)
def test_what_makes_no_sense_is_told(store, capsys, words, told):
    status, _, err = run(capsys, "nuclei-2d", store, *words)
    assert status in (1, 2)
    assert told in " ".join(err.split())


def test_labels_of_a_tiff_become_the_store_that_is_named(tmp_path, capsys):
    """And not a folder of that name with a TIFF in it."""
    tifffile.imwrite(tmp_path / "a.tif", blobs((100, 130), 20, radius=(4.0, 7.0)))
    status, _, err = run(capsys, "nuclei-2d", tmp_path / "a.tif", "--output", tmp_path / "labels.ome.zarr")
    assert status == 0, err
    assert is_store(tmp_path / "labels.ome.zarr")
    status, _, err = run(capsys, "nuclei-2d", tmp_path / "a.tif", tmp_path / "a.tif", "--output", tmp_path / "b.zarr")
    assert status == 2
    assert "one image at a time" in " ".join(err.split())


def test_other_images_still_need_a_folder(tmp_path, capsys):
    status, _, err = run(capsys, "nuclei-2d", tmp_path / "a.tif")
    assert status == 2
    assert "--output" in err


def test_a_store_that_is_not_there_is_told_as_such(tmp_path, capsys):
    status, _, err = run(capsys, "nuclei-2d", tmp_path / "a.ome.zarr")
    assert status == 1
    assert "there is no such file" in " ".join(err.split())


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
@pytest.mark.thorough
def test_ctrl_c_of_a_terminal_stops_workers_without_a_traceback(store, tmp_path):
    pytest.importorskip("distributed")
    command = [sys.executable, "-m", "embedseg_napari", "predict", "nuclei-2d", str(store), "--block", "64"]
    log = tmp_path / "log.txt"
    with log.open("w") as output:
        running = subprocess.Popen(
            [*command, "--workers", "2", "--all-blocks"], stdout=output, stderr=output, start_new_session=True
        )
        try:
            while not list(store.glob("labels/.embedseg.run/blocks/**/*.npz")) and running.poll() is None:
                time.sleep(0.05)
            os.killpg(running.pid, signal.SIGINT)
            running.wait(60)
        finally:
            running.kill()
    assert running.returncode == 130
    assert "the same command goes on" in log.read_text()
    assert "Traceback" not in log.read_text()
