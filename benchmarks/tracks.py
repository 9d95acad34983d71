"""Time and score linking on generated movies with known lineages.

python benchmarks/tracks.py             TRA, LNK and BC(0) of py-ctcmetrics (pip install py-ctcmetrics) for movies of
                                        200 cells, 20 frames and 20 divisions, slow and fast, clean and spoiled; the
                                        same of laptrack where it is installed; then 1,000 frames of 500 cells
python benchmarks/tracks.py --long 200  only so many frames of 500 cells
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "steps"))

import numpy as np
from movie_steps import spoil

import embedseg_napari as es
from embedseg_napari.core.data.dividing_cells import dividing_cells, label_frames
from embedseg_napari.core.exchange.ctc import write_ctc
from embedseg_napari.core.tracking.tracks import TrackedLabels

METRICS = ("Valid", "TRA", "LNK", "BC(0)")


def scores(result: Path, truth: Path) -> str:
    try:
        from ctc_metrics.scripts.evaluate import evaluate_sequence
    except ImportError:
        return "no scores: pip install py-ctcmetrics"
    with contextlib.redirect_stdout(io.StringIO()):
        found = evaluate_sequence(str(result), str(truth), metrics=["Valid", "TRA", "LNK", "BC"], threads=1)
    return ", ".join(f"{name} {found[name]:.3f}" for name in METRICS)


def write_truth(folder: Path, movie: object) -> None:
    place = folder / "TRA"
    place.mkdir(parents=True)
    write_ctc(place, movie.labels, "TYX", mothers=movie.parents)
    for file in place.glob("mask*"):
        file.rename(place / file.name.replace("mask", "man_track"))
    (place / "res_track.txt").rename(place / "man_track.txt")


def by_laptrack(labels: np.ndarray, folder: Path, step: float, split: float) -> float | None:
    """Seconds that laptrack takes, from its centroids; None where it is not installed."""
    try:
        import pandas as pd
        from laptrack import LapTrack
    except ImportError:
        return None
    table = es.measure(labels, axes="TYX")
    frame = pd.DataFrame({"frame": table["frame"], "y": table["centroid_y_px"], "x": table["centroid_x_px"]})
    frame["label"] = table["label"]
    began = time.process_time()
    tracker = LapTrack(
        cutoff=step**2, gap_closing_cutoff=step**2, splitting_cutoff=split**2, gap_closing_max_frame_count=2
    )
    found, splits, _ = tracker.predict_dataframe(
        frame, coordinate_cols=["y", "x"], frame_col="frame", only_coordinate_cols=False
    )
    seconds = time.process_time() - began
    tracked = np.zeros_like(labels)
    found = found.reset_index(names=["frame_index", "index"]) if "frame" not in found else found
    times = found["frame"] if "frame" in found else found["frame_index"]
    for t, label, track in zip(times, found["label"], found["track_id"], strict=True):
        tracked[int(t)][labels[int(t)] == label] = int(track) + 1
    mothers = {int(row.child_track_id) + 1: int(row.parent_track_id) + 1 for row in splits.itertuples()}
    folder.mkdir()
    write_ctc(folder, tracked, "TYX", mothers=mothers)
    return seconds


def short_movies() -> None:
    for speed in (0.3, 0.8):
        for seed in range(3):
            movie = dividing_cells(speed=speed, seed=seed)
            for words, labels in (("clean", spoil(movie.labels, 0.0)), ("spoiled", spoil(movie.labels))):
                title = f"{speed} radii a frame, seed {seed}, {words}"
                with tempfile.TemporaryDirectory() as place:
                    folder = Path(place)
                    write_truth(folder / "truth", movie)
                    began = time.process_time()
                    tracks = es.track(labels)
                    seconds = time.process_time() - began
                    es.write_tracks(tracks, labels, folder / "own")
                    print(f"{title}: {scores(folder / 'own', folder / 'truth')}, {seconds:.2f} s", flush=True)
                    for step, split in ((27.0, 27.0), (18.0, 14.0)):
                        taken = by_laptrack(labels, folder / f"laptrack {step}", step, split)
                        if taken is not None:
                            said = scores(folder / f"laptrack {step}", folder / "truth")
                            print(f"  laptrack, {step:.0f} and {split:.0f} pixels: {said}, {taken:.2f} s", flush=True)


def long_movie(n_frames: int) -> None:
    """Frames are made while they are linked, and not counted; there is never more than one in memory here."""
    frames, drawing = label_frames(500, n_frames, 0, {}), 0.0
    first = next(frames)

    class Drawn:
        shape, dtype, ndim = (n_frames, *first.shape), first.dtype, 3

        def __getitem__(self, key: tuple) -> np.ndarray:
            nonlocal drawing
            began = time.process_time()
            frame = first if key[0] == 0 else next(frames)
            drawing += time.process_time() - began
            return frame[key[1:]]

    began = time.process_time()
    tracks = es.track(Drawn())
    seconds = time.process_time() - began - drawing
    print(
        f"{n_frames} frames of 500 cells, {first.shape[0]} pixels a side: {seconds:.1f} s of the processor; "
        f"{len(tracks.rows())} tracks"
    )
    began = time.process_time()
    tracked = TrackedLabels(np.broadcast_to(first, (n_frames, *first.shape)), tracks)
    tracked.tracks.relabel(first, 0)
    print(f"numbering a frame anew: {1000 * (time.process_time() - began):.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", type=int, default=0)
    options = parser.parse_args()
    if options.long:
        long_movie(options.long)
    else:
        short_movies()
        long_movie(1000)
