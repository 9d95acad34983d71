"""What tests of sessions share."""

from __future__ import annotations

import numpy as np

from embedseg_napari.core.annotation.states import BACKGROUND
from embedseg_napari.core.session.session import AnnotationSession

SHAPE = (20, 24)


def painted(number: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    labels[2:8, 2:9] = number
    labels[0] = BACKGROUND
    return labels


def annotated(session):
    return session.annotated_images({})[0]


def reopened(session):
    session.close()
    return AnnotationSession.open(session.folder)
