"""Makes the synthetic speech that the repository ships; run by hand, its output is committed.

    python ops/make_test_audio.py

Needs espeak-ng (`apt-get install espeak-ng`) and the extra `worker`. The voices and speeds are those at which Whisper
tiny.en (English) and base (Russian) understand every word.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av

REPO = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Sample:
    """One recording: where it goes (a text file beside it gets the words), and how it is spoken."""

    path: Path
    voice: str
    words_per_minute: int
    text: str


SAMPLES = (
    Sample(
        REPO / "worker/asrq_worker/data/demo.ogg",
        "en-us+m3",
        150,
        "Good morning. This is a short recording for the first test. A worker takes it from the queue, "
        "turns the speech into text, and writes the result back. Nothing is lost.",
    ),
    Sample(
        REPO / "tests/data/hello-en.flac",
        "en-us",
        130,
        "Good morning, everyone. Please open the window, and close the door when you leave.",
    ),
    Sample(
        REPO / "tests/data/hello-ru.flac",
        "ru",
        130,
        "Доброе утро. Сегодня хорошая погода. Мы будем смотреть новый фильм.",
    ),
)


def speak(sample: Sample) -> None:
    """Write one sample as 16 kHz mono, FLAC or (Ogg) Opus, and its text."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder) / "spoken.wav"
        subprocess.run(  # noqa: S603  # our own arguments
            ["espeak-ng", "-v", sample.voice, "-s", str(sample.words_per_minute), "-w", str(spoken), sample.text],  # noqa: S607  # wherever it is installed
            check=True,
        )
        sample.path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(spoken)) as source, av.open(str(sample.path), "w", options={"fflags": "+bitexact"}) as target:
            codec = {".flac": "flac", ".ogg": "libopus"}[sample.path.suffix]
            stream = target.add_stream(codec, rate=16_000, layout="mono")
            stream.bit_rate = 32_000  # of Opus; FLAC takes what it needs
            resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
            for frame in [*source.decode(audio=0), None]:
                for resampled in resampler.resample(frame):
                    target.mux(stream.encode(resampled))
            target.mux(stream.encode(None))
    sample.path.with_suffix(".txt").write_text(sample.text + "\n", encoding="utf-8")


if __name__ == "__main__":
    for each in SAMPLES:
        speak(each)
