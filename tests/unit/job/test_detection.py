"""Which language is spoken where: pooled over the recording, changed only on strong evidence."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrq_worker.audio.split import Piece
from asrq_worker.backends.base import SAMPLE_RATE, Transcript
from asrq_worker.job import detection
from asrq_worker.job.detection import Evidence, languages, unsure

# What `base` makes of tests' favourite case, 26 Russian utterances far apart (seconds, the likeliest languages).
UTTERANCES = [
    Evidence(2.2, {"ru": 0.998}), Evidence(2.2, {"ru": 0.937, "nn": 0.018}), Evidence(2.2, {"ru": 0.924, "en": 0.048}),
    Evidence(1.4, {"pl": 0.548, "ru": 0.163, "ja": 0.068}), Evidence(1.5, {"ru": 0.931, "pl": 0.023}),
    Evidence(1.6, {"ru": 0.885, "uk": 0.092}), Evidence(2.0, {"ru": 0.682, "pl": 0.242}), Evidence(1.7, {"ru": 0.968}),
    Evidence(1.3, {"fr": 0.366, "pt": 0.181, "ru": 0.109}), Evidence(1.6, {"ru": 0.972}), Evidence(1.1, {"ru": 0.9}),
    Evidence(1.0, {"ar": 0.184, "en": 0.182, "he": 0.111, "el": 0.108}), Evidence(1.2, {"ru": 0.934}),
]  # fmt: skip


def clear(language: str, seconds: float, probability: float = 0.98) -> Evidence:
    return Evidence(seconds, {language: probability})


def test_short_utterances_are_in_the_language_of_the_recording() -> None:
    assert languages(UTTERANCES) == ["ru"] * len(UTTERANCES)
    assert not unsure(UTTERANCES, ["ru"] * len(UTTERANCES))


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize(
    "guess",
    [
        clear("de", 2.0, 0.912),
        clear("pl", 2.0, 0.893),
        clear("pl", 1.4, 0.99),
        Evidence(5.6, {"uk": 0.833, "ru": 0.153}),
    ],
)
def test_a_guess_follows_what_is_sure_wherever_it_stands(guess: Evidence, place: int) -> None:
    heard = [clear("ru", 3.0) for _ in range(5)]
    heard.insert(place, guess)
    assert languages(heard) == ["ru"] * 6


@pytest.mark.parametrize("place", range(4))
def test_a_stretch_that_is_clearly_another_language_stays_what_it_is(place: int) -> None:
    heard = [clear("ru", 20.0) for _ in range(3)]
    heard.insert(place, clear("en", 5.0))
    found = languages(heard)
    assert found == ["en" if number == place else "ru" for number in range(4)]
    assert not unsure(heard, found)


def test_short_stretches_support_each_other() -> None:
    """A conversation goes on in English for a while."""
    heard = [clear("ru", 3.0) for _ in range(6)] + [clear("en", 2.5) for _ in range(5)]
    assert languages(heard) == ["ru"] * 6 + ["en"] * 5


def test_half_and_half() -> None:
    assert languages([clear("ru", 15.0), clear("en", 15.0)]) == ["ru", "en"]
    assert languages([clear("en", 15.0), clear("ru", 20.0), clear("en", 15.0)]) == ["en", "ru", "en"]


def test_one_language_is_not_made_of_the_second_guesses_of_two() -> None:
    heard = [Evidence(15.0, {"ru": 0.8, "uk": 0.1}), Evidence(15.0, {"pl": 0.8, "uk": 0.1})]
    assert languages(heard) == ["ru", "pl"]


def test_nothing_is_found_where_nothing_is_known() -> None:
    assert languages([]) is None
    assert languages([Evidence(3.0), Evidence(1.0)]) is None
    assert languages([Evidence(3.0), clear("en", 2.0), Evidence(1.0)]) == ["en"] * 3


@pytest.mark.parametrize(
    ("heard", "found", "guess"),
    [
        ([Evidence(2.7, {"es": 0.313, "it": 0.226})], ["es"], True),
        ([clear("ru", 2.7, 0.6)], ["ru"], False),
        ([clear("ru", 20.0), clear("ru", 20.0), clear("en", 3.9)], ["ru"] * 3, True),
        ([clear("ru", 20.0), clear("ru", 20.0), clear("pl", 2.0)], ["ru"] * 3, False),
        ([clear("ru", 20.0), Evidence(1.0)], ["ru"] * 2, False),
        ([], [], False),
    ],
)
def test_what_is_a_guess_is_called_so(heard: list[Evidence], found: list[str], guess: bool) -> None:
    assert (languages(heard) or []) == found
    assert unsure(heard, found) == guess


EVIDENCE = st.builds(
    Evidence,
    st.floats(0.1, 30.0),
    st.dictionaries(st.sampled_from(["en", "ru", "uk", "de"]), st.floats(0.01, 1.0), max_size=4),
)


@settings(deadline=None)  # how fast it is says nothing
@given(st.lists(EVIDENCE, min_size=1, max_size=6))
def test_no_other_path_is_likelier(heard: list[Evidence]) -> None:
    """Against all paths: what Viterbi's algorithm promises."""
    found = languages(heard)
    known = sorted({language for each in heard for language in each.probabilities})
    if found is None:
        assert not known
        return
    main = max(known, key=lambda language: sum(each.of(language) for each in heard))

    def score(path: tuple[str, ...]) -> float:
        changes = sum(a != b for a, b in itertools.pairwise((main, *path, main)))
        return sum(each.of(language) for each, language in zip(heard, path, strict=True)) - detection.CHANGE * changes

    best = max(score(path) for path in itertools.product(known, repeat=len(heard)))
    others = [score(tuple(found))]
    if any(sum(e.of(a) for e in heard) == sum(e.of(main) for e in heard) for a in known if a != main):
        return  # two languages are as likely for the whole: which one it returns to is open
    assert others[0] == pytest.approx(best)


def piece(start: float, stop: float) -> Piece:
    return Piece(round(start * SAMPLE_RATE), round(stop * SAMPLE_RATE))


def heard(language: str, p: float | None = 0.98, *others: tuple[str, float], text: str = "text") -> Transcript:
    weighed = () if p is None else ((language, p), *others)
    return Transcript(text, language if text else None, p, languages=weighed if text else ())


KNOWN = {"en", "ru", "uk"}


def test_only_what_was_taken_for_another_language_is_heard_again() -> None:
    first, guess, last = piece(0, 20), piece(23, 25), piece(28, 48)
    whole = {last: heard("ru"), guess: heard("uk", 0.6, ("ru", 0.3)), first: heard("ru")}
    settled = detection.settle(whole, {}, KNOWN)
    assert dict(settled.kept) == {first: heard("ru"), last: heard("ru")}
    assert dict(settled.again) == {guess: ("ru", 0.3)}


def test_what_has_no_text_is_not_heard_again() -> None:
    silent, spoken = piece(0, 5), piece(8, 20)
    settled = detection.settle({silent: heard("en", text=""), spoken: heard("ru")}, {}, KNOWN)
    assert set(settled.kept) == {silent, spoken}
    assert not settled.again


def test_a_model_that_names_languages_without_probabilities_is_believed_as_far() -> None:
    first, guess, other = piece(0, 20), piece(23, 25), piece(28, 48)
    settled = detection.settle(
        {first: heard("ru", None), guess: heard("en", None), other: heard("en", None)}, {}, KNOWN
    )
    assert set(settled.kept) == {first, guess, other}
    settled = detection.settle(
        {first: heard("ru", None), guess: heard("en", None), other: heard("ru", None)}, {}, KNOWN
    )
    assert dict(settled.again) == {guess: ("ru", None)}


def test_a_language_that_cannot_be_asked_for_is_not() -> None:
    first, guess = piece(0, 20), piece(23, 33)
    settled = detection.settle({first: heard("ru"), guess: heard("xx")}, {}, KNOWN)
    assert set(settled.again) == {guess}
    assert settled.again[guess][0] == "ru"


def test_what_is_outside_the_choice_is_heard_again_in_it() -> None:
    first, second = piece(0, 20), piece(23, 33)
    whole = {first: heard("uk", 0.7, ("ru", 0.3)), second: heard("uk", None)}
    settled = detection.settle(whole, {}, KNOWN, ("en", "ru"))
    assert dict(settled.again) == {first: ("ru", 0.3), second: ("ru", None)}
    assert settled.unsure
    assert detection.mixed({first: heard("ru", 0.915, ("en", 0.054))}, KNOWN, ("en", "ru")) == [first]


def test_where_none_of_the_choice_was_found_the_first_is_taken() -> None:
    only = piece(0, 20)
    assert dict(detection.settle({only: heard("uk", None)}, {}, KNOWN, ("ru", "en")).again) == {only: ("ru", None)}
    silent = heard("en", text="")
    assert dict(detection.settle({only: silent}, {}, KNOWN, ("ru", "en")).kept) == {only: silent}


def test_what_may_hold_two_languages_is_long_and_has_a_second_one() -> None:
    long, short, two = piece(0, 19.7), piece(30, 35), heard("ru", 0.915, ("en", 0.054))
    assert detection.mixed({long: two}, KNOWN) == [long]
    assert detection.mixed({long: heard("ru"), short: two}, KNOWN) == []
    assert detection.mixed({long: heard("ru", 0.95, ("en", 0.02))}, KNOWN) == []
    assert detection.mixed({long: heard("ru", None)}, KNOWN) == []
    assert detection.mixed({long: heard("ru", text="")}, KNOWN) == []
    assert detection.mixed({}, KNOWN) == []


def test_a_change_may_lie_within_the_pieces_beside_it() -> None:
    """Pieces are cut at pauses, which languages do not heed: two seconds of the next one hardly show."""
    first, before, after, last = (piece(start, start + 19) for start in (0, 20, 40, 60))
    whole = {last: heard("en"), first: heard("ru"), after: heard("en"), before: heard("ru")}
    assert detection.mixed(whole, KNOWN) == [before, after]
    cut = piece(37, 39)
    closer = {piece(20, 30): heard("ru"), piece(30, 36): heard("ru"), cut: heard("en", 0.9), after: heard("en")}
    settled = detection.settle(whole, closer, KNOWN)
    assert settled.kept == {first: heard("ru"), cut: heard("en", 0.9), after: heard("en"), last: heard("en")}
    assert {each: language for each, (language, _) in settled.again.items()} == {piece(20, 36): "ru"}


def test_a_piece_is_cut_where_its_language_changes() -> None:
    whole = piece(0, 20)
    inner = [piece(0, 6), piece(6.5, 11), piece(12, 16), piece(16.5, 17.2), piece(17.4, 20)]
    closer = dict(zip(inner, [heard("en"), heard("en"), heard("ru"), heard("uk", 0.5), heard("ru")], strict=True))
    settled = detection.settle({whole: heard("ru", 0.915, ("en", 0.054))}, closer, KNOWN)
    assert not settled.kept
    assert [(each, language) for each, (language, _) in settled.again.items()] == [
        (piece(0, 11), "en"),
        (piece(12, 20), "ru"),
    ]


def test_a_stretch_that_was_heard_alone_in_the_right_language_is_taken_as_it_is() -> None:
    whole, first, second = piece(0, 20), piece(0, 11), piece(12, 20)
    closer = {first: heard("en"), second: heard("ru")}
    settled = detection.settle({whole: heard("ru", 0.9, ("en", 0.06))}, closer, KNOWN)
    assert dict(settled.kept) == closer
    assert not settled.again


def test_a_piece_of_one_language_stays_whole() -> None:
    whole = piece(0, 20)
    closer = {piece(0, 11): heard("ru"), piece(12, 13): heard("uk", 0.7), piece(13.5, 20): heard("ru")}
    mixed = heard("ru", 0.9, ("en", 0.06))
    settled = detection.settle({whole: mixed}, closer, KNOWN)
    assert dict(settled.kept) == {whole: mixed}


def test_the_language_of_a_recording_is_told_once_it_is_plain() -> None:
    known = {"ru", "en", "uk"}
    assert detection.main_language({}, known) is None
    assert detection.main_language({piece(0, 2): heard("ru", 0.9)}, known) is None
    assert detection.main_language({piece(0, 9): heard("ru", 0.6, ("uk", 0.4))}, known) is None
    assert detection.main_language({piece(0, 9): heard("ru", 0.9, ("uk", 0.1))}, known) == "ru"
    assert detection.main_language({piece(0, 9): heard("ru", None)}, known) == "ru"
    assert detection.main_language({piece(0, 9): heard("pl", 0.9)}, known) is None, "it cannot be asked for"
    assert detection.main_language({piece(0, 9): heard("pl", 0.9, ("en", 0.1))}, known, ("ru", "en")) == "en"
    both = {piece(0, 9): heard("ru"), piece(9, 18): heard("en")}
    assert detection.main_language(both, known) is None
