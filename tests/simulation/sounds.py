"""What must hold of the sound of live jobs after each step."""

from __future__ import annotations

from collections.abc import Iterator

from simulation.facts import Frame, JobFacts

_TAKERS = frozenset({"end_execution.lua", "cancel.lua", "purge.lua", "erase.lua"})
_GONE = frozenset({"", "finished", "canceled"})


def frame(number: int) -> str:
    """What is said in a frame, as samples and as text."""
    return f"{number:03d} "


STRAY = frame(999)
"""What somebody else sends, under the number of a frame that is there; it is taken where the server has lost that."""


class Sounds:
    """Watches them in a run, of which it remembers when somebody spoke last."""

    def __init__(self, live: frozenset[str], idle_s: float) -> None:
        """`live`: the jobs that are."""
        self._live = live
        self._idle_s = idle_s
        self._spoke_at: dict[str, list[float]] = {}
        self._lost = False

    def step(self, job_id: str, was: JobFacts | None, job: JobFacts, script: str, now: float) -> Iterator[str]:
        """Yield what is wrong with a step that changed a job."""
        before = was.frames if was else ()
        if job.frames != before:
            yield from (f"{job_id}: {script}: {claim}" for claim in self._of_change(job_id, before, job, script, now))
        if job.frames and job.sound_ttl == -1:
            yield f"{job_id}: its sound never expires"
        if job.frames and job.status in _GONE:
            yield f"{job_id}: it is {job.status or 'gone'} and has sound"
        live = job_id in self._live and not self._lost
        if live and was is not None and job.ended == "completed" and was.ended != "completed":
            yield from (f"{job_id}: {claim}" for claim in _of_text(before, job))

    def forget(self, since: float) -> None:
        """The server has lost what was written: a worker may have heard more than there is."""
        self._lost = True
        self._spoke_at = {job_id: [at for at in times if at <= since] for job_id, times in self._spoke_at.items()}

    def _of_change(
        self, job_id: str, before: tuple[Frame, ...], job: JobFacts, script: str, now: float
    ) -> Iterator[str]:
        frames = job.frames
        if not frames:
            if script not in _TAKERS:
                yield "its sound is gone"
            return
        if script != "append.lua" or frames[:-1] != before:
            yield f"it makes {frames} of {before}"
        if any(each.kind == "end" for each in before):
            yield "it adds to a recording that has ended"
        last = frames[-1]
        right = last.kind == "end" or last.value == frame(len(frames)) or (self._lost and last.value == STRAY)
        if last.number != f"{len(frames)}-0" or not right:
            yield f"frame {len(frames)} is {last}"
        spoken = self._spoke_at.setdefault(job_id, [])
        if last.value == "interrupted" and spoken and now - spoken[-1] < self._idle_s:
            yield f"it was interrupted {now - spoken[-1]:.1f} s after it had been spoken"
        spoken.append(now)


def _of_text(frames: tuple[Frame, ...], job: JobFacts) -> Iterator[str]:
    outcome = job.outcome or {}
    end = frames[-1] if frames else None
    if end is None or end.kind != "end":
        yield "it is completed before its recording has ended"
        return
    if outcome["text"] != (right := "".join(each.value for each in frames[:-1])):
        yield f"it heard {outcome['text']!r} of {right!r}"
    if ("live_interrupted" in outcome["warnings"]) != (end.value == "interrupted"):
        yield f"it ended with {end.value} and warns of {outcome['warnings']}"
