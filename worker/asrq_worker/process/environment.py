"""What a child process gets of the environment: what it needs, by name. No secret of its parent is among it.

A decoder reads files of strangers, an engine runs libraries of many hands: neither is to know the password of the
queue, keys, or anything else in the environment of a service. What they are to know of the settings is sent to them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

TO_RUN = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TEMP", "TMP",
    "PYTHON*", "VIRTUAL_ENV", "COVERAGE_*", "LD_*", "DYLD_*", "MALLOC_*", "GLIBC_TUNABLES",
    "ORT_DISABLE_TELEMETRY",
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS", "PROCESSOR_*",
    "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES*",
)  # fmt: skip
"""Patterns of names that any program may need: where things are, the language, how memory is managed."""
TO_COMPUTE = (
    "XDG_CACHE_HOME", "CUDA_*", "CUDNN_*", "CUBLAS_*", "NCCL_*", "NVIDIA_*", "HIP_*", "HSA_*", "ROCR_*", "MIOPEN_*",
    "OMP_*", "KMP_*", "GOMP_*", "MKL_*", "OPENBLAS_*", "BLIS_*", "NUMEXPR_*", "VECLIB_*", "CT2_*", "ONEDNN_*",
    "DNNL_*", "ORT_*", "TORCH*", "PYTORCH_*", "TRITON_*", "FLASH_ATTENTION_*", "HF_*", "HUGGINGFACE_*",
    "TRANSFORMERS_*", "TOKENIZERS_*", "SAFETENSORS_*",
)  # fmt: skip
"""Those that a model needs: devices, threads, caches."""
TO_REACH_OTHERS = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
)  # fmt: skip
"""Those that an engine needs that downloads its model or has it run by a server."""
RESTING = {"OPENBLAS_THREAD_TIMEOUT": "4"}
"""Has the threads of OpenBLAS sleep when they have nothing to do. They would spin for some 30 ms first, as numpy is
imported and after each product, on cores that others compute on."""

_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)  # fmt: skip
_SECRET = re.compile("(TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")


def handed_on(*patterns: str, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables whose names fit `TO_RUN` or one of the patterns, in upper case.

    A name that ends like that of a secret has to be among the patterns as it is.
    """
    wanted = (*TO_RUN, *patterns)
    return {name: value for name, value in environment.items() if _fits(name.upper(), wanted)}


def computing_on(threads: int) -> dict[str, str]:
    """Return the variables that give libraries for arithmetic so many threads, in place of what the environment says.

    In what order they add up follows from how many they have, and the last bits of a sum from that order.
    """
    return dict.fromkeys(_THREADS, str(threads))


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    if _SECRET.search(name):
        return name in patterns
    return any(fnmatchcase(name, pattern) for pattern in patterns)
