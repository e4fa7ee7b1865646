"""Languages at the border: what people and programs write, and the codes that the protocol has.

The codes are those of Whisper's model card: ISO 639-1, and three more where that has none (haw, yue) or has changed
(jw, now jv). They are the union of what Whisper and Qwen3-ASR can be asked for; a backend may know fewer and says so in
its capabilities. BCP 47 tags are read with `langcodes`, which has the registry's replacements and macrolanguages.
"""

from __future__ import annotations

import difflib
import re

from asrq_jobs.errors import UnknownLanguageError

AUTO = "auto"

NAMES: dict[str, str] = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "as": "Assamese", "az": "Azerbaijani", "ba": "Bashkir",
    "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "bo": "Tibetan", "br": "Breton", "bs": "Bosnian",
    "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fo": "Faroese",
    "fr": "French", "gl": "Galician", "gu": "Gujarati", "ha": "Hausa", "haw": "Hawaiian", "he": "Hebrew",
    "hi": "Hindi", "hr": "Croatian", "ht": "Haitian Creole", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "jw": "Javanese", "ka": "Georgian",
    "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "la": "Latin", "lb": "Luxembourgish",
    "ln": "Lingala", "lo": "Lao", "lt": "Lithuanian", "lv": "Latvian", "mg": "Malagasy", "mi": "Maori",
    "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian", "mr": "Marathi", "ms": "Malay", "mt": "Maltese",
    "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "nn": "Norwegian Nynorsk", "no": "Norwegian", "oc": "Occitan",
    "pa": "Punjabi", "pl": "Polish", "ps": "Pashto", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sa": "Sanskrit", "sd": "Sindhi", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "sn": "Shona",
    "so": "Somali", "sq": "Albanian", "sr": "Serbian", "su": "Sundanese", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil", "te": "Telugu", "tg": "Tajik", "th": "Thai", "tk": "Turkmen", "tl": "Filipino", "tr": "Turkish",
    "tt": "Tatar", "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "yi": "Yiddish",
    "yo": "Yoruba", "yue": "Cantonese", "zh": "Chinese",
}  # fmt: skip

# What Whisper's tokenizer calls these: in OpenAI's `verbose_json`, a language is one of its names.
_WHISPERS_NAMES = {"my": "myanmar", "nn": "nynorsk", "tl": "tagalog"}
# Its other names (`TO_LANGUAGE_CODE` in openai-whisper).
_ALIASES = {
    "burmese": "my", "valencian": "ca", "flemish": "nl", "haitian": "ht", "letzeburgesch": "lb", "pushto": "ps",
    "panjabi": "pa", "moldavian": "ro", "moldovan": "ro", "sinhalese": "si", "castilian": "es", "mandarin": "zh",
    "bokmål": "no", "norwegian bokmål": "no", "farsi": "fa",
}  # fmt: skip
# Where the registry's code of today is not the one that Whisper was trained with.
_TODAYS = {"jv": "jw", "fil": "tl", "nb": "no"}
_NOT_BELOW = 0.9  # of similarity: one slip in a word; with two, one language's name is another's


def normalize(language: str | None) -> str:
    """Return the code for what was written: a code, a BCP 47 tag or an English name in any case, or `auto`.

    Raises:
        UnknownLanguageError: it is none that the models know; the hint names one only after a slip of the pen.
    """
    wanted = (language or AUTO).strip().lower()
    if wanted == AUTO or wanted in NAMES:
        return wanted
    names = _codes_by_name()
    code = names.get(re.sub(r"[\s_-]+", " ", wanted)) or _code_of_tag(wanted)
    if code is not None:
        return code
    alike = [name for name in names if name[:1] == wanted[:1]]  # Aromanian is not Romanian
    near = difflib.get_close_matches(wanted, alike, n=1, cutoff=_NOT_BELOW)
    meant = f"Did you mean {names[near[0]]!r} ({NAMES[names[near[0]]]})? " if near else ""
    several = "Several go into languages, which auto chooses among. " if "," in wanted else ""
    raise UnknownLanguageError(
        f"Unknown language {language!r}.",
        hint=f"{meant or several}Use a code such as ru, en or pt-BR, a name such as English, or auto.",
    )


def whispers_name(code: str) -> str:
    """Return a language's name in OpenAI's `verbose_json`: English, in lower case; an unknown code stays as it is."""
    return _WHISPERS_NAMES.get(code) or NAMES.get(code, code).lower()


def _codes_by_name() -> dict[str, str]:
    by_name = {name.lower(): code for code, name in NAMES.items()}
    return by_name | {name: code for code, name in _WHISPERS_NAMES.items()} | _ALIASES


def _code_of_tag(text: str) -> str | None:
    """Return the code for the language of a tag: its region, script and variants say how it is written or spoken."""
    import langcodes  # few need it, and it takes a tenth of a second

    tag = re.split("[.@]", text)[0]  # a locale's encoding and modifier, as in $LANG
    try:
        standard = langcodes.standardize_tag(tag, macro=True)
    except ValueError:
        return None
    primary = standard.partition("-")[0]
    primary = _TODAYS.get(primary, primary)
    return primary if primary in NAMES else None
