"""What a decoder may do: nothing but decode. A file can name a network as it likes; nobody is asked."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from conftest import REPO

from asrq_jobs.errors import AudioUnreadableError
from asrq_worker.audio.decoder import DecoderPool

linux = pytest.mark.skipif(sys.platform != "linux", reason="the system refuses nothing to a decoder")

MEMORY_MB, LONGEST_S = 4096, 600

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "hls of a file": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{file}\n#EXT-X-ENDLIST\n",
    "hls with a key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}/key"\n#EXTINF:9,\n{url}/a.ts\n#EXT-X-ENDLIST\n',
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT9S"><Period><BaseURL>{url}/</BaseURL><AdaptationSet mimeType="audio/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "concat": "ffconcat version 1.0\nfile {url}/a.wav\n",
    "concat of a file": "ffconcat version 1.0\nfile {file}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
    "reference movie": "\0\0\0\x10ftypqt  \0\0\0\0rtsptext{url}/a.mov",
    "asx": '<asx version="3.0"><entry><ref href="{url}/a.wav"/></entry></asx>',
}


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool(1, memory_mb=MEMORY_MB, stall_s=20, max_s=LONGEST_S)
    pool.start()
    yield pool
    pool.close()


@pytest.mark.parametrize("kind", sorted(PLAYLISTS))
def test_what_names_other_media_is_refused_and_nobody_is_asked(
    pool: DecoderPool, data: Path, tmp_path: Path, kind: str
) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        port = server.server_port
        content = PLAYLISTS[kind].format(url=f"http://127.0.0.1:{port}", file=data / "hello-en.flac", port=port)
        source = tmp_path / "talk.wav"
        source.write_text(content)
        with pytest.raises(AudioUnreadableError):
            _decode(pool, source, tmp_path)
        server.shutdown()
    assert asked == []


def _decode(pool: DecoderPool, source: Path, tmp_path: Path) -> None:
    with source.open("rb") as file:
        pool.decode(file, tmp_path / "out.f32", on_progress=lambda _: None, check=lambda: None)


@linux
@pytest.mark.parametrize("kernel", ["this one", "one without Landlock"])
def test_a_confined_process_reaches_nothing_from_any_thread(tmp_path: Path, kernel: str) -> None:
    program = """
import socket, subprocess, sys, threading
from asrq_worker.audio import confinement
from asrq_worker.audio.confinement import confine

if sys.argv[2] != "this one":
    confinement._CREATE_RULESET = 1 << 20  # a call that no kernel knows
before = socket.socket()  # one that is open already is no way out either
begin, found = threading.Event(), []

def attempt():
    begin.wait()
    for reach in (socket.socket, lambda: before.connect(("127.0.0.1", int(sys.argv[1]))),
                  lambda: subprocess.run(["/bin/true"]), lambda: open("secret"), lambda: open("new", "w")):
        try:
            reach()
            found.append("reached")
        except PermissionError:
            found.append("refused")

thread = threading.Thread(target=attempt)
thread.start()
assert "seccomp" in confine()
begin.set()
thread.join()
attempt()
print(*found)
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, str(server.getsockname()[1]), kernel],
            capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path,
        )  # fmt: skip
    assert done.stdout.split() == ["refused"] * 10, done.stderr


@linux
def test_landlock_alone_keeps_it_from_files_and_other_processes(tmp_path: Path) -> None:
    """As on a machine whose calls we do not know by number."""
    program = """
import os, subprocess, sys, threading
from asrq_worker.audio import confinement

open("own", "w").write("mine")
given = open("own")
version = confinement.ctypes.CDLL(None).syscall(444, None, confinement.ctypes.c_size_t(0), 1)
confinement._ARCHITECTURES = {}
print(*confinement.confine() or ["none"])
attempts = [
    lambda: open("secret"), lambda: open("own", "w"), lambda: open("new", "x"), lambda: os.listdir("."),
    lambda: os.unlink("own"), lambda: os.rename("own", "other"), lambda: os.mkdir("folder"),
    lambda: os.symlink("own", "link"), lambda: subprocess.run(["/bin/true"]),
]
if version >= 3:
    attempts.append(lambda: os.truncate("own", 0))
if version >= 6:
    attempts.append(lambda: os.kill(os.getppid(), 0))

def attempt():
    for reach in attempts:
        try:
            reach()
            print("reached")
        except PermissionError:
            print("refused")

attempt()
thread = threading.Thread(target=attempt)
thread.start()
thread.join()
print(given.read())
"""
    (tmp_path / "secret").write_text("secret")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path
    )
    confined, *found, read = done.stdout.split()
    if confined == "none":
        pytest.skip("this kernel has no Landlock")
    assert (confined, set(found), read) == ("landlock", {"refused"}, "mine"), done.stderr
    assert len(found) >= 18


@linux
def test_where_the_kernel_has_neither_nothing_fails(tmp_path: Path) -> None:
    program = """
from asrq_worker.audio import confinement

confinement._CREATE_RULESET, confinement._ARCHITECTURES = 1 << 20, {}
print(confinement.confine(), open("file").read())
"""
    (tmp_path / "file").write_text("is read")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path
    )
    assert done.stdout == "[] is read\n", done.stderr


@linux
def test_a_decoder_that_is_ready_opens_nothing(data: Path, tmp_path: Path) -> None:
    """What breaks into it runs as its own code does: in the thread that decodes, or in one it starts."""
    program = """
import sys, threading
from asrq_worker.audio import decode_child

told = []
decode_child.make_handler(told.append)
assert "seccomp" in told[0]["confined"], told
files = [sys.argv[1], "/etc/passwd", "/proc/self/environ", f"/proc/{sys.argv[2]}/environ", "/dev/null"]

def attempt():
    for name in files:
        for mode in ("rb", "ab"):
            try:
                open(name, mode)
                print("reached", name, mode)
            except PermissionError:
                print("refused")

attempt()
thread = threading.Thread(target=attempt)
thread.start()
thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(data / "hello-en.flac"), str(os.getpid())],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["refused"] * 20, done.stderr


@linux
def test_every_thread_of_a_decoder_is_confined_and_within_limits(pool: DecoderPool, data: Path, tmp_path: Path) -> None:
    import resource

    _decode(pool, data / "hello-en.flac", tmp_path)
    assert "seccomp" in pool.confined
    (pid,) = pool.pids
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    limits = psutil.Process(pid)
    assert limits.rlimit(resource.RLIMIT_AS)[0] == MEMORY_MB << 20
    assert limits.rlimit(resource.RLIMIT_CPU)[0] <= 30 + LONGEST_S / 4 + 30
    assert limits.rlimit(resource.RLIMIT_FSIZE)[0] <= LONGEST_S * 64_000 + (1 << 20)
    assert limits.rlimit(resource.RLIMIT_NOFILE)[0] <= 64
    assert limits.rlimit(resource.RLIMIT_CORE)[0] == 0


def test_media_are_parsed_in_the_decoder_alone() -> None:
    """The modules that import PyAV, and those that import them."""
    worker = REPO / "worker" / "asrq_worker"
    imports = {
        path.relative_to(worker).as_posix(): _imported(ast.parse(path.read_text(encoding="utf-8")))
        for path in worker.rglob("*.py")
    }
    decoding = {"audio/growing.py", "audio/media.py", "audio/mono.py", "audio/packets.py"}
    assert {name for name, found in imports.items() if "av" in found} == decoding
    for module in decoding:
        name = f"asrq_worker.{module.removesuffix('.py').replace('/', '.')}"
        importers = {other for other, found in imports.items() if name in found}
        assert importers <= decoding | {"audio/decode_child.py"}


def _imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found | {name.partition(".")[0] for name in found if name.startswith("av.")}
