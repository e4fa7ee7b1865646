"""Whether a model can do what is asked: one decision, before any work and again for each chunk."""

from __future__ import annotations

from asrq_jobs import languages
from asrq_jobs.errors import UnsupportedOptionError
from asrq_worker.backends.base import Capabilities, ChunkOptions

_FEW = 12


def unsupported(options: ChunkOptions, can: Capabilities, *, backend: str, model: str) -> UnsupportedOptionError | None:
    """Return the error that names the first option that cannot be served, or None if all can."""
    asked = options.languages if options.language is None else (options.language,)
    if asked and not can.languages:
        return UnsupportedOptionError(
            f"The model {model} cannot be told the language ({', '.join(asked)}).",
            hint="Leave it to auto; to an inference server it can be told with ASRQ_SERVER_API=transcriptions.",
        )
    for language in asked:
        if language not in can.languages:
            return UnsupportedOptionError(
                f"The model {model} does not know {languages.NAMES.get(language, 'the language')} ({language}).",
                hint=f"It knows {_known(can)}. Use another model for this language.",
            )
    if options.language is None and not can.detects_language:
        # Not even if it knows only one language: it would answer in that one for any speech.
        return UnsupportedOptionError(
            f"The model {model} cannot tell which language is spoken (language=auto).",
            hint=f"It knows {_known(can)}: name one as `language` (option --language), or use a model that knows more, "
            "such as base.",
        )
    for option, asked_for, possible in (
        (f"task={options.task}", True, options.task in can.tasks),
        ("word_timestamps", options.word_timestamps, can.word_timestamps),
        ("prompt", options.prompt is not None, can.prompt),
        ("hotwords", bool(options.hotwords), can.hotwords),
    ):
        if asked_for and not possible:
            return UnsupportedOptionError(
                f"The backend {backend} with the model {model} cannot do {option}.",
                hint="Leave the option out, or use a worker with another backend or model.",
            )
    return None


def _known(can: Capabilities) -> str:
    if len(can.languages) > _FEW:
        return f"{len(can.languages)} languages"
    return ", ".join(f"{languages.NAMES.get(code, code)} ({code})" for code in sorted(can.languages))
