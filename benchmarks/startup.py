"""Time what a user waits for at the start: the import, the panels, the first results of a fresh installation.

    xvfb-run -a python benchmarks/startup.py        leave out xvfb-run where there is a screen

- import: ``import embedseg_napari`` in a new process, median of 9
- panel: in a running viewer, from the choice in the plugin menu until the panel is drawn and the viewer answers again;
  each in a process of its own, median of 5
- first prediction and first steps: in a new process, with an empty folder for compiled code as after an installation,
  and once more with what that left there; the longest pause is the one between two steps of the training
- first labels: napari is started, an image is opened, the panel is chosen in the menu (first click) and *Segment* is
  pressed at once (second click); from there until the labels are drawn, and once more in the same process, median of 3;
  the image is one of the samples, or `--image FILE`
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

IMPORT = """
import time
start = time.perf_counter()
import embedseg_napari
print(time.perf_counter() - start)
"""
PANEL = """
import sys, time
import napari
from qtpy.QtTest import QTest
viewer = napari.Viewer()
QTest.qWait(1000)
start = time.perf_counter()
dock, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", sys.argv[1])
while not panel.isVisible():
    QTest.qWait(1)
panel.repaint()
QTest.qWait(1)
print(time.perf_counter() - start, flush=True)
viewer.close()
"""
FIRST = """
import json, time
import numpy as np
from embedseg_napari.core.config import TrainingConfig
from embedseg_napari.core.data.synthetic import nuclei
from embedseg_napari.core.events import StepFinished
from embedseg_napari.core.model.model import load_model
from embedseg_napari.core.training.trainer import Trainer
times = {}
sample = nuclei((256, 256))
model = load_model("nuclei-2d")
for name in ("first prediction", "second prediction"):
    start = time.perf_counter()
    model.predict(sample.image, "YX")
    times[name] = time.perf_counter() - start
ends = [time.perf_counter()]
config = TrainingConfig(minutes=0.4, validation_fraction=0)
for event in Trainer(config, [(sample.image, sample.labels)], [], device="cpu").run():
    if isinstance(event, StepFinished):
        ends.append(time.perf_counter())
times["until the first training step is done"] = ends[1] - ends[0]
steps = np.diff(ends[1:])
times["longest pause between steps"] = steps.max()
times["median step"] = float(np.median(steps))
print(json.dumps(times))
"""
LABELS = """
import json, sys, time
import napari
from napari.layers import Labels
from qtpy.QtTest import QTest
viewer = napari.Viewer()
QTest.qWait(1000)
if sys.argv[1]:
    viewer.open(sys.argv[1])
else:
    viewer.open_sample("embedseg-napari", "nuclei_2d")
for layer in [layer for layer in viewer.layers if isinstance(layer, Labels)]:
    viewer.layers.remove(layer)
QTest.qWait(500)
opened = time.perf_counter()
_, panel = viewer.window.add_plugin_dock_widget("embedseg-napari", "EmbedSeg: Segment")
times = {}
for name in ("first labels", "second labels"):
    while not panel.run_button.isEnabled():
        QTest.qWait(1)
    start = time.perf_counter()
    if name == "first labels":
        times["panel can be used"] = start - opened
    panel.run_button.click()
    while panel.current is not None or panel.results.labels is None:
        QTest.qWait(1)
    panel.repaint()
    QTest.qWait(1)
    times[name] = time.perf_counter() - start
assert any(isinstance(layer, Labels) for layer in viewer.layers)
print(json.dumps(times), flush=True)
viewer.close()
"""


def run(code: str, *arguments: str, **environment: str) -> str:
    """What a new process prints last."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="", help="file to segment for the first labels; a sample without it")
    options = parser.parse_args()
    seconds = statistics.median(float(run(IMPORT)) for _ in range(9))
    print(f"import embedseg_napari            {seconds:6.3f} s", flush=True)
    for name in ("EmbedSeg: Segment", "EmbedSeg: Train", "EmbedSeg: Label & Train"):
        seconds = statistics.median(float(run(PANEL, name)) for _ in range(5))
        print(f"{name:32s}  {seconds:6.3f} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for state in ("nothing compiled yet", "compiled before"):
            print(state)
            for name, value in json.loads(run(FIRST, NUMBA_CACHE_DIR=folder)).items():
                print(f"  {name:38s} {value:6.3f} s", flush=True)
            found = [json.loads(run(LABELS, options.image, NUMBA_CACHE_DIR=folder)) for _ in range(3)]
            for name in found[0]:
                print(f"  {name:38s} {statistics.median(times[name] for times in found):6.3f} s", flush=True)


if __name__ == "__main__":
    main()
