"""What must hold of the sound of live jobs after each step."""

from __future__ import annotations

from collections.abc import Iterator

from simulation.facts import Frame, JobFacts

_TAKERS = frozenset({"end_execution.lua", "cancel.lua", "purge.lua", "erase.lua"})
_GONE = frozenset({"", "finished", "canceled"})


def frame(number: int) -> str:
    """What is said in a frame, as samples and as text."""
    return f"{number:03d} "


class Sounds:
    """Watches them in a run, of which it remembers when somebody spoke last."""

    def __init__(self, live: frozenset[str], idle_s: float) -> None:
        """`live`: the jobs that are."""
        self._live = live
        self._idle_s = idle_s
        self._spoke_at: dict[str, float] = {}
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

    def forget(self) -> None:
        """The server has lost what was written: a worker may have heard more than there is."""
        self._lost = True

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
        if last.number != f"{len(frames)}-0" or (last.kind == "audio" and last.value != frame(len(frames))):
            yield f"frame {len(frames)} is {last}"
        if last.value == "interrupted" and now - (since := self._spoke_at.get(job_id, 0.0)) < self._idle_s:
            yield f"it was interrupted {now - since:.1f} s after it had been spoken"
        self._spoke_at[job_id] = now


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
