"""This installation cannot do what was asked until it is changed."""

from __future__ import annotations

from typing import ClassVar

from asrq_jobs.errors.base import AsrqError, Stage


class SetupError(AsrqError):
    """This installation cannot do what was asked until it is changed."""

    stage: ClassVar[Stage] = "setup"


class SettingsError(SetupError):
    """A setting is unknown, malformed, or at odds with another."""

    code = "invalid_settings"


class ExtraMissingError(SetupError):
    """An optional dependency is not installed."""

    code = "extra_missing"


class ModelMissingError(SetupError):
    """The model is not on this machine."""

    code = "model_missing"


class ModelInvalidError(SetupError):
    """The model's files are corrupt, incomplete or of another type."""

    code = "model_invalid"
    default_hint = "Fetch or copy the model again, and check that it is one for this backend."


class DeviceUnavailableError(SetupError):
    """The configured device or number type is not available here."""

    code = "device_unavailable"


class InUseError(SetupError):
    """The port to listen on, or the folder to keep data in, is taken by another program."""

    code = "in_use"


class StorageError(SetupError):
    """A folder that has to be written cannot be, or what was kept in it cannot be read.

    A worker that meets it gives the job back without costing an attempt, and takes none until it can write again.
    """

    code = "storage_unusable"
    retryable = True
    default_hint = "Make room on that host, or see ASRQ_SPOOL_DIR and ASRQ_MODEL_DIR."


class ServerRefusedError(SetupError):
    """The inference server does not accept our key or our requests."""

    code = "server_refused"
