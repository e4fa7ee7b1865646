"""Where on a file's own time line decoded sound belongs: from time stamps to the silence before each piece.

Pure. What a player does: sound may begin late or have gaps, time stamps may jitter, begin anew or be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

_JITTER_S = 0.1  # clocks of recorders, milliseconds of Matroska, encoder delays: no pause that anybody made
_RESTART_S = 1.0  # back by more than this: another recording was appended
_SLACK = 1.1  # a stated length is wrong by less than this,
_SLACK_S = 10.0  # or this

# In these, zero is where a player begins; in all others, the first time stamp is, at any value.
_BEGIN_AT_ZERO = frozenset({"avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
_LATEST_S = 60.0  # and later than this, such a file is a piece of something that ran before it
# Broadcasts: clocks of different programmes follow each other, and only short jumps are losses.
_CLOCKS_CHANGE = frozenset({"mpeg", "mpegts"})
_LONGEST_LOSS_S = 60.0
# These have none of their own: FFmpeg counts frames, all as if they were like the first.
_NO_TIME_STAMPS = frozenset({"aac", "ac3", "dts", "eac3", "mp3"})
_STATE_LENGTH = frozenset({"asf", "avi", "flv", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "rm"})


@dataclass(frozen=True)
class Clock:
    """What is known of a file's time stamps. `origin_s`: the one that a player shows as zero, None for the first;
    `end_s`: none is later than this; `longest_gap_s`: where one jumps further, the clock was changed."""

    origin_s: float | None = None
    end_s: float = float("inf")
    longest_gap_s: float = float("inf")


def clock(container: str, *, start_s: float | None, stated_s: float | None) -> Clock:
    """Return what FFmpeg's demuxer says of a file, as far as it can be relied on.

    `start_s` is the first time stamp of all streams, `stated_s` the length.
    """
    if container in _NO_TIME_STAMPS:
        return Clock(end_s=float("-inf"))
    if start_s is None:
        return Clock()
    zero = container in _BEGIN_AT_ZERO and start_s < _LATEST_S
    origin_s = min(0.0, start_s) if zero else start_s
    longest_gap_s = _LONGEST_LOSS_S if container in _CLOCKS_CHANGE else float("inf")
    if stated_s is None or container not in _STATE_LENGTH:
        return Clock(origin_s, longest_gap_s=longest_gap_s)
    return Clock(origin_s, max(0.0, start_s) + stated_s * _SLACK + _SLACK_S, longest_gap_s)


class Timeline:
    """Places pieces of sound one after the other. Never drops one: what overlaps follows at once, and the next gap is
    the shorter."""

    def __init__(self, clock: Clock) -> None:
        """`position_s` is where the next piece would begin, from the start of the file."""
        self.position_s = 0.0
        self._clock = clock
        self._origin_s = clock.origin_s
        self._next_s: float | None = None

    def place(self, time_s: float | None, length_s: float) -> float:
        """Return the seconds of silence before a piece whose time stamp is `time_s`, and move on to its end.

        A piece without a time stamp, or with one that cannot be, follows at once.
        """
        gap_s = 0.0
        if time_s is not None and time_s <= self._clock.end_s:
            gap_s = self._gap(time_s)
            self._next_s = time_s + length_s
        elif self._next_s is not None:
            self._next_s += length_s
        self.position_s += gap_s + length_s
        return gap_s

    def _gap(self, time_s: float) -> float:
        if self._origin_s is None:
            self._origin_s = time_s
        if self._next_s is not None and not -_RESTART_S < time_s - self._next_s <= self._clock.longest_gap_s:
            self._origin_s = time_s - self.position_s
        gap_s = time_s - self._origin_s - self.position_s
        return gap_s if gap_s > _JITTER_S else 0.0
