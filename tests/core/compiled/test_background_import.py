"""Modules that take long to import are imported once, beside other work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from embedseg_napari.core.compiled import background_import as compiled_module
from embedseg_napari.core.compiled.background_import import CompiledModule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_first_question_starts_the_import_and_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    may_finish, imported = threading.Event(), []

    def load(name: str) -> str:
        imported.append((name, threading.current_thread().daemon))
        may_finish.wait(10)
        return "the module"

    monkeypatch.setattr(compiled_module.importlib, "import_module", load)
    module = CompiledModule("some.loops", "it is slow")
    assert module.ready() is None
    assert not module.is_ready()
    assert module.ready() is None
    assert module.is_compiling()
    may_finish.set()
    assert module.wait() == "the module"
    assert not module.is_compiling()
    assert module.is_ready()
    assert module.ready() == "the module"
    assert imported == [("some.loops", True)]


def test_what_is_missed_for_long_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module.importlib, "import_module", lambda name: name)
    module = CompiledModule("some.loops", "it is slow")
    module.do_without(0.001)
    assert not module.is_compiling()
    assert not module.is_ready()
    for _ in range(60):
        module.do_without(0.01)
    assert module.wait() == "some.loops"


@pytest.mark.parametrize(
    "error", [ImportError("no numba"), OSError("no file"), RuntimeError("broken LLVM"), EOFError("no more input")]
)
def test_what_cannot_be_had_is_said_once(monkeypatch, caplog, error) -> None:
    def load(name: str) -> None:
        raise error

    monkeypatch.setattr(compiled_module.importlib, "import_module", load)
    module = CompiledModule("some.loops", "the loss is slow")
    assert module.wait() is None
    assert module.wait() is None
    assert module.ready() is None
    assert caplog.messages == [f"numba cannot be used ({type(error).__name__}: {error}); the loss is slow."]


LOOPS = """
import numpy as np
from embedseg_napari.core.compiled.numba_signatures import F8, compiled, given

@compiled(F8(given(F8, 2)))
def total(values):
    found = 0.0
    for i in range(values.shape[0]):
        found += np.sqrt(values[i].max())
    return found
"""
COMPILING = """
import sys
import numba
import numpy
from embedseg_napari.core.compiled.background_import import CompiledModule
exchanged = []

class Watched(type(sys)):
    def __setattr__(self, name, value):
        if name in ("stdout", "stderr"):
            exchanged.append(name)
        super().__setattr__(name, value)

sys.__class__ = Watched
loops = CompiledModule("loops", "they are slow").wait()
sys.stdout.write(repr((exchanged, loops.total(numpy.full((2, 3), 4.0)))))
"""


@pytest.fixture
def compiling(tmp_path: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """A process that compiles loops, or finds them in `tmp_path`, and calls one."""
    (tmp_path / "loops.py").write_text(LOOPS)
    (tmp_path / "compiling.py").write_text(COMPILING)
    words = [sys.executable, tmp_path / "compiling.py"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    return lambda: subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


def test_compiling_leaves_the_output_alone(compiling) -> None:
    pytest.importorskip("colorama")
    done = compiling()
    assert (done.returncode, done.stdout) == (0, "([], 4.0)"), done.stderr


@pytest.mark.parametrize(("ending", "left"), [("nbi", 0), pytest.param("nbc", 1000, marks=pytest.mark.thorough)])
def test_compiled_code_that_is_damaged_is_compiled_anew(tmp_path, compiling, ending, left) -> None:
    compiling()
    (kept,) = tmp_path.rglob(f"*.{ending}")
    whole = kept.stat().st_size
    assert whole > left
    with kept.open("r+b") as file:
        file.truncate(left)
    done = compiling()
    assert (done.returncode, done.stdout, done.stderr) == (0, "([], 4.0)", "")
    # Once, not at each start.
    assert kept.stat().st_size == whole
