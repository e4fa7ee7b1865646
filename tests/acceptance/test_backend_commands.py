"""`asrq backend` and the how-to that rolls back, as an operator runs them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from conftest import REPO, Asrq
from support.host import registration

from asrq_jobs import Client, keys
from asrq_jobs.errors import ExtraMissingError
from asrq_jobs.request import PathAudio, Request
from asrq_worker.backends.base import Capabilities
from asrq_worker.queue.router import pass_on
from asrq_worker.routing.offers import Offer

CAN = Capabilities(languages=frozenset({"en"}))


def _commands(page: str) -> list[list[str]]:
    """The asrq commands of a page's shell blocks, without the program's name; those that set variables are left out."""
    text = (REPO / "docs" / "how-to" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["asrq"]]


def test_the_rollback_page_works_as_written(asrq: Asrq, live: str, data: Path) -> None:
    """Qwen is switched on where it cannot run: jobs go on through the fallback, and the page's commands end it."""
    try:
        done = asrq("backend", "set", "qwen", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["policy"]["fallback"] == "whisper"
        served = asrq("submit", data / "hello-en.flac", "--wait", "--language", "en", "--json")
        assert served.returncode == 0, served.stdout
        assert json.loads(served.stdout)["backend"] == "whisper"

        rollback, show = _commands("roll-back-to-whisper.md")
        done = asrq(*rollback)
        assert (done.returncode, done.stdout.split()[:2]) == (0, ["backend", "whisper"])
        shown = asrq(*show)
        assert "rollback" in shown.stdout
        assert "set qwen" in shown.stdout
        loaded = asrq("models", "list", "--loaded").stdout.split("\t")
        assert loaded[1:4] == ["whisper", "base", "ready"]
        assert json.loads(asrq("models", "load", "whisper", "--json").stdout) == {"workers": 1}
        after = json.loads(asrq("submit", data / "hello-en.flac", "--wait", "--language", "en", "--json").stdout)
        assert (after["backend"], after["fallback_from"]) == ("whisper", None)
    finally:
        asrq("backend", "rollback")


def test_a_canary_is_a_percentage(asrq: Asrq, valkey_url: str) -> None:
    assert asrq("backend", "canary", "qwen", "5%").returncode == 0
    policy = json.loads(asrq("backend", "show", "--json").stdout)["policy"]
    assert (policy["backend"], policy["canary"]) == ("whisper", {"backend": "qwen", "share": 0.05})
    assert asrq("backend", "canary", "qwen", "0%").returncode == 0
    assert json.loads(asrq("backend", "show", "--json").stdout)["policy"]["canary"] is None
    wrong = asrq("backend", "canary", "qwen", "0.05")
    assert (wrong.returncode, "[usage]" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        ("backend", "set", "qwne"),
        ("backend", "set", "whisper", "--fallback", "Qwem"),
        ("backend", "canary", "qwne", "5%"),
        ("backend", "shadow", "qwne", "5%"),
        ("models", "load", "qwne"),
    ],
    ids=" ".join,
)
def test_a_backend_that_nobody_knows_is_refused(asrq: Asrq, valkey_url: str, command: tuple[str, ...]) -> None:
    done = asrq(*command)
    assert (done.returncode, done.stdout) == (2, "")
    assert "[not_served]" in done.stderr
    assert "Did you mean qwen?" in done.stderr
    assert "settings" in asrq("backend", "show").stdout, "nothing has changed"


@pytest.mark.parametrize("name", ["Foo Bar", "", "x" * 300])
def test_a_name_that_is_like_none_is_answered_with_all(asrq: Asrq, valkey_url: str, name: str) -> None:
    done = asrq("backend", "set", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Backends: whisper, qwen, server, onnx." in done.stderr


def test_no_backend_runs_beside_itself(asrq: Asrq, valkey_url: str) -> None:
    assert asrq("backend", "set", "qwen").returncode == 0
    for command in (
        ("set", "server", "--fallback", "server"), ("canary", "qwen", "5%"), ("shadow", "qwen", "5%")
    ):  # fmt: skip
        done = asrq("backend", *command)
        assert (done.returncode, done.stdout, "[usage]" in done.stderr) == (2, "", True)
    for command in (("canary", "qwen", "0%"), ("shadow", "qwen", "0%")):  # ending what does not run is no mistake
        assert asrq("backend", *command).returncode == 0
    assert asrq("backend", "set", "whisper").returncode == 0
    assert asrq("backend", "show").stdout.splitlines()[:2] == ["backend   whisper", "fallback  none"]
    assert asrq("backend", "set", "qwen").returncode == 0
    assert asrq("backend", "show").stdout.splitlines()[:2] == ["backend   qwen", "fallback  whisper"]


def test_a_rollback_that_would_change_nothing_is_refused(asrq: Asrq, client: Client) -> None:
    """In an emergency, success would be believed."""
    assert asrq("backend", "set", "qwen", "--fallback", "none").returncode == 0
    before = client.redis.get(keys.POLICY)
    done = asrq("backend", "rollback")
    assert (done.returncode, done.stdout) == (1, "")
    assert "There is nothing to roll back: qwen serves" in done.stderr
    assert "asrq backend set NAME" in done.stderr
    assert client.redis.get(keys.POLICY) == before
    assert asrq("backend", "canary", "server", "5%").returncode == 0
    assert asrq("backend", "rollback").returncode == 0, "a trial ends"


def test_a_trial_leaves_what_serves_by_the_settings_of_the_workers(asrq: Asrq, client: Client) -> None:
    gpu = registration(client.settings, [Offer(backend="house", model="m"), Offer(backend="server", model="m")])
    client.redis.hset(keys.WORKERS, "gpu", gpu)
    for trial in ("canary", "shadow"):
        policy = json.loads(asrq("backend", trial, "qwen", "5%", "--json").stdout)["policy"]
        assert (policy["backend"], policy["fallback"], policy[trial]["backend"]) == ("house", "server", "qwen")
        client.redis.delete(keys.POLICY)
    assert json.loads(asrq("backend", "set", "qwen", "--json").stdout)["policy"]["fallback"] == "server"


def test_that_no_worker_has_loaded_a_backend_is_said_when_it_is_to_serve(asrq: Asrq, client: Client) -> None:
    def change(*command: str, offer: Offer | None) -> str:
        offers = [Offer(backend="whisper", model="base", capabilities=CAN), *([offer] if offer else [])]
        client.redis.hset(keys.WORKERS, "gpu", registration(client.settings, offers))
        return asrq("backend", *command).stderr

    says = "asrq: no worker that is there has loaded qwen yet"
    for command in (("set", "qwen"), ("canary", "qwen", "5%"), ("set", "whisper", "--fallback", "qwen")):
        client.redis.delete(keys.POLICY)
        assert change(*command, offer=None).startswith(f"{says}; have them try now: asrq models load qwen")
        client.redis.delete(keys.POLICY)
        error = ExtraMissingError("The packages are not installed.").info()
        told = change(*command, offer=Offer(backend="qwen", model="1.7b", error=error))
        assert told.startswith(f"{says} (gpu: The packages are not installed.)")
        client.redis.delete(keys.POLICY)
        assert change(*command, offer=Offer(backend="qwen", model="1.7b", capabilities=CAN)) == ""
    assert change("rollback", offer=None) == ""


def test_no_trial_begins_where_it_would_change_what_serves(asrq: Asrq, client: Client) -> None:
    for name in ("house", "whisper"):
        client.redis.hset(keys.WORKERS, name, registration(client.settings, [Offer(backend=name, model="m")]))
    for command in (("canary", "qwen", "5%"), ("shadow", "qwen", "5%"), ("set", "qwen"), ("rollback",)):
        done = asrq("backend", *command)
        assert (done.returncode, done.stdout) == (1, "")
        assert "name different backends: house, whisper. [job_state]" in done.stderr
        assert client.redis.get(keys.POLICY) is None
    assert asrq("backend", "set", "house", "--fallback", "whisper").returncode == 0
    assert asrq("backend", "canary", "qwen", "5%").returncode == 0


def test_without_a_policy_the_settings_count(asrq: Asrq, valkey_url: str) -> None:
    assert "settings" in asrq("backend", "show").stdout


def test_a_job_for_a_backend_that_nobody_knows_is_refused_before_anything_is_sent(
    asrq: Asrq, client: Client, data: Path
) -> None:
    done = asrq("submit", data / "hello-en.flac", "--backend", "qwne")
    assert (done.returncode, done.stdout) == (2, "")
    assert "[not_served]" in done.stderr
    assert "Did you mean qwen?" in done.stderr
    assert client.redis.keys("*") == []


def test_what_a_job_waits_for_is_said(asrq: Asrq, client: Client, data: Path) -> None:
    """At its submission, and as long as it waits: here by hand, in the place of workers."""
    done = asrq("submit", data / "hello-en.flac", "--backend", "qwen", "--id", "job")
    assert (done.returncode, done.stdout) == (0, "job\n")
    assert "no worker that is registered serves the backend qwen: if another one takes the job, it fails" in done.stderr
    client.redis.hset(keys.WORKERS, "gpu", registration(client.settings, [Offer(backend="qwen", model="m")]))
    assert asrq("submit", data / "hello-en.flac", "--backend", "qwen", "--model", "m").stderr == ""
    client.redis.lmove(keys.queue("batch"), keys.intermediate("batch"))
    pass_on(client.redis, Request.build(id="job", audio=PathAudio(path="/a.wav"), backend="qwen"))
    row = asrq("status", "job").stdout.rstrip("\n").split("\t")
    assert (row[1:4], row[-1]) == (["queued", "batch", "1"], "qwen")
    shown = json.loads(asrq("status", "job", "--json").stdout)
    assert (shown["status"], shown["position"], shown["waits_for"]) == ("queued", 1, "qwen")
    listed = [line.split("\t") for line in asrq("list").stdout.splitlines()]
    assert [(line[0], line[-1]) for line in listed if line[0] == "job"] == [("job", "qwen")]
    client.redis.hset(keys.WORKERS, "cpu", registration(client.settings, [Offer(backend="whisper", model="m")]))
    for form in ((), ("--json",)):
        waited = asrq("wait", "job", "--timeout", "3", *form).stderr
        assert waited.count("asrq: a job waits for a worker that can serve it: qwen.\n") == 1
    assert asrq("cancel", "job").stdout == "job  canceled\n"
    told = asrq("events", "job").stdout.splitlines()
    assert [line.split("  ", 1)[1].split()[0] for line in told] == ["queued", "queued", "canceled"]
    assert "waits for a worker with qwen" in told[1]
