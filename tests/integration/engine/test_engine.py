"""The engine: loads, transcribes, dies, hangs and comes back."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import psutil
import pytest

from asrq_jobs.errors import (
    EngineCrashedError,
    EngineTimeoutError,
    EngineUnavailableError,
    InferenceError,
    InternalError,
    MalformedOutputError,
    ModelMissingError,
    OutOfMemoryError,
    ShutdownError,
    StorageError,
)
from asrq_worker.backends.base import BackendConfig, Capabilities, Identity, Transcript
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.messages import ChunkRef, Loaded
from asrq_worker.engine.state import EngineState, Failures
from asrq_worker.process import supervisor
from asrq_worker.process.child import Child
from asrq_worker.process.exits import describe_exit

Ref = Callable[..., ChunkRef]
MakeEngine = Callable[..., Engine]


def test_a_ready_engine_says_what_it_holds(make_engine: MakeEngine) -> None:
    engine = make_engine(parallel=3, options={"max_batch": 4})
    loaded = engine.wait_ready(120)
    assert loaded.identity.backend == "fake"
    assert loaded.identity.model == "fake"
    assert (loaded.capabilities.parallel, loaded.capabilities.max_batch) == (3, 4)
    assert loaded.load_s >= 0
    assert engine.state is EngineState.READY
    assert engine.memory_mb() > 5
    assert engine.down_s() == 0
    assert engine.within_limits()


def test_a_batch_comes_back_in_order(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine()
    engine.wait_ready(120)
    done = engine.submit([ref(seconds=1), ref(seconds=2)]).result(120)
    assert [item.segments[0].end for item in done.items] == [1.0, 2.0]
    assert done.inference_s > 0
    again = engine.submit([ref(seconds=2), ref(seconds=1)]).result(120)
    assert again.items == tuple(reversed(done.items))


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("fail", InferenceError),
        ("oom", OutOfMemoryError),
        ("malformed", MalformedOutputError),
        ("nan", MalformedOutputError),
        ("short", MalformedOutputError),
    ],
)
def test_a_backend_that_misbehaves_fails_only_its_batch(
    make_engine: MakeEngine, ref: Ref, command: str, error: type[Exception]
) -> None:
    engine = make_engine()
    engine.wait_ready(120)
    [item] = engine.submit([ref(command)]).result(120).items
    assert type(item) is error
    [item] = engine.submit([ref()]).result(120).items
    assert isinstance(item, Transcript)
    assert engine.restarts == 0


def test_a_bad_item_harms_no_other_in_its_batch(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine()
    engine.wait_ready(120)
    first, second, third = engine.submit([ref(), ref("nan"), ref()]).result(120).items
    assert isinstance(second, MalformedOutputError)
    assert first == third
    assert isinstance(first, Transcript)


def test_samples_that_are_gone_harm_no_other_in_the_batch(make_engine: MakeEngine, ref: Ref, tmp_path: Path) -> None:
    """A job that is canceled takes its samples along, while they wait in a batch with those of others."""
    engine = make_engine()
    engine.wait_ready(120)
    canceled = dataclasses.replace(ref(), path=tmp_path / "gone.f32")
    first, second, third = engine.submit([ref(), canceled, ref()]).result(120).items
    assert isinstance(second, StorageError)
    assert str(tmp_path) not in second.message
    assert first == third
    assert isinstance(first, Transcript)
    assert isinstance(engine.submit([canceled]).result(120).items[0], StorageError)
    (tmp_path / "cut.f32").write_bytes(bytes(4))
    cut_off = dataclasses.replace(ref(), path=tmp_path / "cut.f32")
    first, second, third = engine.submit([ref(), cut_off, ref()]).result(120).items
    assert isinstance(second, StorageError)
    assert first == third


def test_noise_on_standard_output_does_not_disturb_the_protocol(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine()
    engine.wait_ready(120)
    [item] = engine.submit([ref('print:{"op":"done","id":1,"items":[]}')]).result(120).items
    assert isinstance(item, Transcript)
    assert engine.restarts == 0


def test_batches_run_side_by_side(make_engine: MakeEngine, ref: Ref, tmp_path: Path) -> None:
    engine = make_engine(parallel=2)
    engine.wait_ready(120)
    waiting = engine.submit([ref(f"until:{tmp_path / 'go'}")])
    engine.submit([ref()]).result(120)
    assert not waiting.done()
    (tmp_path / "go").touch()
    waiting.result(120)


def test_an_engine_that_is_not_ready_takes_no_batch(make_engine: MakeEngine, ref: Ref, tmp_path: Path) -> None:
    engine = make_engine(f"until:{tmp_path / 'go'}")
    with pytest.raises(EngineUnavailableError):
        engine.submit([ref()]).result(120)
    (tmp_path / "go").touch()
    engine.wait_ready(120)


def test_a_crash_fails_what_was_in_flight_and_the_engine_comes_back(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine(parallel=2)
    engine.wait_ready(120)
    pid = engine.pid
    neighbour = engine.submit([ref("hang")])
    with pytest.raises(EngineCrashedError, match="SIGABRT" if sys.platform != "win32" else "exit code"):
        engine.submit([ref("crash")]).result(120)
    with pytest.raises(EngineCrashedError):
        neighbour.result(120)
    engine.wait_ready(120)
    assert engine.pid != pid
    assert engine.restarts == 1
    assert engine.error is None
    [item] = engine.submit([ref()]).result(120).items
    assert isinstance(item, Transcript)


def test_a_hanging_engine_is_killed_at_its_deadline(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine(stall_s=0.3, slowness=0.1)
    engine.wait_ready(120)
    pid = engine.pid
    with pytest.raises(EngineTimeoutError, match=r"1 chunk.* 1\.0 s"):
        engine.submit([ref("hang")]).result(120)
    assert not psutil.pid_exists(pid)
    engine.wait_ready(120)
    assert engine.submit([ref()]).result(120)


def test_slow_work_within_its_deadline_is_left_alone(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine(stall_s=0.1, slowness=10)
    engine.wait_ready(120)
    engine.submit([ref("sleep:0.5")]).result(120)
    assert engine.restarts == 0


def test_a_missing_model_is_final_and_said_at_once(make_engine: MakeEngine) -> None:
    engine = make_engine("missing")
    with pytest.raises(ModelMissingError) as caught:
        engine.wait_ready(120)
    assert caught.value.hint == "Run: asrq models fetch missing."
    assert engine.final
    assert engine.restarts == 0
    assert not engine.within_limits()


def test_a_load_that_crashes_is_tried_again(make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine(f"crash-once:{tmp_path / 'crashed'}")
    engine.wait_ready(120)
    assert engine.restarts == 1


def test_a_load_that_always_crashes_is_given_up(make_engine: MakeEngine) -> None:
    engine = make_engine("crash")
    with pytest.raises(EngineCrashedError):
        engine.wait_ready(120)
    assert engine.restarts == 2


def test_a_load_that_raises_something_unforeseen_is_internal(make_engine: MakeEngine) -> None:
    engine = make_engine("broken")
    with pytest.raises(InternalError, match="the fake model is broken"):
        engine.wait_ready(120)


def test_a_load_that_hangs_is_killed(make_engine: MakeEngine) -> None:
    engine = make_engine("hang", start_timeout_s=0.2)
    with pytest.raises(EngineTimeoutError, match=r"not loaded within 0\.2 s"):
        engine.wait_ready(120)


def test_a_process_that_cannot_be_started_is_tried_again(
    make_engine: MakeEngine, ref: Ref, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is out of memory or processes for a while, after the engine had served."""
    engine = make_engine()
    engine.wait_ready(120)
    start, tries = supervisor.Child, []

    def short_of_processes(*given: Any, **more: Any) -> Child:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("Resource temporarily unavailable")
        return start(*given, **more)

    monkeypatch.setattr(supervisor, "Child", short_of_processes)
    psutil.Process(engine.pid).kill()
    with pytest.raises(EngineCrashedError):
        engine.submit([ref("hang")]).result(120)
    assert engine.wait_ready(120)
    assert (len(tries), engine.restarts, engine.error) == (3, 3, None)


def test_waiting_for_an_engine_ends_in_time(make_engine: MakeEngine) -> None:
    engine = make_engine("hang")
    with pytest.raises(EngineUnavailableError, match=r"0\.05 s"):
        engine.wait_ready(0.05)


def test_listeners_hear_of_each_state(make_engine: MakeEngine, ref: Ref, tmp_path: Path) -> None:
    heard: list[EngineState] = []
    stopped = threading.Event()
    engine = Engine("fake", BackendConfig("fake", tmp_path))
    engine.listeners.append(heard.append)
    engine.listeners.append(lambda state: stopped.set() if state is EngineState.STOPPED else None)
    engine.start()
    engine.wait_ready(120)
    engine.close()
    assert stopped.is_set()
    assert heard[0] is EngineState.LOADING
    assert heard[-1] is EngineState.STOPPED


def test_closing_ends_work_in_flight(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine()
    engine.wait_ready(120)
    future = engine.submit([ref("hang")])
    engine.close()
    with pytest.raises(ShutdownError):
        future.result(120)
    with pytest.raises(ShutdownError):
        engine.wait_ready(120)


def test_closing_while_loading_leaves_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine("hang")
    with pytest.raises(EngineUnavailableError):
        engine.wait_ready(0.1)
    engine.close()
    assert engine.pid is None


def test_closing_an_engine_that_never_started() -> None:
    Engine("fake", BackendConfig("fake", Path())).close()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_suspended_host_does_not_look_like_a_hang(make_engine: MakeEngine, ref: Ref, tmp_path: Path) -> None:
    """A parent that wakes long after a deadline gives the child another chance rather than the blame."""
    script = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from asrq_worker.backends.base import BackendConfig, ChunkOptions
        from asrq_worker.engine.engine import Engine
        from asrq_worker.engine.messages import ChunkRef, Loaded
        engine = Engine("fake", BackendConfig("fake", Path()), stall_s=1.0, slowness=0.1)
        engine.start()
        engine.wait_ready(120)
        path = Path({str(tmp_path / "a.f32")!r})
        path.write_bytes(bytes(4 * 1600))
        future = engine.submit([ChunkRef(path, 0, 1600, ChunkOptions(prompt="until:{tmp_path / "go"}"))])
        print(engine.pid, flush=True)
        print("done", len(future.result(120).items), engine.restarts, flush=True)
        engine.close()
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGSTOP)
        threading.Event().wait(2.5)  # the passing of time is what is tested
        (tmp_path / "go").touch()
        os.kill(parent.pid, signal.SIGCONT)
        assert parent.stdout.readline() == "done 1 0\n"
    assert not psutil.pid_exists(child)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_parent_leaves_no_child() -> None:
    script = textwrap.dedent(
        """
        import time
        from pathlib import Path
        from asrq_worker.backends.base import BackendConfig
        from asrq_worker.engine.engine import Engine
        engine = Engine("fake", BackendConfig("fake", Path()))
        engine.start()
        engine.wait_ready(120)
        print(engine.pid, flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs([child], timeout=60)
    assert not alive or child.status() == psutil.STATUS_ZOMBIE  # a container without an init reaps nothing


def test_the_pause_before_a_restart_doubles_up_to_its_limit(tmp_path: Path) -> None:
    engine, died = Engine("fake", BackendConfig("fake", tmp_path)), EngineCrashedError("It died.")
    engine.loaded = Loaded(Identity("fake", "1", "fake", None, "cpu", "none"), Capabilities(frozenset()), 1.0, 1.0)
    assert [engine.failed(died, None) for _ in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_failure_lasts_when_the_process_after_the_restarted_one_does_not_load_either() -> None:
    failures = Failures()
    lasting = []
    for number in (1, 2, 3):
        failures.note(EngineCrashedError("It died."), number, has_loaded=True)
        lasting.append(failures.lasting)
    assert lasting == [False, False, True]
    failures.loaded()
    assert not failures.lasting
    failures.note(ModelMissingError("It is not here."), 1, has_loaded=False)
    assert failures.lasting


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_end_of_a_process_is_told_in_words() -> None:
    assert [describe_exit(code) for code in (3, -9, -999)] == ["exit code 3", "signal SIGKILL", "exit code -999"]


def test_many_batches_at_once(make_engine: MakeEngine, ref: Ref) -> None:
    engine = make_engine(parallel=4)
    engine.wait_ready(120)
    futures = [engine.submit([ref(seconds=0.01 * n)]) for n in range(1, 201)]
    wait(futures, 30)
    assert all(
        future.result().items[0].segments[0].end == pytest.approx(0.01 * n) for n, future in enumerate(futures, 1)
    )
