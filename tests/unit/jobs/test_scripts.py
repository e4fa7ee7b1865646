"""The ways to run a client's script: a function where there is one, else the script itself."""

from __future__ import annotations

import hashlib
from importlib import resources

import pytest
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from asrq_jobs import scripts
from asrq_jobs.errors import QueueRefusedError
from asrq_jobs.scripts import ScriptName

UNKNOWN = [
    ResponseError("Function not found"),
    ResponseError("unknown command 'FCALL', with args beginning with: 'asrq_submit'"),
    ResponseError("unknown command `FCALL`, with args beginning with: `asrq_submit`"),
]
REFUSED = NoPermissionError("User client has no permissions to run the 'fcall' command")


def test_the_ways_in_their_order() -> None:
    text = scripts.source("cancel")
    given = (2, "one", "two", "job", 600)
    assert list(scripts.ways("cancel", ["one", "two"], ["job", 600])) == [
        ("FCALL", "asrq_cancel", *given),
        ("EVALSHA", hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), *given),
        ("EVAL", text, *given),
    ]


@pytest.mark.parametrize("name", ["submit", "retry"])
def test_scripts_of_clients_have_the_calendar_of_the_others(name: ScriptName) -> None:
    lua = resources.files("asrq_jobs") / "lua"  # as they are, without the marks of --lua-coverage
    prelude = lua.joinpath("prelude.lua").read_text(encoding="utf-8")
    first = prelude.index("-- The civil date")
    assert prelude[first : prelude.index("\nend\n", first)] in lua.joinpath(f"{name}.lua").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "function"), [("cancel", "settle"), ("erase", "settle"), ("retry", "reopen")])
def test_scripts_of_clients_count_groups_as_the_others_do(name: ScriptName, function: str) -> None:
    lua = resources.files("asrq_jobs") / "lua"
    prelude = lua.joinpath("prelude.lua").read_text(encoding="utf-8")
    first = prelude.index(f"local function {function}(")
    assert prelude[first : prelude.index("\nend\n", first)] in lua.joinpath(f"{name}.lua").read_text(encoding="utf-8")


def test_scripts_of_workers_begin_with_what_they_share() -> None:
    assert scripts.source("begin") == scripts.text("prelude") + scripts.text("begin")


@pytest.mark.parametrize("why", [*UNKNOWN, REFUSED])
def test_where_there_is_no_function_the_script_is_sent(why: ResponseError) -> None:
    scripts._refused([why])
    scripts._refused([why, NoScriptError("No matching script. Please use EVAL.")])


@pytest.mark.parametrize("before", [[], [UNKNOWN[0]], [UNKNOWN[0], NoScriptError("no")]])
def test_what_the_script_itself_answers_is_the_answer(before: list[ResponseError]) -> None:
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        scripts._refused([*before, ResponseError("WRONGTYPE of a key")])


@pytest.mark.parametrize("why", UNKNOWN)
def test_who_may_do_neither_is_told_what_helps(why: ResponseError) -> None:
    with pytest.raises(QueueRefusedError, match="does not have the functions of asrq") as caught:
        scripts._refused([why, NoPermissionError("no evalsha")])
    assert caught.value.retryable
    assert caught.value.hint is not None


def test_who_may_not_even_call_functions_is_told_of_the_right() -> None:
    scripts._refused([REFUSED, NoPermissionError("no evalsha")])
    with pytest.raises(NoPermissionError, match=r"no eval$"):
        scripts._refused([REFUSED, NoPermissionError("no evalsha"), NoPermissionError("no eval")])


def test_several_scripts_go_at_once_and_only_what_was_asked_in_the_wrong_way_goes_again() -> None:
    trying = scripts.ways_of_all([list(scripts.ways("cancel", ["key"], [name])) for name in ("one", "two", "three")])
    assert [command[0] for command in next(trying)] == ["FCALL"] * 3
    damaged = ResponseError("WRONGTYPE of a key")
    again = trying.send([b"done", UNKNOWN[0], damaged])
    assert [(command[0], command[-1]) for command in again] == [("EVALSHA", "two")]
    assert [command[0] for command in trying.send([NoScriptError("no")])] == ["EVAL"]
    with pytest.raises(StopIteration) as ended:
        trying.send([b"late"])
    assert ended.value.value == [b"done", b"late", damaged]


def test_what_was_refused_of_a_command_beside_a_script_is_its_answer() -> None:
    trying = scripts.ways_of_all([[("SET", "key", "value")], list(scripts.ways("cancel", ["key"], ["one"]))])
    next(trying)
    denied = NoPermissionError("no set")
    assert [command[0] for command in trying.send([denied, UNKNOWN[0]])] == ["EVALSHA"]
    with pytest.raises(StopIteration) as ended:
        trying.send([b"done"])
    assert ended.value.value == [denied, b"done"]


def test_of_several_scripts_that_nobody_may_run_each_says_what_helps() -> None:
    trying = scripts.ways_of_all([list(scripts.ways("cancel", ["key"], [job_id])) for job_id in ("one", "two")])
    next(trying)
    trying.send([UNKNOWN[0], UNKNOWN[0]])
    with pytest.raises(StopIteration) as ended:
        trying.send([NoPermissionError("no evalsha")] * 2)
    assert [type(answer) for answer in ended.value.value] == [QueueRefusedError] * 2
