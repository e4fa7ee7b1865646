"""Which audio track is heard, and what is said of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from asrq_jobs.errors import AudioTooLongError, AudioUnreadableError, NoAudioStreamError
from asrq_worker.audio.tracks import Choose, Track, by_preference, listen


@dataclass(frozen=True)
class Sound:
    number: int
    spans: tuple[int, ...]


class File:
    """Tracks as a word for each: `spoken`, `silent`, `damaged`; `default` is the number of the one marked so."""

    def __init__(self, *kinds: str, default: int = 0) -> None:
        self.kinds = kinds
        self.tracks = [Track(number, number == default, known=True) for number in range(1, len(kinds) + 1)]
        self.decoded: list[int] = []

    def hear(self, choose: Choose) -> Sound:
        number = choose(self.tracks)
        self.decoded.append(number)
        if self.kinds[number - 1] == "damaged":
            raise AudioUnreadableError(f"Track {number} is damaged.")
        return Sound(number, (1,) if self.kinds[number - 1] == "spoken" else ())


@pytest.mark.parametrize(
    ("file", "number", "others"),
    [
        (File("spoken"), 1, False),
        (File("silent"), 1, False),
        (File("spoken", "spoken"), 1, True),
        (File("spoken", "spoken", default=2), 2, True),
        (File("silent", "spoken"), 2, False),
        (File("silent", "spoken", "spoken"), 2, True),
        (File("spoken", "silent", "spoken", default=2), 1, True),
        (File("silent", "silent", default=2), 2, False),
        (File("damaged", "spoken"), 2, True),
        (File("damaged", "silent", "silent"), 2, True),
        (File(*["silent"] * 20, "spoken"), 1, True),
    ],
    ids=lambda value: "-".join(value.kinds[:3]) if isinstance(value, File) else None,
)
def test_the_default_one_or_the_first_that_is_not_silent(file: File, number: int, others: bool) -> None:
    sound, more = listen(None, file.hear)
    assert (sound.number, more) == (number, others)
    assert len(file.decoded) <= 9


@pytest.mark.parametrize("number", [1, 2])
def test_the_one_asked_for_is_taken_as_it_is(number: int) -> None:
    file = File("silent", "spoken", default=2)
    assert listen(number, file.hear) == (Sound(number, file.hear(lambda _: number).spans), False)
    assert file.decoded[0] == number


@pytest.mark.parametrize(("kinds", "count"), [(["spoken"], "one audio track"), (["spoken"] * 2, "2 audio tracks")])
def test_one_that_is_not_there(kinds: list[str], count: str) -> None:
    with pytest.raises(NoAudioStreamError, match=f"The file has {count}, and no track 3."):
        listen(3, File(*kinds).hear)


def test_if_none_can_be_decoded_the_best_says_why() -> None:
    with pytest.raises(AudioUnreadableError, match="Track 2"):
        listen(None, File("damaged", "damaged", default=2).hear)
    with pytest.raises(AudioUnreadableError, match="Track 1"):
        listen(1, File("damaged", "spoken").hear)


def test_what_is_wrong_with_the_whole_file_is_not_tried_again() -> None:
    asked: list[Choose] = []

    def broken(choose: Choose) -> Sound:
        asked.append(choose)
        raise AudioUnreadableError("No container.")

    def long(choose: Choose) -> Sound:
        choose([Track(1, default=True, known=True), Track(2, default=False, known=True)])
        raise AudioTooLongError("Too long.")

    with pytest.raises(AudioUnreadableError):
        listen(None, broken)
    assert len(asked) == 1
    with pytest.raises(AudioTooLongError):
        listen(None, long)


def test_tracks_of_an_unknown_kind_come_last() -> None:
    tracks: Sequence[Track] = [Track(1, default=True, known=False), Track(2, default=False, known=True)]
    assert by_preference(tracks) == (2, 1)
