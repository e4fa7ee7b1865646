"""What the tests have seen of the decisions in the Lua scripts: coverage.py cannot look into a server.

`pytest --lua-coverage` sends each script with a mark around each operand that decides (of `if`, `and`, `or`, `not` or a
comparison) and in every loop. The marks go to the log of the shared Valkey, so they touch no key and change no answer.
The run fails if an operand was never true or never false, or a loop never entered. Other processes load the scripts
themselves, so what they send is not marked. Each process of `pytest -n` has a Valkey of its own; the first process,
which runs no test, puts together what they have seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, get_args

import pytest
import tree_sitter_lua
from tree_sitter import Language, Node, Parser

from asrq_jobs.scripts import ScriptName

_PARSER = Parser(Language(tree_sitter_lua.language()))
_COMPARISONS = {"==", "~=", "<", "<=", ">", ">="}
_CONSTANTS = {"string", "number", "nil", "true", "false", "table_constructor"}
# Without a line of its own, so that a script's errors name the right one; at a level that servers drop unless asked.
_SEEN = (
    "local function seen(number, value) redis.log(redis.LOG_VERBOSE, "
    "'asrq-lua {name} ' .. number .. ' ' .. (value and 'true' or 'false')) return value end "
)
_MARK = re.compile(r"asrq-lua (\w+) (\d+) (true|false)$", re.MULTILINE)


@dataclass(frozen=True)
class Point:
    """An operand that decides, or the body of a loop: bytes `start` to `end` of the script, from `line` (from 1) on."""

    start: int
    end: int
    line: int
    text: str
    loop: bool

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What is to be seen of it; a loop is `true` when it is entered."""
        return ("true",) if self.loop else ("true", "false")


def points(source: bytes) -> list[Point]:
    """Find all of a script, those around others first."""
    root = _PARSER.parse(source).root_node
    assert not root.has_error, source
    return [
        Point(node.start_byte, node.end_byte, node.start_point.row + 1, (node.text or b"").decode(), loop)
        for node, loop in _points(root, decides=False)
    ]


def _points(node: Node, *, decides: bool) -> Iterator[tuple[Node, bool]]:
    """Yield them with whether they are loops; `decides`: it matters whether this node is true, not what it is."""
    operator = _operator(node)
    if operator in {"and", "or"}:
        left, _, right = node.children
        # In `a and b or c`, b is what it comes to where a holds: it need not ever be false.
        yield from _points(left, decides=decides or operator == "and" or _operator(left) != "and")
        yield from _points(right, decides=decides)
    elif operator == "not" or node.type == "parenthesized_expression":
        yield from _points(node.named_children[0], decides=decides or operator == "not")
    else:
        if operator in _COMPARISONS or (decides and node.type not in _CONSTANTS):
            yield node, False
        if node.type == "for_statement" and (body := node.child_by_field_name("body")):
            yield body, True
        condition = node.child_by_field_name("condition")
        for child in node.named_children:
            yield from _points(child, decides=child == condition)


def _operator(node: Node) -> str:
    place = {"binary_expression": 1, "unary_expression": 0}.get(node.type)
    return "" if place is None else node.children[place].type


def marked(name: str, source: bytes) -> bytes:
    """Return a script with its marks; it does what it did."""
    inserts = [(0, _SEEN.format(name=name))]
    for number, point in enumerate(points(source)):
        if point.loop:
            inserts.append((point.start, f"seen({number}, true) "))
        else:
            inserts += [(point.start, f"seen({number}, "), (point.end, ")")]
    parts, last = [], 0
    for offset, insert in sorted(inserts, key=itemgetter(0)):  # stable: the outer of two stays the outer
        parts += [source[last:offset], insert.encode()]
        last = offset
    return b"".join([*parts, source[last:]])


class LuaCoverage:
    """The plugin, and what it has seen of the scripts whose text `source` gives."""

    marked = staticmethod(marked)

    def __init__(self, source: Callable[[ScriptName | Literal["prelude"]], str]) -> None:
        self._source = source
        self._points = {name: points(source(name).encode()) for name in get_args(ScriptName)}
        self._seen: set[tuple[str, int, str]] = set()
        self._measured = False

    def source(self, name: ScriptName | Literal["prelude"]) -> str:
        """Return the text of a script with its marks; what begins many scripts gets none."""
        return self._source(name) if name == "prelude" else marked(name, self._source(name).encode()).decode()

    def read(self, log: str) -> None:
        """Take in the log of a server that has served all tests."""
        self._measured = True
        self._seen |= {(name, int(number), outcome) for name, number, outcome in _MARK.findall(log)}

    def unseen(self) -> list[str]:
        """Name what is still to be seen; nothing if no test had a server."""
        return [
            f"{name}.lua:{point.line}: never {'entered' if point.loop else outcome}: {point.text.splitlines()[0]}"
            for name, found in self._points.items()
            for number, point in enumerate(found)
            for outcome in point.outcomes
            if self._measured and (name, number, outcome) not in self._seen
        ]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in what a process has seen that ran a part of the tests; one that crashed tells nothing."""
        told = getattr(node, "workeroutput", {})
        self._measured = self._measured or told.get("lua_measured", False)
        self._seen |= {tuple(mark) for mark in told.get("lua_seen", ())}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that would have passed; a process that ran a part of the tests tells what it has seen."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput |= {"lua_measured": self._measured, "lua_seen": sorted(self._seen)}
        elif self.unseen() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how much of each script was seen, and what was not."""
        terminalreporter.section("decisions in Lua")
        for name, found in self._points.items():
            wanted = sum(len(point.outcomes) for point in found)
            seen = sum(script == name for script, _, _ in self._seen)
            terminalreporter.write_line(f"{name:<18}{seen:>4} of {wanted:>3}")
        for line in self.unseen():
            terminalreporter.write_line(line)
