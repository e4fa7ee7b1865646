"""Writes a CTranslate2 Whisper model again with int8 weights: half the size of float16.

    python ops/bench/int8.py FROM TO

As CTranslate2's own converters do it: each row of a linear layer's weight, and of the embeddings, by its largest value
(https://opennmt.net/CTranslate2/quantization.html#implementation). Convolutions and encodings stay as they are. The
format is that of `ModelSpec.save` in ctranslate2/specs/model_spec.py, version 6.
"""

from __future__ import annotations

import io
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TYPES = ("float32", "int8", "int16", "int32", "float16")  # bfloat16 would be the next
_VERSION = 6
_INT8 = 127


def convert(source: Path, target: Path) -> None:
    """Copy a model folder, its weights as int8."""
    shutil.copytree(source, target)
    with (source / "model.bin").open("rb") as old, (target / "model.bin").open("wb") as new:
        _rewrite(io.BytesIO(old.read()), new)


def quantised(weight: NDArray[np.generic]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a weight (rows, columns) as int8, and for each row what its values were multiplied with."""
    largest = np.abs(weight.astype(np.float32)).max(axis=1)
    scale = np.where(largest == 0, 1, _INT8 / np.where(largest == 0, 1, largest)).astype(np.float32)
    return np.rint(weight.astype(np.float32) * scale[:, None]).astype(np.int8), scale


def _rewrite(old: io.BytesIO, new: io.BufferedWriter) -> None:
    version = _number(old)
    if version != _VERSION:
        raise SystemExit(f"version {version} of the format is not known")
    specification, revision = _string(old), _number(old)
    variables: list[tuple[bytes, NDArray[np.generic]]] = []
    for _ in range(_number(old)):
        name, value = _variable(old)
        if value.ndim == 2 and name.endswith(b"weight"):
            weight, scale = quantised(value)
            variables += [(name, weight), (name + b"_scale", scale)]
        else:
            variables.append((name, value))
    new.write(struct.pack("<I", _VERSION) + _written(specification) + struct.pack("<II", revision, len(variables)))
    for name, value in variables:
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        new.write(_written(name) + shape + struct.pack("<BI", _TYPES.index(value.dtype.name), value.nbytes))
        new.write(value.tobytes())
    new.write(old.read())  # the aliases


def _variable(old: io.BytesIO) -> tuple[bytes, NDArray[np.generic]]:
    name, rank = _string(old), old.read(1)[0]
    shape = [_number(old) for _ in range(rank)]
    kind = np.dtype(_TYPES[old.read(1)[0]])
    return name, np.frombuffer(old.read(_number(old)), kind).reshape(shape)


def _number(old: io.BytesIO) -> int:
    return int(struct.unpack("<I", old.read(4))[0])


def _string(old: io.BytesIO) -> bytes:
    (length,) = struct.unpack("<H", old.read(2))
    return old.read(length)[:-1]


def _written(text: bytes) -> bytes:
    return struct.pack("<H", len(text) + 1) + text + b"\0"


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
