"""What strangers wrote, on its way to a terminal or log."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs.display import json_text, visible, visible_lines

# Characters that act on a terminal, end a line, reorder text or cannot be seen.
HARMFUL = [
    *map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0)),
    "\u2028", "\u2029",
    "\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)),
    "\u00ad", "\u200b", "\u2060", "\ufeff", "\u3164", "\u115f", "\uffa0", "\u034f", "\U000e0041", "\U0001d173",
    "\ud800", "\udcff",
]  # fmt: skip


@pytest.mark.parametrize("character", HARMFUL, ids=lambda character: f"{ord(character):x}")
def test_what_could_do_harm_is_shown_as_an_escape(character: str) -> None:
    shown = visible(f"a{character}b")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown == f"a{character.encode('unicode_escape').decode()}b"
    assert json.loads(json_text(f"a{character}b")) == f"a{character}b"
    assert json_text(character).isascii()


@pytest.mark.parametrize(
    "text",
    [
        "Привет, мир", "今日は、世界", "שלום", "مرحبا", "می‌خواهم", "क्‍ष", "👨‍👩‍👧", "❤️‍🔥", "1️⃣", "👍🏽", "e\u0301",
        "Ελλάδα", "ไทย", "한국어", "\u06dd", "葛\U000e0100", "[bold]talk[/bold]", "C:\\talk.mp3", "a\u00a0b",
    ],
)  # fmt: skip
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text
    assert json.loads(json_text(text)) == text


def test_joiners_and_selectors_that_change_nothing_are_shown() -> None:
    assert visible("pay\u200dpal pay\u200cpal pay\ufe0fpal") == "pay\\u200dpal pay\\u200cpal pay\\ufe0fpal"
    assert visible("👍\ufe0f\ufe00\ufe01") == "👍\ufe0f\\ufe00\\ufe01"
    assert visible("\u200dа") == "\\u200dа"


def test_lines_of_ours_stay_lines() -> None:
    assert visible_lines("one\n\ttwo\x1b[2J\r\n") == "one\n\ttwo\\x1b[2J\\r\n"
    assert visible("one\ntwo\t") == "one\\ntwo\\t"


@given(st.text())
def test_a_line_is_one_line_and_says_nothing_to_the_terminal(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert visible(shown) == shown


@given(st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False) | st.none() | st.lists(st.text())))
def test_json_is_exact(value: object) -> None:
    assert json.loads(json_text(value)) == value
    assert "\n" not in json_text(value)
    assert json.loads(json_text(value, indent=2)) == value
