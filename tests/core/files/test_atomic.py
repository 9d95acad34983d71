"""Writing files: complete and on the disk before they have their name, and never over what may not be replaced."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from embedseg_napari.core.errors import AlreadyExists, DataError
from embedseg_napari.core.files.atomic import write_atomically, write_text

posix = pytest.mark.skipif(os.name != "posix", reason="rights and signals of POSIX")


def refuse(*names: str, code: int = errno.EPERM):
    """Text of a program whose file system knows none of these functions."""

    def no(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return dict.fromkeys(names, no)


LACKING = [(), ("chmod", "fchmod"), ("link",), ("rename", "replace"), ("chmod", "link", "rename", "replace", "fsync")]


@pytest.fixture(params=LACKING, ids=lambda names: "no " + "-".join(names) if names else "all")
def share(request, monkeypatch):
    for name, function in refuse(*request.param, code=errno.EOPNOTSUPP).items():
        monkeypatch.setattr(os, name, function)


@pytest.mark.usefixtures("share")
def test_writes_whatever_the_file_system_lacks(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "first", overwrite=False)
    with pytest.raises(AlreadyExists, match=r"a\.txt: exists already"):
        write_text(path, "second", overwrite=False)
    assert path.read_text() == "first"
    write_text(path, "third")
    assert path.read_text() == "third"
    assert [one.name for one in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.usefixtures("share")
def test_a_file_that_comes_while_another_is_written_stays(tmp_path):
    path = tmp_path / "a.txt"

    def write(target):
        target.write_text("mine")
        path.write_text("theirs")

    with pytest.raises(AlreadyExists):
        write_atomically(path, write, overwrite=False)
    assert path.read_text() == "theirs"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "failing", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
def test_what_fails_leaves_the_old_file_and_no_folder(tmp_path, failing):
    def write(target):
        target.write_text("half")
        raise failing

    (tmp_path / "a.txt").write_text("old")
    expected = DataError if isinstance(failing, OSError) else type(failing)
    for path in (tmp_path / "a.txt", tmp_path / "new" / "folder" / "a.txt"):
        with pytest.raises(expected):
            write_atomically(path, write)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_rights_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
        write_text(tmp_path / "b.txt", "x", overwrite=False)
    finally:
        os.umask(before)
    for name in ("a.txt", "b.txt"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~mask


@posix
def test_file_and_folders_are_on_the_disk_before_and_after_the_name(tmp_path, monkeypatch):
    calls = []
    names = {"fsync": os.fsync, "replace": os.replace, "link": os.link}

    def watched(name):
        def call(*args):
            what = os.readlink(f"/proc/self/fd/{args[0]}") if name == "fsync" else os.path.basename(args[1])
            calls.append((name, os.path.basename(what) if ".tmp-" not in what else "temporary"))
            return names[name](*args)

        return call

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("names of open files are asked of Linux")
    for name in names:
        monkeypatch.setattr(os, name, watched(name))
    write_text(tmp_path / "new" / "a.txt", "x")
    assert calls[:3] == [("fsync", "temporary"), ("replace", "a.txt"), ("fsync", "new")]
    assert ("fsync", tmp_path.name) in calls[3:]
    calls.clear()
    write_text(tmp_path / "new" / "b.txt", "x", overwrite=False)
    assert calls == [("fsync", "temporary"), ("link", "b.txt"), ("fsync", "new")]


WRITER = """
import os, sys, time
from pathlib import Path
from embedseg_napari.core.errors import AlreadyExists
from embedseg_napari.core.files.atomic import write_text
folder, number, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
won = 0
for name in range(count):
    try:
        write_text(folder / f"{name}.txt", number, overwrite=False)
        won += 1
    except AlreadyExists:
        pass
print(won)
"""


def test_of_many_writers_of_one_name_one_gets_it(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, str(number), "40"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    won = [int(writer.communicate()[0]) for writer in writers]
    texts = [path.read_text() for path in tmp_path.iterdir()]
    assert sum(won) == len(texts) == 40
    assert [texts.count(str(number)) for number in range(3)] == won


KILLED = """
import sys
from pathlib import Path
from embedseg_napari.core.files.atomic import write_atomically
def write(target):
    target.write_text("half")
    print(target.name, flush=True)
    sys.stdin.readline()
write_atomically(Path(sys.argv[1]), write)
"""


@pytest.mark.parametrize("is_reaped", [True, False])
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path, is_reaped):
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "a.txt"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    half = tmp_path / writer.stdout.readline().strip()
    kept = [tmp_path / name for name in (".tmp-notes.txt", ".tmp-1", ".tmp-0a1b2c3d-x.txt", "tmp.txt", ".a.txt.swp")]
    for path in kept:
        path.write_text("mine")
    write_text(tmp_path / "b.txt", "x")
    assert half.exists()
    writer.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    if is_reaped:
        writer.wait()
    else:
        time.sleep(0.2)
    write_text(tmp_path / "b.txt", "y")
    assert not half.exists()
    assert all(path.read_text() == "mine" for path in kept)
    writer.communicate()
