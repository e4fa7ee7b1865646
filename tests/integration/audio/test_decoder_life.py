"""Decoder processes that die, hang, are canceled, run out of something or are not installed."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.waiting import until

from asrq_jobs import extras
from asrq_jobs.errors import (
    AudioUnreadableError,
    CanceledError,
    DecoderCrashedError,
    DecoderTimeoutError,
    ExtraMissingError,
    ShutdownError,
)
from asrq_worker.audio import decoder
from asrq_worker.audio.decode_process import DecodeProcess
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.backends.base import SAMPLE_RATE
from asrq_worker.process.child import Child
from asrq_worker.process.stdio import Message

from .conftest import Encode, Signal, decode_file, nothing

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")


@pytest.fixture
def single() -> Iterator[DecoderPool]:
    """One decoder, which may stall for long: on a busy machine even a sound one does, for more than five seconds."""
    pool = DecoderPool(1, memory_mb=4096, stall_s=60, max_s=3600)
    pool.start()
    yield pool
    pool.close()


@pytest.fixture
def noise(encode: Encode) -> Path:
    """Two minutes that take a decoder about half a second."""
    return encode("noise.wav", hiss(120), codec="pcm_s16le")


def hiss(seconds: int) -> Signal:
    return np.random.default_rng(1).normal(0, 0.1, (1, seconds * SAMPLE_RATE)).astype(np.float32)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def decodes(pool: DecoderPool, source: Path, tmp_path: Path) -> DecodedAudio:
    return decode_file(pool, source, tmp_path / "next.f32", on_progress=nothing, check=nothing)


@posix
def test_a_decoder_killed_at_work_is_reported_and_replaced(
    single: DecoderPool, noise: Path, data: Path, tmp_path: Path
) -> None:
    (pid,) = single.pids
    with pytest.raises(DecoderCrashedError, match="SIGKILL") as raised:
        decode_file(
            single, noise, tmp_path / "out.f32", on_progress=lambda _: os.kill(pid, signal.SIGKILL), check=nothing
        )
    assert raised.value.retryable
    assert decodes(single, data / "hello-en.flac", tmp_path).spans
    assert single.pids != (pid,)


@posix
def test_a_decoder_killed_at_rest_harms_nobody(single: DecoderPool, data: Path, tmp_path: Path) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in single.pids)
    assert decodes(single, data / "hello-en.flac", tmp_path).spans


@posix
@pytest.mark.parametrize("decoders", [1, 2])
def test_decoders_killed_while_they_start_are_replaced(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoders: int
) -> None:
    killed = _kill_as_they_start(monkeypatch, 2)
    pool = DecoderPool(decoders, memory_mb=4096, stall_s=20, max_s=3600)
    pool.start()
    try:
        assert len(killed) == 2
        assert len(pool.pids) == decoders
        assert not set(killed) & set(pool.pids)
        assert decodes(pool, data / "hello-en.flac", tmp_path).spans
    finally:
        pool.close()


@posix
def test_decoders_that_never_start_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = _kill_as_they_start(monkeypatch, 10)
    pool = DecoderPool(2, memory_mb=4096, stall_s=20, max_s=3600)
    with pytest.raises(DecoderCrashedError, match="SIGKILL") as raised:
        pool.start()
    assert raised.value.hint
    assert len(killed) in {3, 4}, "the other one may be starting when the last failure counts"
    assert pool.pids == ()
    assert not any(map(is_alive, killed))


def _kill_as_they_start(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    launch, killed = DecoderPool.launch, list[int]()

    def struck(self: DecoderPool) -> DecodeProcess:
        process = launch(self)
        if len(killed) < times:
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)
        return process

    monkeypatch.setattr(DecoderPool, "launch", struck)
    return killed


@posix
def test_a_decoder_killed_as_soon_as_it_is_ready_is_not_given_a_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_ready, killed = DecoderPool.on_ready, list[int]()

    def struck(self: DecoderPool, process: DecodeProcess) -> None:
        on_ready(self, process)
        if not killed:
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)

    monkeypatch.setattr(DecoderPool, "on_ready", struck)
    pool = DecoderPool(1, memory_mb=4096, stall_s=20, max_s=3600)
    pool.start()
    try:
        until(lambda: killed[0] not in pool.pids)
        assert decodes(pool, data / "hello-en.flac", tmp_path).spans
        assert killed[0] not in pool.pids
    finally:
        pool.close()


@posix
def test_a_decoder_that_hangs_is_killed(single: DecoderPool, data: Path, tmp_path: Path) -> None:
    (pid,) = single.pids
    os.kill(pid, signal.SIGSTOP)
    single.stall_s, patient = 1, single.stall_s
    with pytest.raises(DecoderTimeoutError, match="no progress for 1 s"):
        decodes(single, data / "hello-en.flac", tmp_path)
    single.stall_s = patient
    assert not is_alive(pid)
    assert decodes(single, data / "hello-en.flac", tmp_path).spans


def test_what_check_raises_kills_the_decoder_and_passes_on(
    single: DecoderPool, noise: Path, data: Path, tmp_path: Path
) -> None:
    (pid,) = single.pids
    began = threading.Event()

    def check() -> None:
        if began.is_set():
            raise CanceledError("Canceled.")

    with pytest.raises(CanceledError):
        decode_file(single, noise, tmp_path / "out.f32", on_progress=lambda _: began.set(), check=check)
    assert pid not in single.pids
    assert decodes(single, data / "hello-en.flac", tmp_path).spans


def test_one_who_waits_can_be_canceled_too(single: DecoderPool, noise: Path, tmp_path: Path) -> None:
    with occupied(single, noise, tmp_path) as release:
        checks = iter([None, None, None])

        def check() -> None:
            if next(checks, "last") == "last":
                raise CanceledError("Canceled.")

        with pytest.raises(CanceledError):
            decode_file(single, noise, tmp_path / "b.f32", on_progress=nothing, check=check)
        release()


class occupied:  # noqa: N801  # reads as `with occupied(...)`
    """Keeps the only decoder busy until released."""

    def __init__(self, pool: DecoderPool, noise: Path, tmp_path: Path) -> None:
        self._free, began = threading.Event(), threading.Event()

        def hold(_: float) -> None:
            began.set()
            self._free.wait(30)

        self._thread = threading.Thread(
            target=lambda: decode_file(pool, noise, tmp_path / "held.f32", on_progress=hold, check=nothing)
        )
        self._thread.start()
        assert began.wait(60)

    def __enter__(self) -> Callable[[], None]:
        return self._free.set

    def __exit__(self, *_: object) -> None:
        self._free.set()
        self._thread.join()


def test_first_come_first_served_but_the_urgent_before_all(
    single: DecoderPool, noise: Path, data: Path, tmp_path: Path
) -> None:
    served: queue.SimpleQueue[str] = queue.SimpleQueue()
    threads = []

    def start(name: str, *, urgent: bool) -> None:
        waits = threading.Event()

        def decode() -> None:
            decode_file(
                single,
                data / "hello-en.flac",
                tmp_path / name,
                on_progress=nothing,
                check=waits.set,  # called first when its place in the queue is taken
                urgent=urgent,
            )
            served.put(name)

        threads.append(threading.Thread(target=decode))
        threads[-1].start()
        assert waits.wait(60)

    with occupied(single, noise, tmp_path) as release:
        start("first", urgent=False)
        start("second", urgent=False)
        start("urgent", urgent=True)
        start("third", urgent=False)
        assert single.running == 1
        release()
        for thread in threads:
            thread.join()
    assert [served.get() for _ in threads] == ["urgent", "first", "second", "third"]


def test_those_who_are_not_urgent_leave_one_decoder_free(
    pool: DecoderPool, noise: Path, data: Path, tmp_path: Path
) -> None:
    with occupied(pool, noise, tmp_path):
        checks = iter([None, None, None])

        def check() -> None:
            if next(checks, "last") == "last":
                raise CanceledError("It would have to wait.")

        with pytest.raises(CanceledError):
            decode_file(pool, noise, tmp_path / "b.f32", on_progress=nothing, check=check)
        urgent = decode_file(
            pool, data / "hello-en.flac", tmp_path / "c.f32", on_progress=nothing, check=nothing, urgent=True
        )
        assert urgent.spans


def test_closing_ends_the_work_and_every_process(noise: Path, tmp_path: Path) -> None:
    pool = DecoderPool(2, memory_mb=4096, stall_s=20, max_s=3600)
    pool.start()
    pids = pool.pids
    with pytest.raises(ShutdownError):
        decode_file(pool, noise, tmp_path / "out.f32", on_progress=lambda _: pool.close(), check=nothing)
    assert len(pids) == 2
    assert not any(map(is_alive, pids))
    assert pool.pids == ()
    with pytest.raises(ShutdownError):
        decodes(pool, noise, tmp_path)


def test_a_live_job_gets_a_decoder_beside_those_for_files(
    single: DecoderPool, noise: Path, data: Path, tmp_path: Path
) -> None:
    (pid,) = single.pids
    with single.aside(nothing) as first:
        assert first.pid == pid  # it does not wait for another one to start
        assert decodes(single, data / "hello-en.flac", tmp_path).spans
        with occupied(single, noise, tmp_path), single.aside(nothing) as second:
            pids = {first.pid, second.pid, *single.pids}
            assert (len(pids), single.running) == (3, 1)
    with single.aside(nothing) as third:
        assert third.pid in pids
    assert set(single.pids) == pids  # kept for the next one


def test_decoders_of_live_jobs_do_not_serve_more_files_at_once(
    single: DecoderPool, noise: Path, tmp_path: Path
) -> None:
    with single.aside(nothing):
        until(lambda: len(single.pids) == 2)
    with occupied(single, noise, tmp_path):
        checks = iter([None, None, None])

        def check() -> None:
            if next(checks, "last") == "last":
                raise CanceledError("It would have to wait.")

        with pytest.raises(CanceledError):
            decode_file(single, noise, tmp_path / "b.f32", on_progress=nothing, check=check, urgent=True)


@posix
def test_the_decoder_of_a_live_job_that_failed_is_replaced(single: DecoderPool, data: Path, tmp_path: Path) -> None:
    def fail() -> None:
        with single.aside(nothing) as lent:
            lent.sound = False  # in the middle of something
            raise CanceledError("Canceled.")

    (pid,) = single.pids
    with pytest.raises(CanceledError):
        fail()
    assert not is_alive(pid)
    assert decodes(single, data / "hello-en.flac", tmp_path).spans
    assert pid not in single.pids


@posix
def test_a_live_job_learns_that_no_decoder_starts(single: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    _kill_as_they_start(monkeypatch, 10)
    (pid,) = single.pids
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in single.pids)
    with pytest.raises(DecoderCrashedError, match="SIGKILL"), single.aside(nothing):
        pass


def test_one_that_starts_while_the_pool_closes_is_ended(single: DecoderPool) -> None:
    with single.aside(nothing):
        until(lambda: len(single.pids) == 2)  # the second one is hardly ready yet
        pids = single.pids
        single.close()
    assert not any(map(is_alive, pids))
    with pytest.raises(ShutdownError), single.aside(nothing):
        pass


def test_decoders_are_replaced_after_so_many_files(
    single: DecoderPool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "_FILES", 2)
    used = []
    for _ in range(4):
        decodes(single, data / "hello-en.flac", tmp_path)
        used.append(single.pids)
    decodes(single, data / "hello-en.flac", tmp_path)
    assert len({pids for pids in used if pids}) >= 2


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "av.py").write_text("raise ModuleNotFoundError(\"No module named 'av'\", name='av')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool = DecoderPool(1, memory_mb=4096, stall_s=20, max_s=3600)
    with pytest.raises(ExtraMissingError, match="package av") as raised:
        pool.start()
    assert raised.value.hint == extras.hint("worker")
    assert pool.pids == ()


@posix
def test_processor_time_without_sound_is_the_files_fault(
    single: DecoderPool, encode: Encode, data: Path, tmp_path: Path
) -> None:
    generous = dict(single.limits)
    single.limits.update(cpu_s=0, cpu_share=0)
    with pytest.raises(AudioUnreadableError, match="processor time") as raised:
        decodes(single, encode("long.wav", hiss(600), codec="pcm_s16le"), tmp_path)
    assert not raised.value.retryable
    single.limits.update(generous)
    assert decodes(single, data / "hello-en.flac", tmp_path).spans


@posix
@pytest.mark.parametrize(("memory_mb", "cpu_s"), [(1, 60), (4096, 0)])
def test_the_system_limits_what_a_file_may_take(encode: Encode, tmp_path: Path, memory_mb: int, cpu_s: int) -> None:
    noise = encode("long.wav", hiss(600), codec="pcm_s16le")
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    child = Child(
        "asrq_worker.audio.decode_child",
        on_message=messages.put,
        on_exit=lambda code: messages.put({"op": "exit", "code": code}),
        files=True,
    )
    try:
        assert messages.get(timeout=30)["op"] == "ready"
        limits = {"apart": False, "max_s": 3600, "memory_mb": memory_mb, "cpu_s": cpu_s, "cpu_share": 0}
        with noise.open("rb") as source, (tmp_path / "out.f32").open("wb+") as out:
            child.send({"op": "decode", "track": None, **limits}, (source.fileno(), out.fileno()))
        while (message := messages.get(timeout=30))["op"] == "progress":
            pass
    finally:
        child.kill()
        child.close()
    if cpu_s:
        assert message["op"] in {"error", "exit"}
        if message["op"] == "error":
            assert message["error"]["code"] == AudioUnreadableError.code
        else:
            assert message["code"] < 0, "killed by the system, not by a mistake of ours"
    else:
        assert message == {"op": "exit", "code": -signal.SIGXCPU}
