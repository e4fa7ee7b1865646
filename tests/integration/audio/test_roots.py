"""Somebody who may write in a folder of audio swaps a file there for a link while it is opened."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from asrq_jobs.errors import AsrqError, AudioNotFoundError, AudioUnreadableError, PathNotAllowedError
from asrq_jobs.request import PathAudio
from asrq_jobs.settings import Settings
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.roots import Roots
from asrq_worker.audio.source import Fetcher
from asrq_worker.storage.spool import Spool

from .conftest import nothing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and FIFOs are POSIX")

REFUSALS = (PathNotAllowedError, AudioNotFoundError, AudioUnreadableError)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`root/a/b/talk.wav`, and a secret of the same name outside."""
    for folder, content in (("root/a/b", b"speech"), ("outside/a/b", b"secret")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "talk.wav").write_bytes(content)
    return tmp_path / "root"


def swap(root: Path, part: str) -> None:
    """Put a link out of the root in the place of a part of the path."""
    (root / part).rename(root / "away")
    (root / part).symlink_to(root.parent / "outside" / part)


@pytest.fixture(params=["a", "a/b", "a/b/talk.wav"])
def part(request: pytest.FixtureRequest) -> str:
    """Each part of the path."""
    return str(request.param)


def test_what_is_swapped_for_a_link_after_the_look_is_refused(
    root: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots, resolve = Roots((root,)), Path.resolve

    def and_swap(self: Path) -> Path:
        found = resolve(self)
        swap(root, part)
        return found

    monkeypatch.setattr(Path, "resolve", and_swap)
    with pytest.raises(REFUSALS):
        roots.open(str(root / "a/b/talk.wav"))
    assert (root / part / ".").exists() or (root / part).read_bytes() == b"secret", "it was swapped"


@pytest.mark.parametrize("opened", ["/", "a", "b"])
def test_what_is_swapped_for_a_link_on_the_way_is_not_followed(
    root: Path, part: str, opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots, plain, swapped = Roots((root,)), os.open, list[str]()

    def and_swap(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = plain(path, flags, mode, dir_fd=dir_fd)
        if str(path) == opened and not swapped:
            swap(root, part)
            swapped.append(part)
        return descriptor

    monkeypatch.setattr(os, "open", and_swap)
    with suppress(*REFUSALS), roots.open(str(root / "a/b/talk.wav")) as file:
        assert file.read() == b"speech"
    assert swapped


def test_whatever_the_moment_nothing_outside_is_read(root: Path, part: str) -> None:
    roots, over, found = Roots((root,)), threading.Event(), set[bytes]()

    def swap_again_and_again() -> None:
        while not over.is_set():
            swap(root, part)
            (root / part).unlink()
            (root / "away").rename(root / part)

    swapping = threading.Thread(target=swap_again_and_again)
    swapping.start()
    try:
        for _ in range(500):
            with suppress(*REFUSALS), roots.open(str(root / "a/b/talk.wav")) as file:
                found.add(file.read())
    finally:
        over.set()
        swapping.join()
    assert found <= {b"speech"}


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as spool:
        yield spool


def write_wav(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> bytes:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples.tobytes())
    return path.read_bytes()


def test_what_was_hashed_is_what_is_decoded(root: Path, spool: Spool, pool: DecoderPool, tmp_path: Path) -> None:
    """The file is renamed over after it was fetched, and before a decoder has time for it."""
    talk, other = root / "talk.wav", tmp_path / "other.wav"
    content = write_wav(talk, np.arange(8_000, dtype=np.int16))
    write_wav(other, np.zeros(16_000, dtype=np.int16))
    local = Fetcher(Settings(audio_roots=(root,)), spool, None).fetch(PathAudio(path=str(talk)), nothing)
    other.replace(talk)
    decoded = pool.decode(local.file, tmp_path / "out.f32", on_progress=nothing, check=nothing)
    local.discard()
    assert local.sha256 == hashlib.sha256(content).hexdigest()
    assert np.array_equal(decoded.read(0, decoded.samples) * 32768, np.arange(8_000))


def test_a_file_that_grows_meanwhile_is_not_taken_for_what_was_hashed(root: Path, spool: Spool) -> None:
    local = Fetcher(Settings(audio_roots=(root,)), spool, None).fetch(
        PathAudio(path=str(root / "a/b/talk.wav")), nothing
    )
    assert not local.changed
    with (root / "a/b/talk.wav").open("ab") as file:
        file.write(b"more")
    assert local.changed
    local.discard()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def a_device(path: Path) -> None:
    try:
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero on Linux
    except OSError:
        pytest.skip("making devices is for root")


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [a_fifo, a_socket, a_device, a_folder])
@pytest.mark.parametrize("anywhere", [False, True])
def test_what_is_no_regular_file_is_refused_without_waiting(
    root: Path, make: Callable[[Path], None], anywhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)  # the path of a socket may not be long
    make(Path("it"))
    before = psutil.Process().num_fds()
    with pytest.raises(AudioUnreadableError):
        Roots((root,), anywhere=anywhere).open(str(root / "it"))
    assert psutil.Process().num_fds() == before, "nothing stays open"


def test_a_link_to_another_root_and_a_way_up_and_down_again_are_followed(root: Path) -> None:
    other = root.parent / "outside"
    (root / "link").symlink_to(other / "a")
    for name, content in (("link/b/talk.wav", b"secret"), ("a/../a/b/../../a/b/talk.wav", b"speech")):
        with Roots((root, other)).open(str(root / name)) as file:
            assert file.read() == content
    with pytest.raises(AsrqError):
        Roots((root,)).open(str(root / "link/b/talk.wav"))


def test_a_root_below_another_is_not_trusted_to_stay_one(root: Path) -> None:
    """A user who may write in the outer root can swap the inner one for a link."""
    roots = Roots((root, root / "a"))
    swap(root, "a")
    with pytest.raises(REFUSALS):
        roots.open(str(root / "a/b/talk.wav"))
