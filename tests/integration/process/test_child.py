"""How child processes are started."""

from __future__ import annotations

import queue
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from asrq_worker.process.child import Child

_TELL = """
import json, os, sys
print(json.dumps({"told": os.environ["ORT_DISABLE_TELEMETRY"]}), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("chosen", [None, "0"])
def test_no_library_tells_its_maker_unless_the_operator_wants_it(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ONNX Runtime, in decoders and engines, reports to Microsoft unless this variable is set."""
    (tmp_path / "tell.py").write_text(_TELL, encoding="utf-8")  # the working folder of every test
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    if chosen is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", chosen)
    said: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
    child = Child("tell", on_message=said.put, on_exit=lambda code: None)
    try:
        assert said.get(timeout=20) == {"told": chosen or "1"}
    finally:
        child.close()


def test_a_child_that_nobody_can_listen_to_does_not_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The limit for processes counts threads as well: there may be room for the one and not for the other."""
    (tmp_path / "tell.py").write_text(_TELL, encoding="utf-8")
    start = threading.Thread.start

    def short_of_threads(thread: threading.Thread) -> None:
        if thread.name.startswith("tell-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", short_of_threads)
    with pytest.raises(OSError, match="can't start new thread"):
        Child("tell", on_message=lambda message: None, on_exit=lambda code: None)
    assert not [child for child in psutil.Process().children() if "tell" in child.cmdline()]


def test_a_child_that_cannot_be_killed_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that sleeps in the kernel: nothing sees it end, and it must not block the caller of `close`."""
    (tmp_path / "deaf.py").write_text("import time; time.sleep(600)", encoding="utf-8")
    ended: queue.SimpleQueue[int] = queue.SimpleQueue()
    child = Child("deaf", on_message=lambda message: None, on_exit=ended.put)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess.Popen, "kill", lambda process: None)
        child.close(timeout_s=0.1)
    assert psutil.pid_exists(child.pid)
    assert f"Process {child.pid} does not end" in caplog.text
    child.kill()
    assert ended.get(timeout=10) != 0


_READ = """
import json, os, sys
from asrq_worker.process.handover import taken
for line in sys.stdin:
    first, second = taken(json.loads(line), (os.O_RDONLY, os.O_RDWR))
    os.write(second, os.read(first, 100))
    os.close(first), os.close(second)
    print(line, end="", flush=True)
"""


def test_open_files_come_with_their_messages(tmp_path: Path) -> None:
    """Whatever becomes of their names, and however many there are."""
    (tmp_path / "read.py").write_text(_READ, encoding="utf-8")
    said: queue.SimpleQueue[object] = queue.SimpleQueue()
    child = Child("read", on_message=said.put, on_exit=said.put, files=True)
    try:
        for number in range(3):
            with (tmp_path / f"in-{number}").open("wb+") as given, (tmp_path / f"out-{number}").open("wb") as out:
                given.write(b"%d" % number)
                given.flush()
                given.seek(0)
                (tmp_path / f"in-{number}").rename(tmp_path / "elsewhere")
                assert child.send({"number": number}, (given.fileno(), out.fileno()))
        assert [said.get(timeout=20) for _ in range(3)] == [{"number": number} for number in range(3)]
        assert [(tmp_path / f"out-{number}").read_bytes() for number in range(3)] == [b"0", b"1", b"2"]
        child.kill()
        assert said.get(timeout=20) == -9
        with (tmp_path / "elsewhere").open("rb") as given:
            assert not child.send({}, (given.fileno(), given.fileno())), "nobody is there to take it"
    finally:
        child.close()


def test_a_child_that_cannot_be_started_leaves_no_file_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no process for it now")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    before = psutil.Process().num_fds()
    for _ in range(3):
        with pytest.raises(OSError, match="no process"):
            Child("read", on_message=lambda message: None, on_exit=lambda code: None, files=True)
    assert psutil.Process().num_fds() == before
