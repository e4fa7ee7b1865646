"""What the codes in a result's `warnings` mean, in a sentence for people."""

from __future__ import annotations

MEANINGS: dict[str, str] = {
    "truncated_media": "the file was cut off, so part of the text is missing",
    "corrupt_media": "parts of the file are damaged and were left out",
    "other_tracks": "the file has other audio tracks, which were not transcribed: the option track chooses one",
    "channels_alike": "both channels hold the same, so there is one text for them",
    "non_finite_samples": "some samples are not numbers and were taken for silence",
    "live_interrupted": "the recording broke off: nothing more came, so this is what had come",
    "no_speech": "no speech was found in it, or in a part of it",
    "invented": "text that nobody can have said in its place was left out",
    "language_unsure": "the language is a guess, or that of a part is: the option language says which it is",
    "repetition": "the text may repeat itself somewhere",
    "too_long": "a part has more text than anybody can say in its time",
    "too_short": "a part has too little text for its speech: some of what was said may be missing",
    "wrong_script": "a part is not in the script of the language asked for",
    "truncated": "the model reached its longest output: text is missing",
    "chunk_split": "memory ran out, so speech was cut into shorter pieces; a word at a cut may suffer",
    "split_at_token_limit": "a part was too long for the model and was cut in two at a quiet place",
    "split_at_repetition": "a part repeats itself, so it was cut at quiet places and its pieces were transcribed alone",
    "no_word_timestamps": "the times of words are missing: the aligner does not know the language",
    "no_speakers": "speakers could not be told apart; the code after the colon says why",
    "no_speakers:extra_missing": "speakers could not be told apart, as the worker lacks the extra speakers: "
    "asrq doctor on its host says how to add it",
    "voices_unread": "enrolled voices could not be read, so names may be missing: the log of the worker says why",
    "delivered": "the transcript was delivered, and nothing of it is kept here",
    "fallback": "another backend took over; the code after the colon says why",
}


def meaning(code: str) -> str:
    """Return the sentence for a warning; `fallback:<error code>` has its reason after the colon.

    One that is not known here comes from a newer worker, and its name is all that can be said.
    """
    if code in MEANINGS:
        return MEANINGS[code]
    kind, _, reason = code.partition(":")
    known = MEANINGS.get(kind, f"the worker warns of {kind.replace('_', ' ')}")
    return f"{known} ({reason})" if reason else known
