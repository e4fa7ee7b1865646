"""What counts as the same text."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from asrq_worker.bench.normalise import normalise


@pytest.mark.parametrize(
    ("language", "text", "normal"),
    [
        ("en", "It's  twenty-five dollars, Mr. Smith's colour.", "it is $25 mister smith is color"),
        ("en", "(laughs) Um, OK!", "ok"),
        ("en", "", ""),
        ("ru", "Ёлка, ёж — и «ещё»!", "елка еж и еще"),
        ("ru", "60 000 рублей, 5 %", "шестьдесят тысяч рублей пять процентов"),
        ("ru", "60\u00a0000", "шестьдесят тысяч"),
        ("ru", "в 1917-м", "в одна тысяча девятьсот семнадцать м"),
        ("ru", "№5 за 3$", "no пять за три долларов"),
        ("ru", "…", ""),
        ("de", "Grüße, Welt!", "grüße welt"),
    ],
)
def test_rules(language: str, text: str, normal: str) -> None:
    assert normalise(text, language) == normal


def test_a_loop_of_digits_is_read_digit_by_digit() -> None:
    assert normalise("1" * 60, "ru") == " ".join(["один"] * 60)


def test_it_agrees_with_the_normaliser_of_the_speech_collection(speech: Path) -> None:
    spec = importlib.util.spec_from_file_location("norm", speech / "norm.py")
    assert spec is not None
    assert spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    lines = map(json.loads, (speech / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    compared = 0
    for line in lines:
        if line["text"] and line["language"] in {"en", "ru"}:
            assert normalise(line["text"], line["language"]) == theirs.norm(line["text"], line["language"]).strip()
            compared += 1
    assert compared > 70
