"""Processes that are killed, and processes that meet in one folder."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import Picture
from embedseg_napari.core.session.session import AnnotationSession

CHILD = """
    import sys
    import numpy as np
    from embedseg_napari.core.annotation.annotation import Annotation
    from embedseg_napari.core.session.session import AnnotationSession
    session = AnnotationSession.open(sys.argv[1])
    print("open", flush=True)
    number = 0
    while len(sys.argv) < 3:
        number += 1
        labels = np.random.default_rng(number).integers(0, 60000, (400, 400), np.int32)
        labels[0, 0] = number
        session.save_annotation("cells", Annotation(labels, labels % 2 == 0, frozenset([number])))
        print(number, flush=True)
    sys.stdin.read()
"""


def child(folder, *more):
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(folder), *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_killed_process_loses_nothing_that_was_saved(tmp_path):
    with AnnotationSession(tmp_path / "s") as session:
        session.add_image("cells", Picture(np.zeros((400, 400), np.uint8), "YX"))
    for saves, delay in ((3, 0.0), (4, 0.004), (5, 0.009)):
        process = child(tmp_path / "s")
        assert process.stdout.readline() == "open\n"
        with pytest.raises(DataError, match=f"open in another program .process {process.pid}"):
            AnnotationSession.open(tmp_path / "s")
        said = 0
        while said < saves:
            said = int(process.stdout.readline())
        deadline = time.perf_counter() + delay
        while time.perf_counter() < deadline:
            pass
        os.kill(process.pid, signal.SIGKILL)
        # Through the same buffer as before: on a busy machine it holds lines already.
        rest = process.stdout.read().split()
        process.communicate()
        said = max([said, *map(int, rest)])
        assert (tmp_path / "s" / "lock").exists()
        with AnnotationSession.open(tmp_path / "s") as session:
            found = session.load_annotation("cells")
            number = int(found.labels[0, 0])
            # The one it spoke of last, or the one after, of which it could not speak any more.
            assert number in (said, said + 1)
            expected = np.random.default_rng(number).integers(0, 60000, (400, 400), np.int32)
            expected[0, 0] = number
            np.testing.assert_array_equal(found.labels, expected)
            np.testing.assert_array_equal(found.regions, expected % 2 == 0)
            assert found.accepted_ids == {number}
            assert not list(session.folder.rglob(".tmp-*"))


def test_number_of_a_killed_process_given_to_another(session):
    session.close()
    lock = {"pid": os.getpid(), "host": platform.node(), "started": "long ago", "token": "x"}
    (session.folder / "lock").write_text(json.dumps(lock))
    with AnnotationSession.open(session.folder) as again:
        assert again.image_names == ["cells"]
    assert not (session.folder / "lock").exists()


def test_lock_of_another_computer_is_respected(session):
    session.close()
    lock = {"pid": 1, "host": "elsewhere", "started": "", "token": "x"}
    (session.folder / "lock").write_text(json.dumps(lock))
    with pytest.raises(DataError, match=r"computer elsewhere.*delete the file"):
        AnnotationSession.open(session.folder)
    # And not taken away by a session that lost it.
    session.close()
    assert (session.folder / "lock").exists()


def test_damaged_lock_is_nobodys(session):
    session.close()
    (session.folder / "lock").write_text("")
    AnnotationSession.open(session.folder).close()


def test_forgotten_session_gives_its_lock_back(tmp_path):
    AnnotationSession(tmp_path / "s").begin()
    AnnotationSession.open(tmp_path / "s").close()
