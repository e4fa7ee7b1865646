"""The programs of the page on dictation do what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from support.needs import missing
from support.speaking import spoken
from support.waiting import until

from asrq_jobs import keys
from asrq_jobs.events import Event
from asrq_jobs.testing import ScriptedWorker

from .conftest import CLIENTS, REPO

PAGE = (REPO / "docs" / "how-to" / "dictate.md").read_text(encoding="utf-8")
SOUND = bytes(range(256)) * 100


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def heard(
    command: list[str], folder: Path, scripted: ScriptedWorker, redis: Redis, valkey_url: str, sound: Path
) -> tuple[str, str]:
    """Run a program that dictates a file; return what it prints, when the text is "First." and more."""
    environment = os.environ | {"ASRQ_REDIS_URL": valkey_url}
    with sound.open("rb") as microphone:
        program = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=microphone, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        execution = scripted.take(within_s=60)
        job_id = execution.job_id
        until(lambda: any(b"end" in fields for _, fields in redis.xrange(keys.live(job_id))))
        assert b"".join(fields.get(b"audio", b"") for _, fields in redis.xrange(keys.live(job_id))) == SOUND
        scripted.event(execution, Event(type="chunk", at=0, start=0, end=1, text="First."))
        scripted.complete(execution, "First. Second.")
        return program.communicate(timeout=60)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.raw"
    path.write_bytes(SOUND)
    return path


@pytest.fixture
def beside_the_client(node_client: Path) -> Iterator[Path]:
    """The folder of the Node client with a page in it, which the types of the client's own files know nothing of."""
    page = node_client / "page.mjs"
    page.write_text(blocks("js")[0], encoding="utf-8")
    yield node_client
    page.unlink()


def test_node(beside_the_client: Path, scripted: ScriptedWorker, redis: Redis, valkey_url: str, sound: Path) -> None:
    program = """
        import { dictate } from "./page.mjs";
        const show = ({ type, text }) => type === "chunk" && console.log(text);
        console.log(await dictate(process.env.ASRQ_REDIS_URL, process.stdin, show));
    """
    command = ["node", "--input-type=module", "--eval", program]
    assert heard(command, beside_the_client, scripted, redis, valkey_url, sound) == ("First.\nFirst. Second.\n", "")


def test_rust(
    cargo: str, cargo_target: Path, scripted: ScriptedWorker, redis: Redis, valkey_url: str, sound: Path
) -> None:
    crate = CLIENTS / "rust"
    assert blocks("rust")[0] in (crate / "examples" / "dictate.rs").read_text(encoding="utf-8")
    options = ["--quiet", "--locked", "--offline", "--target-dir", str(cargo_target), "--example", "dictate"]
    subprocess.run([cargo, "build", *options], cwd=crate, check=True)
    program = [str(cargo_target / "debug" / "examples" / "dictate")]
    assert heard(program, crate, scripted, redis, valkey_url, sound) == ("First. Second.\n", "\nFirst.\n")


def test_the_bridge_from_node(tmp_path: Path) -> None:
    node = shutil.which("node") or missing("node")
    (tmp_path / "page.mjs").write_text(blocks("js")[1], encoding="utf-8")
    (tmp_path / "sound.raw").write_bytes(spoken("hello-en"))
    program = """
        import { spawn } from "node:child_process";
        import { createInterface } from "node:readline";
        import { dictate } from "./page.mjs";
        const bridge = spawn(process.argv[1], ["bridge"], { stdio: ["pipe", "pipe", "inherit"] });
        const lines = createInterface({ input: bridge.stdout });
        const events = [];
        const { status, text } = await dictate(bridge, lines, process.stdin, ({ type }) => events.push(type));
        console.log(status, text !== "", events.includes("chunk"));
        bridge.stdin.end();
    """
    settings = {"ASRQ_BACKEND": "fake", "ASRQ_MODEL": "m", "ASRQ_FALLBACK": "none", "ASRQ_DECODERS": "1"}
    with (tmp_path / "sound.raw").open("rb") as microphone:
        done = subprocess.run(
            [node, "--input-type=module", "--eval", program, str(Path(sys.executable).with_name("asrq"))],
            cwd=tmp_path, env=os.environ | settings, stdin=microphone, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert done.stdout == "completed true true\n", done.stderr
