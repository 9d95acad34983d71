"""Walk of a new user; not part of the repository."""

import os, time, traceback
from pathlib import Path
import numpy as np, pytest, tifffile

pytest.importorskip("pyqtgraph")
from annotating_person import LEFT, Person
from areas import Area, empty_box
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

DATA = Path("/work/shared/data")
KIND = os.environ.get("KIND", "fluo")
OUT = Path(os.environ.get("SHOTS", "/tmp/w/hour/shots")) / KIND
SIZE = tuple(int(x) for x in os.environ.get("SIZE", "1366x768").split("x"))
STOP_AFTER = float(os.environ.get("STOP_AFTER", "25"))
pytestmark = [pytest.mark.timeout(2400)]
OUT.mkdir(parents=True, exist_ok=True)
for p in OUT.glob("*.png"):
    p.unlink()
log = open(OUT / "log.txt", "w", buffering=1)


def say(*a):
    print(*a, file=log)
    print(*a, flush=True)


KINDS = {
    "fluo": ("dsb2018/train", None, None, "cells-phase-2d"),
    "phase": ("usiigaci/train", "set10.tif", None, "nuclei-2d"),
    "worms": ("bbbc010/train", "A01.tif", None, "cells-phase-2d"),
    "volume": ("bbbc050/train", "Emb03_t301.tif", "Z", "nuclei-2d"),
    "movie": ("ecoli/train", ["t010.tif", "t011.tif", "t012.tif", "t013.tif"], "T", "nuclei-3d"),
}


@pytest.fixture
def viewer(make_napari_viewer_proxy, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    v = make_napari_viewer_proxy(show=True)
    w = v.__wrapped__.window._qt_window
    w.move(0, 0)
    w.resize(*SIZE)
    return v


class Walk:
    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot, self.n = viewer, qtbot, 0

    def shot(self, name, wait=600):
        self.qtbot.wait(wait)
        self.n += 1
        f = OUT / f"{self.n:02d}-{name}.png"
        QApplication.primaryScreen().grabWindow(0).save(str(f))
        say(
            f"[{time.strftime('%H:%M:%S')}] {f.name} layers: "
            + ", ".join(
                f"{l.name}{'' if l.visible else ' (hidden)'}{'*' if l is self.viewer.layers.selection.active or l == self.viewer.layers.selection.active else ''}"
                for l in reversed(self.viewer.layers)
            )
        )

    def until(self, cond, seconds=240):
        end = time.monotonic() + seconds
        while not cond():
            if time.monotonic() > end:
                raise TimeoutError("not reached")
            self.qtbot.wait(100)

    def panel(self, name):
        return self.viewer.window.add_plugin_dock_widget("embedseg-napari", f"EmbedSeg: {name}")[1]

    def click(self, b):
        if not b.isVisible():
            say("   !! not visible:", b.text())
        if not b.isEnabled():
            say("   !! disabled:", b.text(), b.toolTip())
        # in sight?
        top = b.mapTo(b.window(), b.rect().center())
        clip = b.visibleRegion().boundingRect()
        if clip.height() < b.height() - 2:
            say("   !! out of sight (scrolled):", b.text(), clip.height(), b.height())
        self.qtbot.mouseClick(b, LEFT)


def station(fn):
    def run(*a, **k):
        say("==", fn.__name__)
        try:
            return fn(*a, **k)
        except Exception:
            say(traceback.format_exc())

    return run


def test_walk(viewer, qtbot, drag, tmp_path):
    folder, name, planes, wrong = KINDS[KIND]
    folder = DATA / folder
    w = Walk(viewer, qtbot)
    if KIND == "fluo":
        name = next(p.name for p in sorted((folder / "images").iterdir()) if p.name.startswith("05040e2e959c3f56"))
    if isinstance(name, list):
        image, truth = (np.stack([tifffile.imread(folder / p / n) for n in name]) for p in ("images", "masks"))
        src = tmp_path / "ecoli.tif"
        msk = tmp_path / "ecoli-masks.tif"
        tifffile.imwrite(src, image, metadata=None, photometric="minisblack")
        tifffile.imwrite(msk, truth, metadata=None, photometric="minisblack")
    else:
        src, msk = folder / "images" / name, folder / "masks" / name
        truth = tifffile.imread(msk)
    ndim = 3 if KIND == "volume" else 2

    w.shot("start")
    viewer.open(str(src), plugin="napari")
    viewer.reset_view()
    layer = viewer.layers[-1]
    w.shot("open")
    t = time.perf_counter()
    seg = w.panel("Segment")
    w.shot("segment-panel")

    @station
    def segment():
        if seg.image.question.isVisible():
            w.click(seg.image.question.buttons[planes])
            w.shot("answered")
        t = time.perf_counter()
        w.click(seg.run_button)
        w.until(lambda: seg.current is None)
        say("   segment took", time.perf_counter() - t, seg.status.text())
        w.shot("segmented", 300)
        w.until(lambda: not seg.advice.is_looking)
        w.shot("advised")
        say("   notes:", seg.advice.notes.text(), "|", seg.advice.sentence.text(), "|", seg.advice.button.text())
        for b in (*seg.recipe.findChildren(type(seg.measure)), seg.measure, seg.run_button):
            if b.isVisible() and b.visibleRegion().boundingRect().height() < b.height() - 2:
                say("   out of sight:", b.text())
        if seg.advice.button.isVisible():
            w.click(seg.advice.button)
            w.until(lambda: seg.current is None)
            w.until(lambda: not seg.advice.is_looking)
            w.shot("advice-taken")
            say(
                "  ",
                seg.status.text(),
                "| notes:",
                seg.advice.notes.text(),
                "|",
                seg.advice.sentence.text(),
                "|",
                seg.advice.button.text(),
            )

    segment()

    @station
    def sliders():
        s = seg.thresholds
        say("   values", s.values())
        s.sliders["seed_threshold"].setValue(0.6) if hasattr(s, "sliders") else None
        w.qtbot.wait(500)
        w.until(lambda: seg.is_settled, 30)
        w.shot("sliders")
        say("  ", seg.status.text())
        for b in seg.threshold_box.ways_back.findChildren(type(seg.measure)):
            say("   way back:", b.text(), b.isEnabled(), b.isVisible())
        bs = [b for b in seg.threshold_box.ways_back.findChildren(type(seg.measure)) if b.isVisible() and b.isEnabled()]
        if bs:
            w.click(bs[-1])
            w.qtbot.wait(300)
            w.shot("undone")

    sliders()

    @station
    def wrong_model():
        seg.model.choose_named(wrong)
        w.shot("wrong-chosen")
        say("  ", seg.status.text(), seg.run_button.isEnabled())
        if seg.run_button.isEnabled():
            w.click(seg.run_button)
            w.until(lambda: seg.current is None)
            w.shot("wrong-done", 300)
            w.until(lambda: not seg.advice.is_looking)
            w.shot("wrong-advised")
            say(
                "  ",
                seg.status.text(),
                "| notes:",
                seg.advice.notes.text(),
                "|",
                seg.advice.sentence.text(),
                "|",
                seg.advice.button.text(),
            )
            if seg.advice.button.isVisible() and not seg.advice.advice.labels:
                w.click(seg.advice.button)
                w.until(lambda: seg.current is None)
                w.until(lambda: not seg.advice.is_looking)
                w.shot("wrong-mended")

    wrong_model()

    @station
    def train():
        viewer.open(str(msk), plugin="napari")
        w.shot("masks-dropped")
        tr = w.panel("Train")
        w.shot("train-panel")
        row = tr.pairs.rows[0]
        say("   row:", row.image.layer(), row.labels.native.currentText(), tr.reason.text())
        for hint in (row.hint,):
            if hint.isVisible():
                from qtpy.QtWidgets import QPushButton

                w.click(hint.findChildren(QPushButton)[0])
                w.shot("turned")
        say("   row:", row.image.layer(), row.labels.native.currentText(), tr.reason.text())
        if row.image.layer() != layer:
            say("   !! image is not what one means")
            row.image.choose(layer)
        if row.labels.layer() is None or row.labels.layer().source.path != str(msk):
            say("   !! labels chosen", row.labels.layer())
            row.labels.choose(next(l for l in viewer.layers if l.source.path == str(msk)))
        w.shot("train-ready", 1500)
        w.until(lambda: tr.train.isEnabled(), 60)
        w.shot("train-checked")
        t = time.perf_counter()
        w.click(tr.train)
        w.shot("train-begun", 3000)
        w.until(
            lambda: (
                tr.preview.view is not None
                and any("preview" in l.name.lower() or "prediction" in l.name.lower() for l in viewer.layers)
                and len(tr.progress.plot.losses) > 20
            ),
            200,
        )
        end = time.monotonic() + STOP_AFTER
        w.until(lambda: time.monotonic() > end or not tr.is_training)
        w.shot("training")
        tr.preview.embeddings_on.setChecked(True)
        w.shot("embeddings", 8000)
        w.click(tr.stop)
        w.shot("stopping", 300)
        w.until(lambda: not tr.is_training, 120)
        w.shot("stopped")
        say("  ", tr.progress.status.text())
        w.click(tr.progress.segment)
        w.until(lambda: seg.current is None)
        w.shot("handed-over")
        w.until(lambda: not seg.advice.is_looking)
        w.shot("handed-over-advised")
        say(
            "  ",
            seg.status.text(),
            "| notes:",
            seg.advice.notes.text(),
            "|",
            seg.advice.sentence.text(),
            "|",
            seg.advice.button.text(),
        )

    train()

    @station
    def label():
        lb = w.panel("Label & Train")
        w.shot("label-panel")
        me = Person(viewer, qtbot, drag, ndim, lb)
        say("   image:", lb.annotation.image.layer(), lb.reason.text(), lb.settings.start_from())
        if KIND == "volume" and lb.annotation.question.isVisible():
            w.click(lb.annotation.question.buttons["Z"])
        w.click(lb.annotation.annotate)
        w.shot("annotate")
        tru = truth
        if KIND == "movie":
            tru = truth[int(viewer.dims.current_step[0]) if viewer.dims.ndim > 2 else 0]
        if KIND == "worms":
            tru = (
                truth.shape and (truth * (1 + np.arange(len(truth)))[:, None, None]).max(0)
                if truth.max() == 1
                else truth.max(0)
            )
            from skimage.segmentation import relabel_sequential

            tru = relabel_sequential(tru.astype(int))[0]
        area = Area.choose(tru, 4)
        me.go_near(area.box)
        for z in area.planes(tru):
            me.draw_rectangle(z, area.box)
        w.shot("rectangle")
        for i, one in enumerate(area.objects):
            me.paint(tru, one)
            if i == 1:
                w.shot("two-painted")
        lb.annotation.count()
        w.shot("painted")
        say("  ", lb.annotation.line.text(), "|", lb.annotation.advice.text(), "|", lb.reason.text())
        w.click(lb.train)
        w.shot("round-begun", 4000)
        w.until(lambda: len(lb.progress.plot.losses) > 10, 200)
        end = time.monotonic() + STOP_AFTER
        w.until(lambda: time.monotonic() > end or not lb.is_training)
        w.shot("round-running")
        if lb.is_training:
            w.click(lb.stop)
        w.until(lambda: not lb.is_training, 120)
        w.shot("round-over")
        say("   ", lb.progress.status.text())
        w.until(lambda: not lb.review.is_searching, 120)
        w.shot("review")
        say("   ", lb.review.line.text())
        me.press(Qt.Key.Key_J)
        w.shot("review-J")
        me.press(Qt.Key.Key_A)
        w.shot("review-A")
        me.press(Qt.Key.Key_J)
        me.press(Qt.Key.Key_D)
        w.shot("review-D")
        say("   ", lb.review.line.text(), lb.annotation.line.text())

    label()

    @station
    def evaluate():
        ev = w.panel("Evaluate")
        w.shot("evaluate-panel")
        say("   truth:", ev.source.truth.layer(), "pred:", ev.source.predicted.layer(), ev.reason.text())
        if not ev.evaluate.isEnabled():
            return
        w.click(ev.evaluate)
        w.until(lambda: not (ev.run and ev.run.is_active), 100)
        w.shot("evaluated")
        ev.tabs.setCurrentIndex(1)
        w.shot("mistakes")
        from qtpy.QtWidgets import QTableWidget, QTableView

        tv = next((t for t in ev.mistakes.findChildren(QTableView) if t.isVisible()), None)
        if tv is not None:
            r = tv.visualRect(tv.model().index(0, 0))
            qtbot.mouseClick(tv.viewport(), LEFT, pos=r.center())
            w.shot("mistake-0")
        ev.tabs.setCurrentIndex(3)
        w.shot("thresholds")

    evaluate()

    @station
    def measure():
        w.panel("Segment")
        seg.bring_forward()
        w.shot("back-to-segment")
        if seg.measure.isVisible():
            w.click(seg.measure)
            w.shot("measure", 3000)

    measure()

    @station
    def save():
        labels = seg.results.labels
        viewer.layers.selection.active = labels
        qt = viewer.__wrapped__.window._qt_viewer
        out = tmp_path / "result.tif"
        saved = viewer.layers.save(str(out), selected=True)
        say("   saved:", saved, tifffile.imread(out).shape, tifffile.TiffFile(out).series[0].axes)
        w.shot("saved")
        viewer.theme = "light"
        seg.bring_forward()
        w.shot("light")

    save()
    # let threads end
    for p in list(viewer.layers):
        pass
