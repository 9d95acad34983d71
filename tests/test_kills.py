"""Whatever kills the program, at whatever moment: nothing that it said was done is lost, and the next run goes on.

``EMBEDSEG_SLOW=1 pytest tests/test_kills.py`` kills 40 times in each kind of work.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from embedseg_napari import load_model
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.events import EpochFinished
from embedseg_napari.core.files.tiff import Picture, read_image, write_image
from embedseg_napari.core.model.bundled import bundled_path
from embedseg_napari.core.model.library import ModelLibrary
from embedseg_napari.core.runs import drain
from embedseg_napari.core.session.session import AnnotationSession
from embedseg_napari.core.training.trainer import Trainer, train
from embedseg_napari.jobs.folder.plan import FolderJob
from embedseg_napari.jobs.folder.segment_folder import ImageSaved, segment_folder

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows knows neither such signals nor copies of processes"),
    pytest.mark.parametrize(
        "n_kills",
        [
            pytest.param(3, marks=pytest.mark.thorough),
            pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
        ],
    ),
]
N_IMAGES = 12
SIDE = 48

WORKER = """
import os, sys
import numpy as np, torch
from pathlib import Path
import test_kills as test
torch.set_num_threads(1)
def say(number):
    os.write(1, f"{number}\\n".encode())
print("ready", flush=True)
for line in sys.stdin:
    kind, folder = line.split()
    pid = os.fork()
    if pid == 0:
        try:
            getattr(test, f"work_on_{kind}")(Path(folder), say)
        except BaseException as error:
            os.write(1, f"failed: {error!r}\\n".encode())
        finally:
            os._exit(0)
    say(f"pid {pid}")
    os.waitpid(pid, 0)
    say("end")
"""


def blobs():
    """A small image of four discs, and their labels."""
    y, x = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for number, (top, left) in enumerate([(12, 12), (12, 36), (36, 12), (36, 36)], 1):
        labels[(y - top) ** 2 + (x - left) ** 2 < 50] = number
    return (labels > 0) * np.uint8(200) + np.random.default_rng(0).integers(0, 20, labels.shape, np.uint8), labels


def settings(epochs):
    return TrainingConfig.parse(
        {
            "minutes": None,
            "epochs": epochs,
            "steps_per_epoch": 1,
            "batch_size": 1,
            "crop_size": (16, 16),
            "precision": "float32",
        }
    )


def work_on_training(folder, say):
    done = 0 if not (folder / "m.embedseg").exists() else steps_of(folder)
    while True:
        done += 1
        train([blobs()], settings(done), output=folder / "m.embedseg", resume=done > 1)
        say(done)


def work_on_prediction(folder, say):
    job = FolderJob((folder / "in",), folder / "out", "nuclei-2d", "cpu", {}, tables="each", resume=True)
    for event in segment_folder(job, lambda: False):
        if isinstance(event, ImageSaved):
            say(event.name.removesuffix(".tif"))
    say("done")


def work_on_labelling(folder, say):
    from embedseg_napari.core.annotation.annotation import Annotation

    with AnnotationSession.open(folder / "s") as session:
        number = int(session.load_annotation("cells").labels.max())
        while True:
            number += 1
            session.save_annotation("cells", Annotation(np.full((SIDE, SIDE), number, np.int32)))
            say(number)


def work_on_models(folder, say):
    library = ModelLibrary(folder / "models")
    number = max(int(path.stem[1:]) for path in library.folder.glob("m*.embedseg"))
    while True:
        library.describe(f"m{number}", description=str(number + 1))
        library.rename(f"m{number}", f"m{number + 1}")
        number += 1
        say(number)


def steps_of(folder):
    return load_model(folder / "m.embedseg", device="cpu").config.training["steps"]


@pytest.fixture
def killed(tmp_path):
    """Start work of a kind in a folder and kill it after it has said something; what it said."""
    here = Path(__file__).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(here), environment.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as worker:
        assert worker.stdout.readline() == "ready\n"
        rng = random.Random(0)

        def kill(kind):
            worker.stdin.write(f"{kind} {tmp_path}\n")
            worker.stdin.flush()
            said, wanted, pid = [], rng.randint(1, 3), None
            while pid is None or len(said) < wanted:
                line = worker.stdout.readline().strip()
                assert not line.startswith("failed"), line
                if line == "end":
                    return said
                if line.startswith("pid"):
                    pid = int(line.removeprefix("pid"))
                else:
                    said.append(line)
            time.sleep(rng.uniform(0, 0.05))
            # It may have come to its end meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            while (line := worker.stdout.readline().strip()) != "end":
                said.append(line)
            return said

        yield kill
        worker.stdin.close()


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.name.startswith(".tmp-")]


def test_training(tmp_path, killed, n_kills):
    for _ in range(n_kills):
        said = [int(text) for text in killed("training")]
        steps = steps_of(tmp_path)
        assert steps >= said[-1]
        rows = []
        more = Trainer(settings(steps + 2), [blobs()], [], run_folder=tmp_path / "m.run", resume=True)
        drain(more.run(lambda: True), rows.append)
        assert not [row for row in rows if isinstance(row, EpochFinished) and row.step < steps]
    result = train([blobs()], settings(steps + 2), output=tmp_path / "m.embedseg", resume=True)
    assert [row.step for row in result.history] == list(range(1, steps + 3))
    assert leftovers(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.embedseg", "m.run"]


def test_prediction(tmp_path, killed, n_kills):
    for number in range(N_IMAGES):
        write_image(tmp_path / "in" / f"{number}.tif", np.roll(np.tile(blobs()[0], (2, 2)), number, 0), "YX")
    done: set[str] = set()
    for _ in range(n_kills):
        said = killed("prediction")
        done |= {text for text in said if text != "done"}
        for name in done:
            rows = (tmp_path / "out" / f"{name}.csv").read_text().splitlines()
            assert read_image(tmp_path / "out" / f"{name}.tif").array.max() == len(rows) - 1
        if "done" in said:
            assert len(list((tmp_path / "out").glob("*.*"))) == 2 * N_IMAGES + 1, "labels and tables, and the report"
            for path in (tmp_path / "out").rglob("*.*"):
                path.unlink()
            done.clear()
    while "done" not in killed("prediction"):
        pass
    assert len(list((tmp_path / "out").glob("*.*"))) == 2 * N_IMAGES + 1, "labels and tables, and the report"
    assert leftovers(tmp_path) == []


def test_labelling(tmp_path, killed, n_kills):
    with AnnotationSession(tmp_path / "s") as session:
        session.add_image("cells", Picture(blobs()[0], "YX"))
    for _ in range(n_kills):
        last = int(killed("labelling")[-1])
        with AnnotationSession.open(tmp_path / "s") as session:
            labels = session.load_annotation("cells").labels
            assert labels.min() == labels.max()
            assert labels.max() in (last, last + 1)
        assert leftovers(tmp_path) == []


def test_models(tmp_path, killed, n_kills):
    library = ModelLibrary(tmp_path / "models")
    load_model(bundled_path("nuclei-2d"), device="cpu").save(library.folder / "m0")
    (library.folder / "m0.run").mkdir()
    for _ in range(n_kills):
        last = int(killed("models")[-1])
        names = sorted(path.stem for path in library.folder.glob("m*.embedseg"))
        # A rename that is killed leaves the model under both names at worst.
        assert names
        assert {int(name[1:]) for name in names} <= {last, last + 1}
        newest = names[-1] if len(names) == 1 else f"m{last + 1}"
        assert int(library.find(newest).config().description) >= last
        assert len(list(library.folder.glob("*.run"))) == 1
        for name in names:
            assert load_model(library.folder / f"{name}.embedseg", device="cpu").config.ndim == 2
            if name != newest:
                (library.folder / f"{name}.embedseg").unlink()
        (next(library.folder.glob("*.run"))).rename(library.folder / f"{newest}.run")
    assert killed("models")
    library.describe(next(library.folder.glob("m*.embedseg")).stem, description="x")
    assert leftovers(tmp_path) == []
