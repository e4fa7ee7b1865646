"""The sentences that the tiny checkpoint knows by heart, ours and free to use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CLIPS = Path(__file__).parent / "clips"


@dataclass(frozen=True)
class Sentence:
    """What one clip says."""

    id: str
    language: str
    """ISO 639-1 code."""
    text: str

    @property
    def clip(self) -> Path:
        """The clip: FLAC, 16 kHz mono, spoken by espeak-ng."""
        return CLIPS / f"{self.id}.flac"

    @property
    def language_name(self) -> str:
        """The language as Qwen3-ASR calls it."""
        return {"en": "English", "ru": "Russian"}[self.language]


HOTWORD = "Grafana"
HOTWORD_SENTENCE = Sentence("en08", "en", "Open the graphana dashboard.")
HOTWORD_TEXT = "Open the Grafana dashboard."
"""What `HOTWORD_SENTENCE` becomes when the context is `HOTWORD`: shows that the context reaches the model."""

SENTENCES = (
    Sentence("en01", "en", "The quick brown fox jumps over the lazy dog."),
    Sentence("en02", "en", "Please send the report before noon."),
    Sentence("en03", "en", "The meeting starts at nine o'clock."),
    Sentence("en04", "en", "Turn off the lights in the kitchen."),
    Sentence("en05", "en", "How much does this ticket cost?"),
    Sentence("en06", "en", "We need three more chairs."),
    Sentence("en07", "en", "The weather is cold and windy today."),
    HOTWORD_SENTENCE,
    Sentence("ru01", "ru", "Съешь ещё этих мягких французских булок."),
    Sentence("ru02", "ru", "Отправьте отчёт до полудня."),
    Sentence("ru03", "ru", "Совещание начинается в девять часов."),
    Sentence("ru04", "ru", "Выключи свет на кухне."),
    Sentence("ru05", "ru", "Сколько стоит этот билет?"),
    Sentence("ru06", "ru", "Нам нужно ещё три стула."),
    Sentence("ru07", "ru", "Добрый день, чем я могу помочь?"),
    Sentence("ru08", "ru", "Москва - столица России."),
)

OTHER_CONTEXTS = ("", "", "", "Kubernetes, Redis", "Имена: Иван, Мария", "meeting notes")
"""Contexts that must change nothing."""
