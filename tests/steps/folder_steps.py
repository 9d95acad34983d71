"""Segmenting the images of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedseg_napari.core.runs import drain
from embedseg_napari.jobs.folder.segment_folder import segment_folder

if TYPE_CHECKING:
    from embedseg_napari.jobs.folder.plan import FolderJob


def run(job: FolderJob, should_stop: Any = lambda: False) -> tuple[list[Any], Any]:
    """The events of a job, and its result."""
    events: list[Any] = []
    return events, drain(segment_folder(job, should_stop), events.append)
