"""How a clip is heard, with a model that says what the test wrote for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from asrq_worker.backends.base import SAMPLE_RATE, Chunk, ChunkOptions, Samples, TimedSegment, Transcript
from asrq_worker.backends.whisper import hearing
from asrq_worker.backends.whisper.hearing import MARGINS_S, draft, hear
from asrq_worker.backends.whisper.steps import (
    Align,
    Decode,
    Decoded,
    Detect,
    Encode,
    Features,
    Request,
    Search,
    TokenTimes,
    together,
)
from asrq_worker.backends.whisper.windows import WHOLE_S

ZERO, END, BEFORE, START = 1000, 999, 998, 997
BEAM = Search(5)
TEXT = " it may be late but it comes and what comes stays with all who were there to hear it come this far"


class Tokenizer:
    """A token for each word."""

    timestamp_begin, eot, sot_prev, sot_sequence = ZERO, END, BEFORE, (START,)

    def __init__(self) -> None:
        self._words: list[str] = []

    def encode(self, text: str) -> list[int]:
        words = [f" {word}" for word in text.split()]
        self._words += [word for word in dict.fromkeys(words) if word not in self._words]
        return [self._words.index(word) for word in words]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(self._words[token] for token in tokens)

    def split_to_word_tokens(self, tokens: Sequence[int]) -> tuple[list[str], list[list[int]]]:
        assert tokens[-1] == END
        return [*(self._words[token] for token in tokens[:-1]), ""], [[token] for token in tokens]


Says = Callable[[Decode, int], Decoded]


class Model:
    """Says what the test wrote, and keeps what it was asked."""

    longest = 448

    def __init__(self, says: Says, languages: dict[int, list[tuple[str, float]]] | None = None) -> None:
        self.says = says
        self.languages = languages or {}
        self.words = Tokenizer()
        self.tokenizers: list[tuple[str, str]] = []
        self.asked: list[Request] = []

    def tokenizer(self, language: str, task: str) -> Tokenizer:
        self.tokenizers.append((language, task))
        return self.words

    def features(self, samples: Samples) -> Features:
        return np.ones((80, len(samples) // 160), np.float32)

    def serve(self, requests: Sequence[Request]) -> list[Any]:
        self.asked += requests
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Any:
        match request:
            case Encode():
                return np.zeros((1, request.frames // 2, 4), np.float32)
            case Detect():
                return self.languages[request.encoded.shape[1] * 2]
            case Decode():
                return self.says(request, request.encoded.shape[1] * 2)
            case Align():
                times = tuple(0.5 * number for number in range(len(request.tokens) + 1))
                return TokenTimes(times, (0.9,) * len(request.tokens))

    def windows(self) -> list[int]:
        """Frames of each encoding."""
        return [request.frames for request in self.asked if isinstance(request, Encode)]

    def own(self) -> list[int]:
        """How many of them are encoded with the speech."""
        return [request.features.shape[1] for request in self.asked if isinstance(request, Encode)]

    def decodes(self) -> list[Decode]:
        return [request for request in self.asked if isinstance(request, Decode)]

    def hear(self, seconds: float, margins_s: Sequence[float] = MARGINS_S, **options: Any) -> Transcript:
        options = {"language": "en", **options}
        chunk = Chunk(np.ones(round(seconds * SAMPLE_RATE), np.float32), ChunkOptions(**options))
        [found] = together([hear(chunk, self, BEAM, margins_s)], self.serve)  # type: ignore[arg-type]  # what it uses
        assert isinstance(found, Transcript), found
        return found

    def said(self, text: str, end: float, **more: Any) -> Decoded:
        """A text that nothing is wrong with."""
        tokens = (time(0.0), *self.words.encode(text), time(end))
        return replace(Decoded(tokens, text.strip(), 1.0, -0.2, 0.0, truncated=False), **more)


def time(seconds: float) -> int:
    return ZERO + round(seconds * 50)


def guess(model: Model) -> Says:
    """In doubt, however long the window."""
    return lambda _request, frames: model.said(TEXT, 4.0, logprob=-1.5 - frames / 1e6)


def speaking(says: Callable[[Model], Says], **more: Any) -> Model:
    model = Model(lambda _request, _frames: pytest.fail("nothing to say"), **more)
    model.says = says(model)
    return model


def well(model: Model) -> Says:
    return lambda _request, _frames: model.said(TEXT, 4.0)


def test_what_is_well_is_heard_once_in_a_short_window() -> None:
    model = speaking(well)
    found = model.hear(4.0)
    assert found == Transcript(
        TEXT.strip(),
        "en",
        segments=(
            TimedSegment(
                0.0, 4.0, TEXT, tuple(model.words.encode(TEXT)), 0.0, -0.2, 1.0, 0.0, decoding="beam"
            ),
        ),
    )  # fmt: skip
    assert model.windows() == [1000], "4 s, a margin of 5 s, and up to a multiple of 2 s"


def test_what_is_in_doubt_is_heard_in_the_whole_window_and_that_is_believed() -> None:
    model = speaking(guess)
    found = model.hear(4.0)
    assert model.windows() == [1000, 3000]
    assert [segment.avg_logprob for segment in found.segments] == [pytest.approx(-1.503)]


def test_the_first_window_without_doubt_is_believed() -> None:
    model = speaking(
        lambda model: lambda _request, frames: model.said(TEXT, 4.0, logprob=-2.0 if frames == 1000 else -0.3)
    )
    assert [segment.avg_logprob for segment in model.hear(4.0).segments] == [-0.3]
    assert model.windows() == [1000, 3000]


def searches(model: Model, seconds: float, language: str) -> tuple[Transcript, list[int]]:
    """Have a clip heard without a search that is asked for, and return with which beams that was done."""
    chunk = Chunk(np.ones(round(seconds * SAMPLE_RATE), np.float32), ChunkOptions(language))
    [found] = together([hear(chunk, model, None, MARGINS_S)], model.serve)  # type: ignore[arg-type]  # what it uses
    assert isinstance(found, Transcript), found
    return found, [request.search.beam_size for request in model.decodes()]


@pytest.mark.parametrize(("language", "beam", "told"), [("en", 1, "greedy"), ("ru", 5, "beam")])
def test_english_that_is_sure_is_searched_greedily(language: str, beam: int, told: str) -> None:
    found, beams = searches(speaking(well), 4.0, language)
    assert beams == [beam]
    assert [segment.decoding for segment in found.segments] == [told]


@pytest.mark.parametrize(
    ("seconds", "language", "own"),
    [(4.0, "en", [600]), (3.0, "en", [500]), (12.0, "en", [1400]), (12.5, "en", [1800]), (4.0, "ru", [1000])],
)
def test_of_the_margin_of_short_english_little_is_encoded_with_the_speech(
    seconds: float, language: str, own: list[int]
) -> None:
    model = speaking(lambda model: lambda _request, _frames: model.said(TEXT * 3, seconds))
    searches(model, seconds, language)
    assert model.own() == own
    assert model.windows() == [2 * math.ceil((seconds + 5) / 2) * 100], "the decoder is given all of it"


def test_the_whole_window_is_encoded_with_the_speech_where_english_is_in_doubt() -> None:
    model = speaking(guess)
    searches(model, 4.0, "en")
    assert model.own() == [600, 3000]


def test_a_search_that_is_asked_for_has_all_of_the_margin_encoded_with_the_speech() -> None:
    model = speaking(well)
    model.hear(4.0)
    assert model.own() == [1000]


def test_english_at_half_the_usual_pace_is_searched_widely_too_as_it_may_have_been_said_twice() -> None:
    found, beams = searches(
        speaking(lambda model: lambda _request, _frames: model.said(" a sentence that was said twice, perhaps", 8.0)),
        8.0,
        "en",
    )
    assert beams == [1, 5]
    assert [segment.decoding for segment in found.segments] == ["beam"]


def test_english_in_doubt_is_searched_widely_in_the_same_window_and_in_the_whole() -> None:
    found, beams = searches(speaking(guess), 4.0, "en")
    assert beams == [1, 5, 5]
    assert [segment.decoding for segment in found.segments] == ["beam"]


def test_english_in_doubt_is_searched_widely_where_no_window_is_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "_GREEDY_S", 30.0)
    model = speaking(guess)
    assert searches(model, 28.0, "en")[1] == [1, 5]
    assert model.windows() == [3000]
    assert searches(speaking(guess), 28.0, "ru")[1] == [5]


def test_long_english_is_searched_widely() -> None:
    assert searches(speaking(guess), 12.1, "en")[1] == [5, 5]


def test_no_window_is_heard_twice() -> None:
    model = speaking(guess)
    model.hear(28.0)
    assert model.windows() == [3000], "all margins come to 30 s"
    assert len(model.decodes()) == 1


def test_with_whole_windows_only_all_are_of_one_length() -> None:
    model = speaking(well)
    model.hear(4.0, margins_s=(WHOLE_S,))
    assert model.windows() == [3000]


def test_speech_stands_before_the_padding() -> None:
    model = speaking(well)
    model.hear(4.0)
    [encode] = [request for request in model.asked if isinstance(request, Encode)]
    assert (encode.features[:, :400] == 1).all()
    assert (encode.features[:, 400:] == 0).all()


def test_a_language_that_is_unsure_is_asked_for_in_the_whole_window() -> None:
    ranked = {
        1000: [("uk", 0.6), ("ru", 0.4)],
        3000: [("ru", 0.95), ("uk", 0.04), ("be", 0.005)],
    }
    model = speaking(well, languages=ranked)
    found = model.hear(4.0, language=None)
    assert (found.language, found.language_probability) == ("ru", 0.95)
    assert found.languages == (("ru", 0.95), ("uk", 0.04)), "what is hardly possible is not told"
    assert model.tokenizers == [("ru", "transcribe")]
    assert model.windows() == [1000, 3000], "what was encoded for the language serves the text"


def test_languages_are_those_to_choose_among() -> None:
    ranked = {1000: [("pl", 0.9), ("uk", 0.05), ("ru", 0.03), ("en", 0.02)], 3000: [("pl", 0.9), ("ru", 0.098)]}
    model = speaking(well, languages=ranked)
    found = model.hear(4.0, language=None, languages=("en", "ru", "yue"))
    assert model.windows() == [1000, 3000], "0.6 of what is possible is not sure"
    assert (found.language, found.language_probability) == ("ru", 1.0)
    nothing = speaking(well, languages={frames: [("pl", 1.0)] for frames in (1000, 3000)})
    assert nothing.hear(4.0, language=None, languages=("ru", "en")).language == "ru"


def test_a_language_that_stays_unsure_is_the_likeliest_of_the_whole_window() -> None:
    ranked = {frames: [(code, 0.5)] for frames, code in ((1000, "pl"), (3000, "ru"))}
    assert speaking(well, languages=ranked).hear(4.0, language=None).language == "ru"


def test_what_is_left_is_heard_in_the_next_window() -> None:
    def says(model: Model) -> Says:
        first = model.said(TEXT, 20.0)
        parts = iter([replace(first, tokens=(*first.tokens, time(20.0))), model.said(TEXT, 15.0)])
        return lambda _request, _frames: next(parts)

    model = speaking(says)
    found = model.hear(35.0)
    assert [(segment.start, segment.end) for segment in found.segments] == [(0.0, 20.0), (20.0, 35.0)]
    assert model.windows() == [3000, 2000], "30 s, then the 15 s from 20 s on"


def silence(model: Model) -> Says:
    return lambda _request, _frames: model.said(TEXT, 4.0, logprob=-1.2, no_speech=0.7)


def test_silence_is_no_text_and_says_so() -> None:
    ranked = {frames: [("en", 0.99)] for frames in (1000, 3000)}
    assert speaking(silence, languages=ranked).hear(4.0, language=None) == Transcript("", None, warnings=("no_speech",))


def test_what_is_probable_is_said_whatever_the_model_thinks_of_speech() -> None:
    model = speaking(lambda model: lambda _request, _frames: model.said(TEXT, 4.0, no_speech=0.9))
    assert model.hear(4.0).text == TEXT.strip()


def test_silence_after_text_is_no_news() -> None:
    def says(model: Model) -> Says:
        first = model.said(TEXT, 20.0)
        return lambda request, frames: (
            replace(first, tokens=(*first.tokens, time(20.0)))
            if len(model.decodes()) == 1
            else silence(model)(request, frames)
        )

    found = speaking(says).hear(35.0)
    assert (found.text, found.warnings) == (TEXT.strip(), ())


def test_a_short_rest_that_the_model_takes_for_silence_gets_no_text() -> None:
    def says(model: Model) -> Says:
        first = model.said(TEXT, 29.7)
        rest = model.said(" thank you for watching", 0.3, no_speech=0.7)
        return lambda _request, _frames: (
            replace(first, tokens=(*first.tokens, time(29.7))) if len(model.decodes()) == 1 else rest
        )

    model = speaking(says)
    found = model.hear(30.0)
    assert len(model.windows()) > 1
    assert (found.text, found.warnings) == (TEXT.strip(), ())


def looping(retried: Callable[[Model, Search], Decoded]) -> Model:
    def says(model: Model) -> Says:
        loop = model.said(TEXT, 3.0, compression_ratio=3.0, logprob=-0.1)
        return lambda request, _frames: loop if request.search == BEAM else retried(model, request.search)

    return speaking(says)


def test_a_short_loop_is_searched_in_other_ways_and_the_likeliest_is_taken() -> None:
    model = looping(
        lambda model, search: model.said(
            f" by {search.no_repeat_ngram_size}", 3.0, logprob=-0.5 if search.repetition_penalty > 1 else -0.7
        )
    )
    found = model.hear(3.0)
    assert (found.text, found.warnings) == ("by 3", ("repetition",))
    assert [request.search for request in model.decodes()[-2:]] == [
        Search(5, no_repeat_ngram_size=4),
        Search(5, no_repeat_ngram_size=3, repetition_penalty=1.15),
    ]


def test_a_loop_that_every_search_finds_is_the_text() -> None:
    model = looping(lambda model, _search: model.said(" no no no", 3.0, compression_ratio=2.5, logprob=-0.01))
    assert model.hear(3.0).text == TEXT.strip()


def test_a_draft_is_heard_once_whatever_comes_of_it() -> None:
    model = speaking(lambda model: lambda _request, _frames: model.said(TEXT, 3.0, compression_ratio=3.0, logprob=-2.0))
    model.languages = {600: [("en", 0.3), ("ru", 0.2)]}
    chunk = Chunk(np.ones(3 * SAMPLE_RATE, np.float32), ChunkOptions(draft=True))
    [found] = together([draft(chunk, model, MARGINS_S)], model.serve)  # type: ignore[arg-type]  # what it uses
    assert isinstance(found, Transcript), found
    assert (found.text, found.language, found.warnings) == (TEXT.strip(), "en", ("repetition",))
    assert model.windows() == [600]
    assert [request.search for request in model.decodes()] == [Search(1)]


def test_a_draft_that_does_not_end_is_cut_off_and_not_worth_showing() -> None:
    model = speaking(lambda model: lambda _request, _frames: replace(model.said(TEXT, 2.0), truncated=True))
    for options, warnings in ((ChunkOptions("en", draft=True), ("repetition",)), (ChunkOptions("en"), ())):
        chunk = Chunk(np.ones(2 * SAMPLE_RATE, np.float32), options)
        hearing = draft(chunk, model, MARGINS_S) if options.draft else hear(chunk, model, Search(1), MARGINS_S)  # type: ignore[arg-type]  # what it uses
        [found] = together([hearing], model.serve)
        assert isinstance(found, Transcript), found
        assert found.warnings == warnings
    assert [request.limit for request in model.decodes()][:2] == [50, 112]


def test_a_long_loop_is_left_to_who_can_cut_the_chunk() -> None:
    model = looping(lambda _model, search: pytest.fail(f"{search} is of no use"))
    assert model.hear(5.0).warnings == ()


def test_words_have_times_of_the_chunk_and_segments_those_of_their_words() -> None:
    model = speaking(lambda model: lambda _request, _frames: model.said(" one two three four", 1.9))
    [segment] = model.hear(2.0, word_timestamps=True).segments
    assert segment.words is not None
    assert [(word.word, word.start, word.end) for word in segment.words] == [
        (" one", 0.0, 0.5),
        (" two", 0.5, 1.0),
        (" three", 1.0, 1.5),
        (" four", 1.5, 2.0),
    ]
    assert (segment.start, segment.end) == (0.0, 2.0)
    [align] = [request for request in model.asked if isinstance(request, Align)]
    assert (align.start, align.frames) == ((START,), 200), "the padding has no words"


def test_nothing_ends_after_the_chunk() -> None:
    model = speaking(lambda model: lambda _request, _frames: model.said(TEXT, 4.9))
    assert [segment.end for segment in model.hear(4.2).segments] == [4.2]


def test_earlier_text_and_hotwords_share_half_of_the_context() -> None:
    model = speaking(well)
    many = " ".join(f"w{number}" for number in range(400))
    hotwords = tuple(f"h{number}" for number in range(400))
    ends = {}
    said: dict[str, Any] = {"prompt": many, "hotwords": hotwords}
    for name, options in (("prompt", {"prompt": many}), ("hotwords", {"hotwords": hotwords}), ("both", said)):
        model.hear(4.0, **options)
        prompt = model.decodes()[-1].prompt
        assert (prompt[0], prompt[-1], len(prompt)) == (BEFORE, START, 223 + 2)
        ends[name] = model.words.decode(prompt[1:-1]).split()
    assert ends["prompt"] == [f"w{number}" for number in range(177, 400)], "the latest of what was said"
    assert ends["hotwords"][:2] == ["h0,", "h1,"]
    assert ends["both"][:111] == ends["hotwords"][:111]
    assert ends["both"][111:] == [f"w{number}" for number in range(400 - 112, 400)]
    model.hear(4.0)
    assert model.decodes()[-1].prompt == (START,)


def test_a_text_has_no_more_tokens_than_can_be_said() -> None:
    model = speaking(well)
    model.hear(4.0)
    model.hear(20.0)
    assert [request.limit for request in (model.decodes()[0], model.decodes()[-1])] == [32 + 40 * 4, 448 - 1]


def test_a_text_that_was_cut_off_says_so() -> None:
    model = speaking(lambda model: lambda _request, _frames: model.said(TEXT, 4.0, truncated=True))
    assert model.hear(4.0).truncated
    assert not speaking(well).hear(4.0).truncated
