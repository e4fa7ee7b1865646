"""Which implementation of Qwen3-ASR is here: the package `qwen-asr`, or Transformers itself, from 5.13 on.

One environment has one of them: `qwen-asr` 0.0.6 wants Transformers 4.57.6, and does not work with a later one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from typing import TYPE_CHECKING

from asrq_jobs import extras
from asrq_jobs.errors import ExtraMissingError, ModelInvalidError
from asrq_worker.backends.qwen import japanese
from asrq_worker.backends.qwen.files import Checkpoint

if TYPE_CHECKING:
    from asrq_worker.backends.qwen.model import QwenModel

_NATIVE_SINCE = (5, 13)


def is_native() -> bool:
    """Whether the Transformers that is installed has Qwen3-ASR itself."""
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return False
    return tuple(map(int, re.findall(r"\d+", version)[:2])) >= _NATIVE_SINCE


def version() -> str:
    """Return the package that implements Qwen3-ASR here, with its version: `qwen-asr/0.0.6`, `transformers/5.24.0`."""
    package = "transformers" if is_native() else "qwen-asr"
    return f"{package}/{importlib.metadata.version(package)}"


def require_packages() -> None:
    """Raise unless all packages of an implementation are here.

    Raises:
        ExtraMissingError: some are not.
    """
    wanted = ("torch",) if is_native() else ("torch", "qwen_asr")
    absent = [package for package in wanted if importlib.util.find_spec(package) is None]
    if absent:
        raise ExtraMissingError(
            f"The Qwen backend needs packages that are not installed ({', '.join(absent)}).", hint=_hint()
        )


def refuse_foreign(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint in the format of the implementation that is not here.

    Raises:
        ModelInvalidError: it is.
    """
    if checkpoint.native == is_native():
        return
    if checkpoint.native:
        raise ModelInvalidError(
            f"The model in {checkpoint.folder} is in the format of Transformers 5.13 and later; here is {version()}.",
            hint="Use the one whose name does not end in -hf, or a worker with the extra qwen-native and without qwen.",
        )
    raise ModelInvalidError(
        f"The model in {checkpoint.folder} is in the format of qwen-asr; here is {version()}.",
        hint="Use the one whose name ends in -hf, convert it with ops/models/convert_qwen.py, or use a worker with the "
        "extra qwen and without qwen-native.",
    )


def model_class() -> type[QwenModel]:
    """Import the implementation; takes seconds.

    Raises:
        ExtraMissingError: it cannot be imported.
    """
    try:
        if is_native():
            from asrq_worker.backends.qwen.native import NativeModel

            return NativeModel
        japanese.put_off()
        from asrq_worker.backends.qwen.packaged import PackagedModel
    except ImportError as error:
        raise ExtraMissingError(f"The Qwen backend cannot be imported ({error}).", hint=_hint()) from None
    return PackagedModel


def _hint() -> str:
    return extras.hint("qwen-native" if is_native() else "qwen")
