"""What guards condemn, on texts that models have really come out with, and what they must let pass."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asrq_worker.backends.guards import (
    _compression_ratio,
    _longest_loop,
    before_loop,
    clean,
    is_silent,
    judge,
    without_runs,
)
from asrq_worker.backends.server.messages import _strip_leaked

EN = "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country."
RU = "Съешь же ещё этих мягких французских булок, да выпей чаю, сказал он и, не дожидаясь ответа, вышел в сад."


def found(text: str, language: str | None = None, seconds: float = 10.0, *, truncated: bool = False) -> list[str]:
    return [finding.name for finding in judge(text, language=language, seconds=seconds, truncated=truncated)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("you " * 20, 28),
        ("Thank you. Thank you. Thank you. Thank you. Thank you.", 25),
        ("Thanks for watching! " * 6, 28),
        (EN + " I'm going to go ahead and" * 9, 28),
        ("Субтитры сделал DimaTorzok " * 4, 20),
        ("Спасибо за просмотр! Спасибо за просмотр! Спасибо за просмотр!", 12),
        ("Продолжение следует... " * 8, 28),
        (RU + " и так далее," * 12, 28),
        ("да, " * 60, 28),
        ("谢谢大家" * 8, 20),
        ("ご視聴ありがとうございました" * 4, 20),
        ("ааааааааааааааааааааааааааааааааааааааааааааааааааааааааа", 10),
        ("The letter used should be " + "f" * 70, 4),
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, " * 4, 28),
    ],
)
def test_loops_are_repetition(text: str, seconds: float) -> None:
    assert "repetition" in found(text, seconds=seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Нет, нет, нет, нет!", 2),
        ("No, no, no, no, no. Very, very good.", 4),
        ("Ха-ха-ха-ха-ха!", 2),
        ("哈哈哈哈哈哈", 2),
        ("Ноль ноль семь, ноль ноль восемь, ноль ноль девять.", 5),
        ("A rose is a rose is a rose is a rose.", 4),
        ("Раз, два, три, четыре, пять, вышел зайчик погулять.", 5),
    ],
)
def test_what_people_repeat_is_not(text: str, seconds: float) -> None:
    assert found(text, seconds=seconds) == []


@pytest.mark.parametrize(
    ("text", "language", "seconds", "expected"),
    [
        (EN, "en", 1.0, ["too_long"]),
        (RU, "ru", 1.5, ["too_long"]),
        ("今天天气很好我们一起去公园散步吧然后回家吃饭", "zh", 0.5, ["too_long"]),
        ("Ok.", "en", 25.0, ["too_short"]),
        ("Спасибо.", "ru", 20.0, ["too_short"]),
        ("好", "zh", 12.0, ["too_short"]),
        ("Ok.", "en", 3.0, []),
        ("Да.", "ru", 0.3, []),
        ("Thank you very much!", "en", 0.8, []),
    ],
)
def test_pace(text: str, language: str, seconds: float, expected: list[str]) -> None:
    assert found(text, language, seconds) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("谢谢观看", "ru"),
        ("字幕由 Amara.org 社区提供", "ru"),
        ("Thank you for watching and see you in the next video.", "ru"),
        ("Добрый вечер, дорогие друзья.", "en"),
        ("Субтитры сделал DimaTorzok", "en"),
        ("안녕하세요 여러분", "ja"),
        ("Καλημέρα σας, τι κάνετε;", "ru"),
        ("Спасибо большое за внимание", "el"),
        ("مرحبا بكم في القناة", "he"),
        ("Hello everyone and welcome back", "hi"),
        ("Hello everyone and welcome back", "th"),
        ("Доброе утро всем", "ko"),
    ],
)
def test_another_script_than_the_language_is_written_in(text: str, language: str) -> None:
    assert found(text, language) == ["wrong_script"]
    assert found(text) == [], "nobody asked for a language"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Открой Grafana и Kubernetes.", "ru"),
        ("GitHub Actions", "ru"),
        ("Docker Compose, Redis.", "ru"),
        ("2026, 15:30, 100 %", "ru"),
        ("Ваш код: QWERTY", "ru"),
        ("He said «привет» and left the room.", "en"),
        ("Das ist ein schöner Tag.", "de"),
        ("Ово је добар дан.", "sr"),
        ("Ovo je dobar dan.", "sr"),
        ("今日はいい天気ですね。", "ja"),
        ("オーケー、グーグル。", "ja"),
        ("오늘 날씨가 좋네요.", "ko"),
        ("今天天气很好。", "zh"),
        ("Καλημέρα σας.", "el"),
        ("שלום לכולם", "he"),
        ("مرحبا بكم", "ar"),
        ("नमस्ते दोस्तों", "hi"),
        ("สวัสดีครับ", "th"),
    ],
)
def test_the_right_script_and_names_in_it(text: str, language: str) -> None:
    assert found(text, language, 4.0) == []


@pytest.mark.parametrize("text", ["", " ", "...", "♪ ♪ ♪", "[  ]"])
def test_no_words_are_no_speech(text: str) -> None:
    assert found(text, "ru") == ["no_speech"]


def test_truncation_is_told_along_with_the_rest() -> None:
    assert found(EN, "en", truncated=True) == ["truncated"]
    assert found("", "en", truncated=True) == ["truncated", "no_speech"]
    assert found("да " * 300, "en", 10, truncated=True) == ["truncated", "repetition", "too_long", "wrong_script"]


def test_findings_say_why() -> None:
    [finding] = judge("you " * 20, language="en", seconds=28)
    assert finding.reason == "'you' 20 times in a row"


def test_languages_are_treated_alike() -> None:
    assert abs(_compression_ratio(EN) - _compression_ratio(RU)) < 0.4
    assert _compression_ratio(EN) == _compression_ratio(EN.swapcase().swapcase())
    assert _compression_ratio("") == 0


def test_a_loop_is_found_wherever_it_stands() -> None:
    assert _longest_loop("one two. Three four! three Four; three four five") == ("three four", 3)
    assert _longest_loop("a b a b") == ("", 0)
    assert before_loop("One two. Three four! three Four; three four five") == "One two. Three four"
    assert before_loop("Ещё раз, и снова и снова, и снова") == "Ещё раз, и снова"
    assert before_loop("これは本当本当本当本当") == "これは本当"
    assert before_loop("another other other other") == "another"
    assert before_loop("a b a b") == before_loop("") == ""
    assert _longest_loop("") == ("", 0)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (" Well, ffffffffffffffffffffffff", " Well,"),
        ("hahahahahahahahahahahahahaha and so on xyxyxyxyxyxyxyxyxyxyxyxyxyxy ", " and so on"),
        ("No run, no change: aaaaaaaaaaaa ", "No run, no change: aaaaaaaaaaaa "),
    ],
)
def test_letters_that_are_repeated_as_in_no_word_go(text: str, left: str) -> None:
    assert without_runs(text) == left


def test_no_reference_of_real_speech_is_suspicious(speech: Path) -> None:
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    clips = [clip for clip in map(json.loads, lines) if clip["text"] and clip["seconds"]]
    assert len(clips) > 50
    for clip in clips:
        language = clip["language"] if clip["language"] in {"en", "ru"} else None
        assert found(clip["text"], language, clip["seconds"]) == [], clip["path"]


def test_samples_that_are_not_finite_become_silence() -> None:
    samples = np.array([np.nan, np.inf, -np.inf, 0.5], np.float32)
    assert clean(samples).tolist() == [0, 0, 0, 0.5]
    assert clean(samples).dtype == np.float32
    assert not is_silent(clean(samples))
    assert is_silent(clean(np.full(4, np.nan, np.float32)))
    assert is_silent(np.zeros(0, np.float32))
    assert is_silent(np.full(16, 2**-15, np.float32))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "thank you " * (n // 10),
        lambda n: "".join(f"{at * at % 10_007:07} " for at in range(n // 8)),
        lambda n: "谢谢大家好" * (n // 5),
        lambda n: "".join(chr(0x4E00 + at * at % 5000) for at in range(n)),
        lambda n: "a b " * (n // 8) + "c " * (n // 4),
        lambda n: "language" + " " * n,
        lambda n: ("language" + " " * 90 + "<asr_text>") * (n // 108),
        lambda n: "".join(f"language {at:09}<asr_text>" for at in range(n // 28)),
        lambda n: "".join(f"{f'{at:04}' * 8} " for at in range(n // 33)),
    ],
    ids=["loop", "words", "loop without spaces", "no spaces", "two loops", "blanks", "markup", "languages", "runs"],
)
def test_what_is_judged_costs_time_in_proportion_to_its_length(make: Callable[[int], str]) -> None:
    """A megabyte is a tenth of a second, since four times the text takes about four times as long and not sixteen."""

    def cost(text: str) -> float:
        began = time.thread_time()
        judge(text, language="ru", seconds=28.0)
        _strip_leaked(text)
        without_runs(text)
        return time.thread_time() - began

    short, long = make(50_000), make(200_000)
    once = min(cost(short) for _ in range(5))
    assert any(cost(long) < 9 * once for _ in range(5)), "what disturbs one measurement does not disturb all of them"
