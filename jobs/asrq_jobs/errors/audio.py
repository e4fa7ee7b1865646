"""The audio of a job cannot be had or used."""

from __future__ import annotations

from typing import ClassVar

from asrq_jobs.errors.base import AsrqError, Stage


class AudioError(AsrqError):
    """The audio cannot be had or cannot be used."""

    stage: ClassVar[Stage] = "decode"


class AudioNotFoundError(AudioError):
    """No file at the path."""

    code = "audio_not_found"
    stage: ClassVar[Stage] = "fetch"
    default_hint = "Check the path as the worker's host sees it, or upload the audio instead."


class PathNotAllowedError(AudioError):
    """The path, with symlinks resolved, is outside the folders that the operator listed."""

    code = "path_not_allowed"
    stage: ClassVar[Stage] = "fetch"
    default_hint = "Upload the audio, or ask the operator to list its folder in ASRQ_AUDIO_ROOTS."


class UrlNotAllowedError(AudioError):
    """The URL's scheme or address is not allowed, or it is a webhook and those are not enabled."""

    code = "url_not_allowed"
    stage: ClassVar[Stage] = "fetch"
    default_hint = "Upload the audio, or ask the operator to list the scheme in ASRQ_URL_SCHEMES."


class BlobMissingError(AudioError):
    """The uploaded audio has expired or was never uploaded."""

    code = "blob_missing"
    stage: ClassVar[Stage] = "fetch"
    default_hint = "Upload the audio again and submit the job anew."


class AudioEmptyError(AudioError):
    """The file has no bytes, or its audio stream has no samples."""

    code = "audio_empty"
    default_hint = "Record or export the audio again; the file holds none."


class AudioUnreadableError(AudioError):
    """The bytes are not audio or video that can be decoded."""

    code = "audio_unreadable"
    default_hint = "Check that the file plays; asrq supports every format that FFmpeg decodes."


class NoAudioStreamError(AudioError):
    """The container is readable but holds no audio stream."""

    code = "no_audio_stream"
    default_hint = "Send a file with sound; a video is fine if it has an audio track."


class TooManyChannelsError(AudioError):
    """The channels were to be transcribed separately, and there are more than two."""

    code = "too_many_channels"
    default_hint = "Ask for the mix, or write the channels to files of two."


class VoiceError(AudioError):
    """A voice cannot be enrolled with this recording: too little is said in it, or more than one person speaks."""

    code = "voice_unusable"
    default_hint = "Name a longer recording, in which only this person speaks."


class AudioTooLargeError(AudioError):
    """The file has more bytes than the operator allows."""

    code = "audio_too_large"
    stage: ClassVar[Stage] = "fetch"


class AudioTooLongError(AudioError):
    """The audio lasts longer than the operator allows."""

    code = "audio_too_long"


class AudioMismatchError(AudioError):
    """The uploaded bytes do not match the SHA-256 that they are stored under."""

    code = "audio_mismatch"
    stage: ClassVar[Stage] = "fetch"


class FetchError(AsrqError):
    """A URL could not be read."""

    code = "fetch_failed"
    stage: ClassVar[Stage] = "fetch"
    retryable = True
