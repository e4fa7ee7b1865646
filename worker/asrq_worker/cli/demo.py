"""`asrq demo`: everything once, from nothing to a transcript."""

from __future__ import annotations

import shutil
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from queue import SimpleQueue

import click

import asrq_worker
from asrq_jobs import configuration, formats, languages
from asrq_jobs.cli import exit_codes, failure, options, printing
from asrq_jobs.cli.follow import Condition, follow
from asrq_jobs.cli.jobs import told
from asrq_jobs.cli.progress import Bars
from asrq_jobs.client import Client
from asrq_jobs.errors import AsrqError, AudioNotFoundError, QueueError, from_info
from asrq_jobs.events import Event
from asrq_jobs.result import Result
from asrq_jobs.settings import Settings
from asrq_worker.cli import running
from asrq_worker.queue import rq_prefix

_SAMPLE = Path(asrq_worker.__file__).parent / "data" / "demo.ogg"
_MODEL = "tiny.en"  # arrives as a wheel with the extra `demo`


@click.command(epilog="\b\nExamples:\n  asrq demo\n  asrq demo talk.mp3 --model base")
@click.argument("audio", type=options.NamedPath(path_type=Path), required=False)
@click.option("--model", metavar="NAME", help=f"Default: ASRQ_MODEL, or {_MODEL}, which knows English only.")
@options.json_option
def demo(audio: Path | None, model: str | None, as_json: bool) -> None:
    """See it work: starts Valkey, a worker and the reaper, submits a sample or AUDIO, and prints what comes back.

    Leaves nothing running and nothing on disk but the cache of models.
    """
    rq_prefix.refuse()
    from asrq_worker.programs import up

    if audio is not None and not audio.is_file():
        raise AudioNotFoundError(f"There is no file {audio}.", hint="Check the path.")
    chosen = configuration.origins()["model"] != "default"
    # An interrupted demo need not wait for its job: nothing is lost that could not be submitted again.
    config = running.quietly(model=model or (None if chosen else _MODEL), grace_s=0.0)
    started: SimpleQueue[str | Exception] = SimpleQueue()
    result: Result | None = None
    with running.stopped_by_signals(config) as shutdown:

        def serve() -> None:
            try:
                up.run(config, shutdown, data=None, port=0, ready=started.put)
            except Exception as error:  # noqa: BLE001  # raised again where someone sees it
                started.put(error)

        failure.note(f"starting Valkey, a worker with the model {config.model_of(config.backend)}, and the reaper …")
        serving = threading.Thread(target=serve, name="serve")
        serving.start()
        try:
            url = started.get()
            if isinstance(url, Exception):
                raise url
            failure.note(f"ready at {url}; submitting {(audio or _SAMPLE).name}.")
            # A model for English alone is not asked to detect the language.
            language = "en" if config.model_of(config.backend).endswith(".en") else languages.AUTO
            served = config.model_copy(update={"redis_url": url})
            result = _run(served, audio or _SAMPLE, language, watch=not as_json)
        except QueueError:
            if not shutdown.stop.is_set():
                raise
        finally:
            shutdown.stop.set()
            serving.join()
    if result is None:
        raise click.exceptions.Exit(exit_codes.INTERRUPTED)
    _show(result, as_json=as_json)


def _run(config: Settings, audio: Path, language: str, *, watch: bool) -> Result | None:
    with Client(config) as client:
        job_id = client.submit_file(audio, lane="interactive", language=language).id
        bars = Bars({job_id: audio.name}) if watch and sys.stderr.isatty() else None
        with bars or nullcontext():
            for _, news in follow(client, [job_id]):
                if isinstance(news, Condition):
                    continue  # this very program runs the server and the worker
                if bars:
                    bars.update(job_id, news)
                elif isinstance(news, Event):
                    failure.note(told(news))
                if isinstance(news, AsrqError):
                    raise news
                if isinstance(news, Result):
                    return news
    return None


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        printing.give_json(result.document())
    elif result.error:
        failure.say(from_info(result.error))
    else:
        printing.give(formats.render(result, "txt") + "\n")
        printing.give_json(result.document(), indent=2)
        failure.note("done; nothing is left running.")
        asrq = "asrq" if shutil.which("asrq") else sys.argv[0]
        submit = f"{asrq} submit FILE --language en --wait"
        failure.note(f"next: {asrq} up --model tiny.en, and in another terminal {submit}")
    failure.finish(any_failed=result.status != "completed")
