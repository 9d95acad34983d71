"""What tests of the Segment panel share: a network that finds two objects, and waiting for a run."""

from __future__ import annotations

import threading

import numpy as np

from embedseg_napari.core.config import ModelConfig, PredictionConfig
from embedseg_napari.core.errors import Stopped
from embedseg_napari.core.events import FrameFinished, PredictionStarted, TileFinished
from embedseg_napari.core.inference.segmentation import Segmentation
from embedseg_napari.core.maps import EmbeddingMaps
from embedseg_napari.jobs.segment import ModelLoaded, take_channel

PANEL = "EmbedSeg: Segment"
WAIT = 60_000


def perfect_maps(labels, scores=(0.95, 0.75)):
    """Every object's pixels point to its centre; object i has the seediness ``scores[i - 1]``."""
    ndim = labels.ndim
    offsets = np.zeros((ndim, *labels.shape), np.float32)
    seed_map = np.full(labels.shape, 0.1, np.float32)
    for label in range(1, labels.max() + 1):
        at = np.argwhere(labels == label)
        index = tuple(at.T)
        offsets[(slice(None), *index)] = (at.mean(axis=0) - at).T
        seed_map[index] = scores[label - 1]
    return EmbeddingMaps(offsets, np.full_like(offsets, 2.0), seed_map)


def two_objects(shape):
    labels = np.zeros(shape, np.int32)
    labels[..., 2:8, 2:8] = 1
    labels[..., 2:8, 12:20] = 2
    return labels


class FakeRun:
    """Stands in for the network: finds two objects in every image."""

    def __init__(self):
        self.jobs, self.error, self.messages = [], None, []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, job, should_stop):
        self.jobs.append(job)
        yield ModelLoaded(ModelConfig(), "cpu")
        array, axes = take_channel(job.array, job.axes, job.channel)
        n_frames = array.shape[axes.index("T")] if "T" in axes else 1
        shape = tuple(n for n, letter in zip(array.shape, axes, strict=True) if letter in "ZYX")
        yield PredictionStarted(axes, n_frames, 1)
        if self.error is not None:
            raise self.error
        yield from self.messages
        names = ("seed_threshold", "foreground_threshold", "faint_seeds", "min_object_size")
        settings = PredictionConfig(**{name: job.changes[name] for name in names})
        parts = []
        for t in range(n_frames):
            while not self.gate.wait(0.01):
                if should_stop():
                    raise Stopped("stopped")
            yield TileFinished(t, 1, 1)
            parts.append(Segmentation.collect(perfect_maps(two_objects(shape)), settings))
            yield FrameFinished(t, n_frames, 2)
        return Segmentation.stack(parts) if "T" in axes else parts[0]


def finish(qtbot, panel):
    qtbot.waitUntil(lambda: panel.current is None, timeout=WAIT)


def settle(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.reclustering.is_busy and panel.is_settled, timeout=WAIT)
