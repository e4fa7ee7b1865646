"""The Qwen3-ASR backend: the package `qwen-asr` with Transformers, on a CPU or CUDA."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import psutil

from asrq_jobs.errors import (
    AsrqError,
    DeviceUnavailableError,
    ExtraMissingError,
    InferenceError,
    ModelInvalidError,
    OutOfMemoryError,
    SettingsError,
    UnsupportedOptionError,
)
from asrq_worker.backends import guards, qwen_files
from asrq_worker.backends.base import (
    SAMPLE_RATE,
    Backend,
    BackendConfig,
    Capabilities,
    Chunk,
    ChunkOptions,
    Identity,
    Samples,
    TimedSegment,
    Transcript,
)
from asrq_worker.merge import join

