"""Languages as people and programs write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrq_jobs import languages
from asrq_jobs.errors import UnknownLanguageError
from asrq_jobs.languages import NAMES, normalize, whispers_name
from asrq_jobs.request import PathAudio, Request


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (None, "auto"), ("", "auto"), ("auto", "auto"), ("AUTO", "auto"),
        ("ru", "ru"), ("RU", "ru"), (" ru ", "ru"), ("Russian", "ru"), ("RUSSIAN", "ru"), ("yue", "yue"),
        # BCP 47, with what POSIX makes of it.
        ("pt-BR", "pt"), ("PT_br", "pt"), ("en_US", "en"), ("en_US.UTF-8", "en"), ("sr_RS@latin", "sr"),
        ("zh-CN", "zh"), ("zh-TW", "zh"), ("zh-Hant", "zh"), ("zh-Hans-SG", "zh"), ("cmn-Hans", "zh"),
        ("yue-HK", "yue"), ("zh-yue", "yue"), ("de-CH-1996", "de"), ("es-419", "es"), ("nn-NO", "nn"),
        # Codes of three letters, and of languages within others.
        ("eng", "en"), ("rus", "ru"), ("ger", "de"), ("deu", "de"), ("arb", "ar"), ("pes", "fa"), ("lvs", "lv"),
        # What codes are called today, and what they were called.
        ("jv", "jw"), ("jw", "jw"), ("iw", "he"), ("he", "he"), ("in", "id"), ("ji", "yi"), ("mo", "ro"),
        ("fil", "tl"), ("tl", "tl"), ("nb", "no"), ("nb-NO", "no"), ("no", "no"), ("no-nyn", "nn"),
        # Whisper's other names.
        ("burmese", "my"), ("Myanmar", "my"), ("Castilian", "es"), ("flemish", "nl"), ("Haitian", "ht"),
        ("haitian creole", "ht"), ("haitian_creole", "ht"), ("letzeburgesch", "lb"), ("Mandarin", "zh"),
        ("moldavian", "ro"), ("moldovan", "ro"), ("panjabi", "pa"), ("pashto", "ps"), ("pushto", "ps"),
        ("sinhalese", "si"), ("valencian", "ca"), ("tagalog", "tl"), ("nynorsk", "nn"), ("Norwegian Bokmål", "no"),
    ],
)  # fmt: skip
def test_what_is_understood(written: str | None, code: str) -> None:
    assert normalize(written) == code
    if written:
        assert Request.build(id="a", audio=PathAudio(path="/a"), language=written).language == code


def test_every_language_is_understood_by_its_code_and_names() -> None:
    for code, name in NAMES.items():
        for written in (code, code.upper(), name, name.upper(), whispers_name(code), f"{code}-XX"):
            assert normalize(written) == code, written


@pytest.mark.parametrize(
    ("written", "meant"),
    [("rusian", "ru"), ("Englsh", "en"), ("Hawaian", "haw"), ("portugese", "pt"), ("cantonesse", "yue")],
)
def test_a_slip_of_the_pen_is_named(written: str, meant: str) -> None:
    with pytest.raises(UnknownLanguageError, match=f"Unknown language '{written}'") as caught:
        normalize(written)
    assert f"Did you mean '{meant}' ({NAMES[meant]})?" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "written",
    [
        # Languages that no model here knows, but whose names or codes are like those of some that one does.
        "tlh", "klingon", "ku", "Kurdish", "Romani", "Romansh", "rm", "Aromanian", "Frisian", "fy", "Irish", "ga", "xh",
        "Sorbian", "Ossetian", "Igbo", "Luganda", "Scots", "ceb",
        # And what is none at all.
        "xx", "und", "mul", "x-private", "C", "POSIX", "-", "en-", "12", "русский", "en\u202e", "\ud800",
    ],
)  # fmt: skip
def test_no_hint_names_another_language(written: str) -> None:
    with pytest.raises(UnknownLanguageError) as caught:
        normalize(written)
    assert "Did you mean" not in (caught.value.hint or "")


@given(st.text() | st.from_regex(r"[A-Za-z0-9]{1,8}([-_][A-Za-z0-9]{1,8}){0,4}", fullmatch=True))
def test_anything_is_understood_or_refused(written: str) -> None:
    try:
        code = normalize(written)
    except UnknownLanguageError:
        return
    assert code in {*NAMES, languages.AUTO}


def test_several_languages_in_the_place_of_one_are_told_of_the_right_option() -> None:
    with pytest.raises(UnknownLanguageError) as refused:
        normalize("ru,en")
    assert str(refused.value.hint).startswith("Several go into languages, which auto chooses among.")
