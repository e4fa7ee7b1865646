"""What subtitle norms demand, measured on cues without the code that makes them."""

from __future__ import annotations

from collections.abc import Sequence

from asrq_jobs.result import Segment
from asrq_jobs.subtitles import NORMS, Norms, cues


def faults(segments: Sequence[Segment], duration: float, norms: Norms = NORMS) -> list[str]:
    """Return what is wrong with the cues of segments."""
    found = cues(segments, duration, norms)
    limit = round(duration * 1000)
    room = limit >= norms.shortest_ms * len(found)
    said = "".join("".join(segment.text for segment in segments).split())
    wrong = (
        [] if "".join("".join("".join(cue.lines) for cue in found).split()) == said else ["text was lost or made up"]
    )
    for index, cue in enumerate(found):
        latest = cue.start_ms + norms.longest_ms
        bound = found[index + 1].start_ms if index + 1 < len(found) else limit
        lasts, size = cue.end_ms - cue.start_ms, sum(map(len, cue.lines))
        wrong += [
            f"{name}: {cue}"
            for name, so in (
                ("lines", not 1 <= len(cue.lines) <= norms.lines),
                ("wide", any(len(line) > norms.line_chars or line != line.strip() or not line for line in cue.lines)),
                ("wordy", norms.line_words and any(len(line.split()) > norms.line_words for line in cue.lines)),
                ("short", room and lasts < norms.shortest_ms),
                ("long", lasts > norms.longest_ms),
                ("overlapping", cue.end_ms > bound and (index + 1 < len(found) or limit >= len(found))),
                # Where the speech allows: no cue that is too fast has time left behind it.
                ("fast", size * 1000 > norms.chars_per_s * lasts and cue.end_ms < min(bound, latest)),
            )
            if so
        ]
    return wrong
