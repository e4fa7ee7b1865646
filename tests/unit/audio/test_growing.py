"""A recording that comes bit by bit gives the samples and the speech of the same sound as a file."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
import pytest
from support.speaking import RATE, file_of, spoken

pytest.importorskip("av")
pytest.importorskip("faster_whisper")

from asrq_worker.audio import media, speech
from asrq_worker.audio.growing import Growing
from asrq_worker.audio.work import Work
from asrq_worker.backends.base import SAMPLE_RATE, Samples

SENTENCES = np.frombuffer(spoken("hello-en", "hello-ru"), "<i2")
LONG = np.tile(SENTENCES, 8)  # more than a block
SOUNDS = {
    "speech": LONG,
    "silence first": np.concatenate([np.zeros(5 * RATE, "<i2"), SENTENCES]),
    "faint": (SENTENCES * 0.005).astype("<i2"),
    "clipped": np.clip(SENTENCES.astype(np.int32) * 40, -32768, 32767).astype("<i2"),
    "silence": np.zeros(3 * RATE, "<i2"),
}


def write(out: io.BytesIO, samples: Samples) -> None:
    out.seek(0, io.SEEK_END)
    out.write(samples.astype("<f4").tobytes())


def as_file(sound: bytes) -> tuple[bytes, list[speech.Span]]:
    out = io.BytesIO()
    content = file_of(sound)
    decoded = media.decode(
        io.BytesIO(content),
        choose=lambda _tracks: 1,
        work=Work(len(content)),
        longest_s=1000,
        write=lambda samples: write(out, samples),
        on_progress=lambda _seconds: None,
    )
    return out.getvalue(), speech.find(out, decoded.samples, on_block=lambda: None)


@pytest.mark.parametrize("name", SOUNDS)
def test_it_is_heard_as_the_file_is(name: str, tmp_path: Path) -> None:
    sound, source, steps = SOUNDS[name].tobytes(), random.Random(name), 0  # noqa: S311  # sizes of frames
    samples, spans = as_file(sound)
    (tmp_path / "raw").write_bytes(sound)
    out = io.BytesIO()
    with (tmp_path / "raw").open("rb") as raw:
        growing = Growing(
            raw,
            out,
            encoding="pcm_s16le",
            sample_rate=RATE,
            channels=1,
            longest_s=1000,
            write=lambda part: write(out, part),
            on_progress=lambda _seconds: None,
        )
        at, until, known, spoken_s = 0, 0, 0, 0.0
        while at < len(sound):
            at = min(len(sound), at + source.randint(1, 5 * RATE) * 2)
            settled, changing, later = growing.take(at)
            assert growing.samples > at / 2 * SAMPLE_RATE / RATE - SAMPLE_RATE / 10, "what was said last is heard"
            assert speech.keep_beginning([*settled, *changing]) == [*settled, *changing]
            assert all(stop > later for _, stop in changing)
            spoken_s += sum(stop - start for start, stop in changing) / RATE
            assert settled == spans[: len(settled)]
            assert later >= until
            assert all(start >= later for start, _ in spans[len(settled) :])
            steps += len(settled) > known
            until, known = later, len(settled)
        assert growing.end(len(sound)) == spans
    assert out.getvalue() == samples
    assert (steps > 0) == (name in {"speech", "silence first", "clipped"}), "what is faint is settled late"
    assert bool(spans) == (name != "silence") == bool(spoken_s)
