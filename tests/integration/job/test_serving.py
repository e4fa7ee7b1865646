"""A job on the backends of one host: which one it goes to, and what is told of each."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

import numpy as np
import pytest
from integration.job.journals import Notes
from support.waiting import soon

from asrq_jobs.errors import (
    AudioUnreadableError,
    CanceledError,
    EngineCrashedError,
    InferenceError,
    ModelMissingError,
    ShutdownError,
    UnsupportedOptionError,
)
from asrq_jobs.policy import Policy
from asrq_jobs.request import PathAudio, Request
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.audio.decoder import DecoderPool
from asrq_worker.audio.sound import DecodedAudio
from asrq_worker.audio.source import Fetcher, LocalAudio
from asrq_worker.backends.base import SAMPLE_RATE, BackendConfig
from asrq_worker.engine.breaker import BreakerState
from asrq_worker.engine.engine import Engine
from asrq_worker.engine.fleet import Fleet, Member
from asrq_worker.job import inference
from asrq_worker.job.control import JobControl
from asrq_worker.job.hearing import InferenceJob
from asrq_worker.job.journal import Journal
from asrq_worker.job.pipeline import Pipeline
from asrq_worker.job.shadow import Shadow, _Nowhere
from asrq_worker.job.transcription import Transcription
from asrq_worker.routing.offers import Need, refusal
from asrq_worker.routing.policy import BackendOutcome
from asrq_worker.speakers import listener
from asrq_worker.speakers.clusters import Turn
from asrq_worker.speakers.listener import Told
from asrq_worker.storage.spool import Spool
from asrq_worker.storage.watch import StorageWatch

SECONDS = 5


class OneFile:
    """Stands where audio is fetched and decoded: always the same, `spans` being the speech in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.spans: tuple[tuple[int, int], ...] = ((0, SECONDS * SAMPLE_RATE),)

    def fetch(self, _audio: object, _check: object) -> LocalAudio:
        return LocalAudio(io.BytesIO(), 1, "0" * 64, "a.wav")

    def decode(self, _source: BinaryIO, samples: Path, *, track: int | None, **_: object) -> DecodedAudio:
        noise = np.random.default_rng(1).normal(scale=0.1, size=SECONDS * SAMPLE_RATE)
        noise.astype("<f4").tofile(samples)
        return DecodedAudio(samples, len(noise), self.spans, "wav", "pcm", SAMPLE_RATE, 1, (), track or 1, tracks=3)


@dataclass
class Host:
    """One host. `models`: what its backends load, as commands to the fake one; `told`: what it was told of them."""

    policy: Policy
    models: dict[str, str]
    told: list[tuple[str, BackendOutcome]] = field(default_factory=list)
    audio: OneFile = field(init=False)
    fleet: Fleet = field(init=False)
    pipeline: Pipeline = field(init=False)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def run(self, control: JobControl | None = None, journal: Journal | None = None, **fields: Any) -> Result:
        request = Request.build(
            id=f"job-{next(self.numbers)}", audio=PathAudio(path="/a.wav"), **{"language": "en"} | fields
        )
        return self.pipeline.run(request, control or JobControl(), journal or _Nowhere())

    def served(self) -> list[tuple[str, str | None]]:
        return [(name, outcome.code) for name, outcome in self.told]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[MakeHost]:
    """Make a host."""
    hosts: list[Host] = []
    spool = Spool(tmp_path)

    def make(policy: Policy, models: dict[str, str], *, cache_ttl_s: int = 0) -> Host:
        settings = Settings(engine_start_s=30, cache_ttl_s=cache_ttl_s)
        made = Host(policy, models)
        made.audio = OneFile(tmp_path)
        made.fleet = Fleet(lambda name: Engine("fake", BackendConfig(made.models[name], tmp_path)))
        made.pipeline = Pipeline(
            settings,
            spool,
            cast("Fetcher", made.audio),
            cast("DecoderPool", made.audio),
            made.fleet,
            lambda: made.policy,
            Shadow(made.fleet, lambda _comparison: None, chunk_s=28, start_s=1),
            lambda name, outcome: made.told.append((name, outcome)),
            storage=StorageWatch(spool, room=1),
            webhooks=False,
        )
        hosts.append(made)
        return made

    yield make
    for made in hosts:
        made.fleet.close()
    spool.close()


class MakeHost(Protocol):
    def __call__(self, policy: Policy, models: dict[str, str], *, cache_ttl_s: int = 0) -> Host: ...


BOTH = Policy(backend="new", fallback="old")


def test_a_backend_that_loads_is_not_judged(host: MakeHost, tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    here = host(BOTH, {"new": f"until:{loads}", "old": "m"})
    here.fleet.enlist("old").engine.wait_ready(120)
    results = [here.run() for _ in range(20)]
    assert {(result.status, result.fallback_from) for result in results} == {("completed", "new")}
    assert set(here.served()) == {("old", None)}
    loads.touch()
    here.fleet.enlist("new").engine.wait_ready(120)
    assert here.run().fallback_from is None
    assert here.served()[20:] == [("new", None)], "nothing was held against it meanwhile"


@pytest.mark.parametrize(("asked", "heard"), [(None, 1), (2, 2)])
def test_the_track_that_is_asked_for_is_decoded(host: MakeHost, asked: int | None, heard: int) -> None:
    audio = host(BOTH, {"new": "m", "old": "m"}).run(track=asked).audio
    assert audio is not None
    assert (audio.track, audio.tracks) == (heard, 3)


def test_a_backend_that_does_not_load_here_is_not_judged(host: MakeHost) -> None:
    here = host(BOTH, {"new": "missing", "old": "m"})
    assert [here.run().warnings for _ in range(3)] == [
        ("fallback:model_missing",),
        ("fallback:engine_unavailable",),  # known by now
        ("fallback:engine_unavailable",),
    ]
    assert here.served() == [("old", None)] * 3


def test_the_time_that_a_backend_loads_is_not_its_speed(host: MakeHost, tmp_path: Path) -> None:
    loads, waits_s = tmp_path / "loads", 3.0
    here = host(Policy(backend="new"), {"new": f"until:{loads}"})
    here.fleet.enlist("new")
    began = time.monotonic()
    with soon(loads.touch, waits_s):
        here.run()
    took_s = time.monotonic() - began
    ((_, outcome),) = here.told
    assert outcome.rtfx is not None
    assert SECONDS / outcome.rtfx < took_s - waits_s / 2


def test_what_was_written_to_while_it_was_read_has_no_result(
    host: MakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = host(Policy(backend="new"), {"new": "m"})
    (tmp_path / "growing.wav").write_bytes(b"speech")
    local = LocalAudio((tmp_path / "growing.wav").open("rb"), 5, "0" * 64, "growing.wav", written=(5, 0))
    monkeypatch.setattr(here.audio, "fetch", lambda _audio, _check: local)
    with pytest.raises(AudioUnreadableError, match="written to"):
        here.run()
    assert local.file.closed


def test_what_fails_on_a_backend_is_held_against_it(host: MakeHost) -> None:
    here = host(BOTH, {"new": "m", "old": "m"})
    here.fleet.enlist("old").engine.wait_ready(120)
    here.fleet.enlist("new").engine.wait_ready(120)
    with pytest.raises(InferenceError):
        here.run(prompt="fail")
    assert here.served() == [("new", "inference_failed"), ("old", "inference_failed")]


@pytest.fixture
def resting(host: MakeHost) -> Host:
    """A host whose new backend has failed five times; its pause is over."""
    here = host(BOTH, {"new": "m", "old": "m"})
    for name in ("old", "new"):
        here.fleet.enlist(name).engine.wait_ready(120)
    breaker = here.fleet.enlist("new").breaker
    for _ in range(5):
        breaker.failed()
    breaker._clock = lambda: time.monotonic() + 60
    assert breaker.state is BreakerState.HALF_OPEN
    return here


def test_to_look_at_a_backend_spends_no_probe(resting: Host) -> None:
    resting.policy = Policy(backend="old", fallback="new")
    for _ in range(3):
        assert resting.run().fallback_from is None
    assert resting.fleet.usable("new")
    resting.policy = BOTH
    result = resting.run()
    assert (result.fallback_from, result.warnings) == (None, ())
    assert resting.fleet.enlist("new").breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize("why", ["canceled", "silence"])
def test_a_probe_that_never_came_to_the_backend_is_given_back(resting: Host, why: str) -> None:
    before = list(resting.told)
    if why == "canceled":
        control = JobControl()
        decode = resting.audio.decode

        def canceled_meanwhile(*args: Any, **options: Any) -> DecodedAudio:
            control.stop(CanceledError("Canceled."))
            return decode(*args, **options)

        resting.audio.decode = canceled_meanwhile  # type: ignore[method-assign]  # the moment that counts
        with pytest.raises(CanceledError):
            resting.run(control)
        resting.audio.decode = decode  # type: ignore[method-assign]
    else:
        resting.audio.spans = ()
        assert resting.run().text == ""
        resting.audio.spans = ((0, SECONDS * SAMPLE_RATE),)
    assert resting.told == before
    assert resting.fleet.enlist("new").breaker.state is BreakerState.HALF_OPEN
    assert resting.run().fallback_from is None


def test_while_one_probes_the_others_go_to_the_fallback(resting: Host, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    results: list[Result] = []
    probe = threading.Thread(target=lambda: results.append(resting.run(prompt=f"touch:{begun} until:{gate}")))
    probe.start()
    while not begun.exists():
        time.sleep(0.01)
    assert resting.run().fallback_from == "new"
    gate.touch()
    probe.join(30)
    assert [result.fallback_from for result in results] == [None]
    assert resting.run().fallback_from is None


RUSSIAN = {"language": "ru"}


def test_what_the_backend_cannot_do_the_fallback_does_and_that_is_no_failure(host: MakeHost) -> None:
    here = host(BOTH, {"new": "english", "old": "m"})
    for _ in range(2):  # not known before it was loaded; known then
        result = here.run(**RUSSIAN)
        assert (result.status, result.model, result.fallback_from, result.warnings) == ("completed", "m", None, ())
    assert here.run().model == "english"
    assert here.served() == [("old", None), ("old", None), ("new", None)]


@pytest.mark.parametrize("old", ["english", "missing"])
def test_what_none_of_them_can_do_is_refused_for_what_the_backend_says(host: MakeHost, old: str) -> None:
    """That the fallback cannot be loaded is not what the user asked about."""
    here = host(BOTH, {"new": "english", "old": old})
    for _ in range(2):
        with pytest.raises(UnsupportedOptionError, match="english"):
            here.run(**RUSSIAN)
    assert here.served() == []


def test_what_a_host_says_that_it_can_serve_follows_what_it_has_learned(host: MakeHost) -> None:
    here = host(BOTH, {"new": "english", "old": "missing"})
    russian, old = Need(language="ru"), Need(backend="old")
    assert [refusal(need, here.pipeline.offers()) for need in (russian, old)] == [None, None], "it may be able to"
    with pytest.raises(UnsupportedOptionError):
        here.run(**RUSSIAN)
    assert isinstance(refusal(russian, here.pipeline.offers()), UnsupportedOptionError)
    assert isinstance(refusal(old, here.pipeline.offers()), ModelMissingError)
    here.fleet.retire([], idle_s=0)
    assert here.fleet.unload("new") or here.fleet.find("new") is None
    assert isinstance(refusal(russian, here.pipeline.offers()), UnsupportedOptionError), "it is not forgotten"
    assert refusal(Need(language="en"), here.pipeline.offers()) is None
    here.models["old"] = "m"
    here.fleet.find("old").used_at -= 61  # type: ignore[union-attr]  # it is there: it was given up just now
    here.fleet.retire([], idle_s=900)
    assert isinstance(refusal(old, here.pipeline.offers()), ModelMissingError), "nor that, until it has been loaded"
    here.fleet.try_anew("old")
    here.fleet.enlist("old").engine.wait_ready(120)
    assert [refusal(need, here.pipeline.offers()) for need in (russian, old)] == [None, None]


class Others(Notes):
    """A journal in which other jobs have left something: the answers to `reuse`, in turn."""

    def __init__(self, *answers: Result | Literal["busy"] | None) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[str] = []

    def reuse(self, key: str) -> Result | Literal["busy"] | None:
        self.asked.append(key)
        return self.answers.pop(0)


ALONE = Policy(backend="old", fallback=None)


def ready(here: Host, *names: str) -> Host:
    for name in names:
        here.fleet.enlist(name).engine.wait_ready(120)
    return here


def test_a_result_serves_an_equal_job_once_it_is_there(host: MakeHost) -> None:
    here = ready(host(ALONE, {"old": "m"}, cache_ttl_s=60), "old")
    first = here.run(journal=Others(None))
    again = Others("busy", "busy", first)
    second = here.run(journal=again)
    assert (first.cached, second.cached) == (False, True)
    assert first.cache_key is not None
    assert again.asked == [first.cache_key] * 3
    assert [event.stage for event in again.events] == ["inference"], "told once that others are at it"
    assert second.model_dump(exclude={"id", "timings", "cached"}) == first.model_dump(
        exclude={"id", "timings", "cached"}
    )
    assert (second.id, second.timings.decode_s, second.timings.inference_s) == ("job-1", None, None)
    assert len(here.told) == 1, "nothing was heard for the second"


def test_without_the_setting_no_job_is_served_by_the_result_of_another(host: MakeHost) -> None:
    here, other = ready(host(ALONE, {"old": "m"}), "old"), Others()
    assert here.run(journal=other).cache_key is None
    assert other.asked == []


def test_a_job_that_waits_for_another_can_be_stopped(host: MakeHost) -> None:
    here, control = ready(host(ALONE, {"old": "m"}, cache_ttl_s=60), "old"), JobControl()
    control.stop(CanceledError("Canceled."))
    with pytest.raises(CanceledError):
        here.run(control, Others(*["busy"] * 9))


def test_what_a_stand_in_heard_serves_no_other_job(host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    here, transcribe = ready(host(BOTH, {"new": "m", "old": "m"}, cache_ttl_s=60), "new", "old"), inference.transcribe

    def fail_on_new(
        job: InferenceJob, decoded: DecodedAudio, member: Member, *rest: Any, **options: Any
    ) -> Transcription:
        if member.name == "new":
            raise EngineCrashedError("It died.")
        return transcribe(job, decoded, member, *rest, **options)

    monkeypatch.setattr(inference, "transcribe", fail_on_new)
    asked = Others(None)
    result = here.run(journal=asked)
    assert (result.fallback_from, result.cache_key) == ("new", None)
    assert len(asked.asked) == 1


def test_a_job_that_dies_while_speakers_are_told_apart_goes_on_there(
    host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt does not hear the text again: by then, no engine could."""
    notes, told = Notes(), Told((Turn(0, SECONDS * SAMPLE_RATE, 0),), (None,))

    def dies(*_: object, **__: object) -> Told:
        raise ShutdownError("The worker stops.")

    made = host(Policy(backend="a"), {"a": "m"})
    monkeypatch.setattr(listener, "tell_apart", dies)
    with pytest.raises(ShutdownError):
        made.run(journal=notes, diarize=True)
    monkeypatch.setattr(listener, "tell_apart", lambda *_, **__: told)
    monkeypatch.setattr(made.fleet.find("a").scheduler, "submit", dies)  # type: ignore[union-attr]  # it was used
    result = made.run(journal=notes, diarize=True)
    assert (bool(result.text), [speaker.id for speaker in result.speakers or ()]) == (True, ["S1"])
