"""Languages at the border: ISO 639-1 codes (and the few ISO 639-3 ones that Whisper's model card lists).

The union of what Whisper and Qwen3-ASR can be asked for. A backend may know fewer and says so in its
capabilities; it maps these codes to its own names.
"""

from __future__ import annotations

import difflib

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


def normalize(language: str | None) -> str:
    """Return the code for what a user wrote: a code or an English name in any case, or `auto`.

    Raises:
        UnknownLanguageError: nothing like it is known; the hint names the nearest.
    """
    wanted = (language or AUTO).strip().lower()
    if wanted == AUTO or wanted in NAMES:
        return wanted
    by_name = {name.lower(): code for code, name in NAMES.items()}
    if wanted in by_name:
        return by_name[wanted]
    near = difflib.get_close_matches(wanted, [*NAMES, *by_name], n=1)
    meant = f"Did you mean {by_name.get(near[0], near[0])!r}? " if near else ""
    raise UnknownLanguageError(
        f"Unknown language {language!r}.", hint=f"{meant}Use an ISO 639-1 code such as ru or en, or auto."
    )
