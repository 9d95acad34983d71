"""Errors whose message a user can act on: what was wrong, where, and what to do."""

from __future__ import annotations


class EmbedSegError(Exception):
    """Base of every error this project raises on purpose; its text is one or two clear sentences."""


class DataError(EmbedSegError):
    """An image, a mask or a folder cannot be used; the message names it and the fault."""


class AlreadyExists(DataError):
    """A file of this name is there, or came while the work went on, and may not be replaced."""


class ModelError(EmbedSegError):
    """A model file cannot be read, or does not fit the image it was asked to segment."""


class SettingsError(EmbedSegError):
    """A setting, or a combination of settings, makes no sense."""


class ComputeError(EmbedSegError):
    """The device is missing, or ran out of memory."""


class LossError(ComputeError):
    """A training diverged: its loss is no number any more."""


class Stopped(EmbedSegError):
    """A prediction was stopped before it finished (a stopped training returns a result instead)."""


class EmbedSegWarning(UserWarning):
    """What a Python script should know of a run to whose events it does not listen."""


class AssumptionWarning(EmbedSegWarning):
    """Something that a file does not say was taken for granted."""


class AnnotationError(EmbedSegError):
    """A stroke or a choice cannot be carried out on the annotation; the message says what to do instead."""
