"""`asrq backend`: which backend serves, changed for all workers at once and without a restart."""

from __future__ import annotations

from collections.abc import Callable

import click

from asrq_jobs import configuration, policy, serving
from asrq_jobs.cli import failure, options, printing
from asrq_jobs.cli.group import CommandGroup
from asrq_jobs.client import Client
from asrq_jobs.connection import queue_errors
from asrq_jobs.errors import JobStateError, UsageError
from asrq_jobs.policy import Policy, Share


@click.group(
    cls=CommandGroup,
    epilog="\b\nExamples:\n  asrq backend show\n  asrq backend canary qwen 5%\n"
    "  asrq backend set qwen\n  asrq backend rollback",
)
def backend() -> None:
    """Show and change which backend serves jobs; every worker follows within seconds, and no job is lost."""


@backend.command(epilog="\b\nExample:\n  asrq backend show --json")
@options.json_option
def show(as_json: bool) -> None:
    """Show the policy in force, how a shadow compares, and the last changes."""
    config = configuration.load()
    with Client(config) as client, queue_errors(config):
        current = policy.read(client.redis)
        changes = policy.history(client.redis)
        compared = policy.comparisons(client.redis)
    if as_json:
        in_force = current.model_dump() if current else None
        printing.give_json({"policy": in_force, "shadow": compared, "changes": changes})
        return
    _say(current)
    for name, summary in compared.items():
        printing.say(
            f"compared  {name}: {summary['jobs']} jobs, {summary['failed']} failed, "
            f"median WER {summary['wer']}, median time ratio {summary['time_ratio']}"
        )
    for change in changes:
        printing.say(f"{change['at']}  {change['by']}  {change['reason']}")


@backend.command(name="set", epilog="\b\nExample:\n  asrq backend set qwen --fallback whisper")
@click.argument("name")
@click.option(
    "--fallback",
    metavar="NAME",
    help="Takes over when NAME fails; default: the fallback or serving backend so far, or none where that is NAME.",
)
@options.json_option
def set_backend(name: str, fallback: str | None, as_json: bool) -> None:
    """Let the backend NAME serve all jobs."""

    if name == fallback:
        raise UsageError(f"{name} cannot be its own fallback.", hint="Name another --fallback, or none.")

    def change(current: Callable[[], Policy]) -> Policy:
        stand_in = fallback or current().fallback or current().backend
        return Policy(backend=name, fallback=None if stand_in == policy.NONE else stand_in)

    _change(change, name, *([fallback] if fallback else []), reason=f"set {name}", as_json=as_json)


@backend.command(epilog="\b\nExamples:\n  asrq backend canary qwen 5%\n  asrq backend canary qwen 0%")
@click.argument("name")
@click.argument("share")
@options.json_option
def canary(name: str, share: str, as_json: bool) -> None:
    """Let the backend NAME serve a SHARE of the jobs, as in 5%; 0% ends the trial."""
    part = _share(share)

    def change(current: Callable[[], Policy]) -> Policy:
        return current().model_copy(update={"canary": _beside(current(), name, part)})

    _change(change, name, reason=f"canary {name} {share}", as_json=as_json)


@backend.command(epilog="\b\nExample:\n  asrq backend shadow qwen 10%")
@click.argument("name")
@click.argument("share")
@options.json_option
def shadow(name: str, share: str, as_json: bool) -> None:
    """Let the backend NAME transcribe a SHARE of the jobs again after they were served, and compare; 0% ends it."""
    part = _share(share)

    def change(current: Callable[[], Policy]) -> Policy:
        return current().model_copy(update={"shadow": _beside(current(), name, part)})

    _change(change, name, reason=f"shadow {name} {share}", as_json=as_json)


@backend.command(epilog="\b\nExample:\n  asrq backend rollback")
@options.json_option
def rollback(as_json: bool) -> None:
    """End a canary; without one, let the fallback serve all jobs again."""

    def change(current: Callable[[], Policy]) -> Policy:
        found = current()
        if len(found.backends) == 1:
            raise JobStateError(
                f"There is nothing to roll back: {found.backend} serves, without a trial and without a fallback.",
                hint="Choose what is to serve: asrq backend set NAME",
            )
        return found.rolled_back()

    _change(change, reason="rollback", as_json=as_json)


def _beside(current: Policy, name: str, part: float) -> Share | None:
    """Return the share of a backend that runs beside the one that serves; None for no part."""
    if part and name == current.backend:
        raise UsageError(f"{name} already serves.", hint="Name a backend to be tried beside it.")
    return Share(backend=name, share=part) if part else None


def _change(change: Callable[[Callable[[], Policy]], Policy], *named: str, reason: str, as_json: bool) -> None:
    """Put a policy in force that `change` makes of what is; the backends that the user has `named` must exist."""
    config = configuration.load()
    with Client(config) as client, queue_errors(config):
        workers = client.workers(stopped=True)
        for name in named:
            if name != policy.NONE:
                serving.refuse_unknown(name, workers)
        before = policy.read(client.redis)
        after = change(lambda: before or _by_settings(client))
        if not policy.write(client.redis, before, after, reason=reason):
            raise JobStateError(
                "The policy has just been changed by somebody else.", hint="See the new one: asrq backend show"
            )
        there = client.workers()
    for name in named:
        if name in after.backends and (doubt := serving.unproven(name, there)):
            failure.note(doubt)
    if as_json:
        printing.give_json({"policy": after.model_dump()})
    else:
        _say(after)


def _by_settings(client: Client) -> Policy:
    """Return what serves without a policy: what the workers that are there say, or else the settings here.

    Raises:
        JobStateError: they do not all say the same, so that one policy for all would change what serves.
    """
    found = serving.by_settings(client.workers())
    if len(found) > 1:
        raise JobStateError(
            f"The workers' settings name different backends: {', '.join(sorted({name for name, _ in found}))}.",
            hint="First choose one backend for all of them: asrq backend set NAME --fallback NAME",
        )
    for backend, fallback in found:
        return Policy(backend=backend, fallback=fallback)
    return Policy(backend=client.settings.backend, fallback=client.settings.fallback_backend)


def _share(text: str) -> float:
    try:
        share = float(text.rstrip("%")) / 100
    except ValueError:
        share = -1.0
    if not text.endswith("%") or not 0 <= share <= 1:
        raise UsageError(f"{text!r} is not a share.", hint="Write a percentage such as 5%.")
    return share


def _say(current: Policy | None) -> None:
    if current is None:
        printing.say("no policy: each worker goes by its own settings")
        return
    printing.say(f"backend   {current.backend}")
    printing.say(f"fallback  {current.fallback or policy.NONE}")
    if current.canary:
        printing.say(f"canary    {current.canary.backend} {current.canary.share:.2%}")
    if current.shadow:
        printing.say(f"shadow    {current.shadow.backend} {current.shadow.share:.2%}")
