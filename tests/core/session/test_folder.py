"""The folder of a session: what is one, what is left of a killed process, which was last."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from session_steps import painted

from embedseg_napari.core.annotation.annotation import Annotation
from embedseg_napari.core.errors import DataError
from embedseg_napari.core.files.tiff import Picture
from embedseg_napari.core.session import folder as folder_module
from embedseg_napari.core.session.folder import SessionFolder, list_sessions
from embedseg_napari.core.session.session import AnnotationSession


def test_folder_that_is_no_session(tmp_path, session):
    with pytest.raises(DataError, match="holds no session"):
        AnnotationSession.open(tmp_path)
    with pytest.raises(DataError, match="not empty"):
        AnnotationSession(tmp_path).begin()
    with pytest.raises(DataError, match="already holds a session"):
        AnnotationSession(session.folder).begin()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"format_version": 1', '"format_version": 2'), "format 2.*Update"),
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda text: text.replace("annotations/0001", "../../elsewhere"), "damaged.*annotations"),
        (lambda text: text.replace('"key": "001-cells"', '"key": "../cells"'), "damaged.*key"),
        (lambda _: "[]", "damaged"),
    ],
)
def test_state_that_cannot_be_trusted_is_refused(session, change, message):
    session.close()
    file = session.folder / "session.json"
    file.write_text(change(file.read_text()))
    # Twice: a refused opening leaves no lock.
    for _ in range(2):
        with pytest.raises(DataError, match=message):
            AnnotationSession.open(session.folder)


def test_sessions_of_a_folder_latest_first(tmp_path, image):
    for name in ("a", "b", "c"):
        with AnnotationSession(tmp_path / name) as session:
            session.add_image("cells", Picture(image, "YX"))
            session.save_annotation("cells", Annotation(painted(1)))
    (tmp_path / "no session").mkdir()
    for age, name in enumerate(("b", "a", "c")):
        for path in (tmp_path / name / "session.json", tmp_path / name / "annotations" / "0001"):
            os.utime(path, (1e9 - age, 1e9 - age))
    assert [path.name for path in list_sessions(tmp_path)] == ["b", "a", "c"]
    assert list_sessions(tmp_path / "nowhere") == []


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(session):
    session.close()
    code = (
        "import sys; from pathlib import Path; from embedseg_napari.core.files.leftovers import temporary_name\n"
        "folder, file = (Path(place) / temporary_name('.json') for place in sys.argv[1:])\n"
        "folder.mkdir(parents=True); (folder / 'half').write_text('half'); file.write_text('{')"
    )
    subprocess.run([sys.executable, "-c", code, session.folder / "annotations", session.folder], check=True)
    assert len(list(session.folder.rglob(".tmp-*"))) == 2
    notes = session.folder / ".tmp-notes.txt"
    notes.write_text("mine")
    # A round whose row was never written.
    shutil.copytree(session.folder / "images", session.folder / "rounds" / "001")
    with AnnotationSession.open(session.folder) as again:
        assert list(again.folder.rglob(".tmp-*")) == [notes]
        assert again.rounds == ()


def test_takes_up_a_folder_whose_beginning_was_killed(tmp_path, image):
    code = (
        "import os, sys; from embedseg_napari.core.session.session import AnnotationSession\n"
        "os.replace = lambda *_: os._exit(9)\n"
        "AnnotationSession(sys.argv[1]).begin()"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "s"], check=False).returncode == 9
    assert {path.name[:5] for path in (tmp_path / "s").iterdir()} == {"lock", ".tmp-"}
    # As earlier versions named it.
    (tmp_path / "s" / ".tmp-0261895a-session.json").write_text("{")
    with AnnotationSession(tmp_path / "s") as session:
        session.add_image("cells", Picture(image, "YX"))
    assert {path.name for path in (tmp_path / "s").iterdir()} >= {"images", "session.json"}


def test_a_retained_session_closes_when_it_is_released(session):
    session.retain()
    session.close()
    session.save_annotation("cells", Annotation(painted(3)))
    with pytest.raises(DataError, match="already open"):
        AnnotationSession.open(session.folder)
    session.release()
    with AnnotationSession.open(session.folder) as again:
        assert not again.load_annotation("cells").is_empty


@pytest.mark.parametrize("way", ["moved", "deleted"])
def test_a_session_that_is_gone_while_it_is_open_is_not_begun_anew(session, image, tmp_path, way):
    session.save_annotation("cells", Annotation(painted(3)))
    shutil.move(session.folder, tmp_path / "aside")
    for write in (
        lambda: session.save_annotation("cells", Annotation(painted(4))),
        lambda: session.add_image("other", Picture(image, "YX")),
    ):
        with pytest.raises(DataError, match="was moved or deleted while it was open"):
            write()
    assert not session.folder.exists()
    # What cannot be read is not taken for empty.
    with pytest.raises(DataError, match="was moved or deleted while it was open"):
        session.load_annotation("cells")
    images, (fault,) = session.annotated_images({})
    assert not images
    assert "put it back" in fault
    if way == "moved":
        shutil.move(tmp_path / "aside", session.folder)
        session.save_annotation("cells", Annotation(painted(5)))
        assert session.load_annotation("cells").labels.max(where=painted(1) == 1, initial=0) == 5


def test_only_a_close_that_waits_for_a_release_is_taken_back(session):
    assert not session.reopen()
    session.retain()
    session.close()
    assert session.reopen()
    assert not session.reopen()
    session.release()
    session.save_annotation("cells", Annotation(painted(3)))
    session.close()
    assert not session.reopen()
    with pytest.raises(DataError, match="was closed"):
        session.save_annotation("cells", Annotation(painted(4)))


def test_a_folder_that_came_to_hold_something_is_taken(tmp_path):
    session = SessionFolder(tmp_path / "one")
    assert not session.is_taken
    # What a beginning left that was killed is nobody's.
    (tmp_path / "one").mkdir()
    assert not session.is_taken
    with SessionFolder(tmp_path / "one") as other:
        other.begin()
        assert session.is_taken
        assert not other.is_taken


def test_whether_it_is_taken_is_known_while_a_thread_writes(session):
    is_writing, may_end = threading.Event(), threading.Event()

    def write():
        with session._lock:
            is_writing.set()
            may_end.wait(20)

    with ThreadPoolExecutor(2) as threads:
        threads.submit(write)
        assert is_writing.wait(20)
        asked = threads.submit(lambda: session.is_taken)
        try:
            assert not asked.result(10)
        finally:
            may_end.set()


def test_a_session_that_is_just_beginning_is_not_lost(tmp_path, monkeypatch):
    session, write, seen = SessionFolder(tmp_path / "one"), folder_module.write_atomically, []

    def look_and_write(path, content):
        seen.append(session.is_lost)
        write(path, content)

    monkeypatch.setattr(folder_module, "write_atomically", look_and_write)
    with session:
        session.begin()
        assert seen == [False]
        assert session.is_begun
        (tmp_path / "one" / "session.json").unlink()
        assert session.is_lost
