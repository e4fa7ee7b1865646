"""The tool that sees which decisions in Lua the tests have met."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.lua_coverage import LuaCoverage, marked, points

SCRIPT = b"""\
local named = given.name or 'none'
local text = named and given.text or given.default
local late = not (due or never)
if #text > 3 and (late or named == 'x') then
  keep(text or '')
elseif last then
  for _, each in ipairs({1, 2}) do
    drop(each)
  end
end
return given.size == 0 and 'empty' or text
"""


def test_each_operand_that_decides_and_each_loop_is_found() -> None:
    assert [(point.line, point.text, point.loop) for point in points(SCRIPT)] == [
        (1, "given.name", False),
        (2, "named", False),
        (3, "due", False),
        (3, "never", False),
        (4, "#text > 3", False),
        (4, "late", False),
        (4, "named == 'x'", False),
        (5, "text", False),
        (6, "last", False),
        (8, "drop(each)", True),
        (11, "given.size == 0", False),
    ]


def test_marks_stand_around_them_and_move_no_line() -> None:
    first, *rest = marked("s", SCRIPT).decode().splitlines()
    assert first.startswith("local function seen(")
    assert first.endswith(" local named = seen(0, given.name) or 'none'")
    assert rest[2] == "if seen(4, #text > 3) and (seen(5, late) or seen(6, named == 'x')) then"
    assert rest[6] == "    seen(9, true) drop(each)"
    assert len(rest) == SCRIPT.count(b"\n") - 1


def test_what_was_not_seen_is_named() -> None:
    lua = LuaCoverage(lambda name: "if a then\n  b = c or d\nend" if name == "note" else "")
    assert lua.source("note").endswith("if seen(0, a) then\n  b = seen(1, c) or d\nend")
    assert lua.unseen() == [], "without a server there is nothing to say"
    lua.read("1:M # asrq-lua note 0 true\n1:M # asrq-lua note 1 false\nasrq-lua note 1 true of another")
    assert lua.unseen() == ["note.lua:1: never false: a", "note.lua:2: never true: c"]


def test_processes_that_run_a_part_of_the_tests_tell_what_they_have_seen() -> None:
    def made() -> LuaCoverage:
        return LuaCoverage(lambda name: "if a then return 1 end" if name == "note" else "")

    def finished(lua: LuaCoverage, config: SimpleNamespace) -> Any:
        session: Any = SimpleNamespace(config=config, exitstatus=pytest.ExitCode.OK)
        lua.pytest_sessionfinish(session)
        return session.exitstatus

    first, parts = made(), [SimpleNamespace(workeroutput={}) for _ in range(3)]
    for part, outcome in zip(parts, ("true", "false", None), strict=True):
        lua = made()
        if outcome:
            lua.read(f"1:M # asrq-lua note 0 {outcome}")
        assert finished(lua, part) == pytest.ExitCode.OK
    first.pytest_testnodedown(parts[2])
    first.pytest_testnodedown(SimpleNamespace())
    assert first.unseen() == [], "no test had a server"
    first.pytest_testnodedown(parts[0])
    assert first.unseen() == ["note.lua:1: never false: a"]
    assert finished(first, SimpleNamespace()) == pytest.ExitCode.TESTS_FAILED
    first.pytest_testnodedown(parts[1])
    assert finished(first, SimpleNamespace()) == pytest.ExitCode.OK
