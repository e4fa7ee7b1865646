"""Make the clips with espeak-ng: `cd tests && python -m qwen_checkpoint.speak`. Needs espeak-ng on the PATH."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import librosa
import soundfile
from qwen_checkpoint.corpus import CLIPS, SENTENCES, Sentence

RATE = 16_000
_VOICES = {"en": "en-us", "ru": "ru"}
_WORDS_PER_MINUTE = 160


def speak(sentence: Sentence, scratch: Path) -> None:
    """Write one clip."""
    spoken = scratch / f"{sentence.id}.wav"
    voice = _VOICES[sentence.language]
    subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(_WORDS_PER_MINUTE), "-w", str(spoken), sentence.text], check=True
    )
    samples, _ = librosa.load(spoken, sr=RATE, mono=True)
    soundfile.write(sentence.clip, samples, RATE, subtype="PCM_16")


if __name__ == "__main__":
    CLIPS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for each in SENTENCES:
            speak(each, Path(folder))
