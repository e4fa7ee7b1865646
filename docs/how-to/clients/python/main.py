"""python main.py FILE [--lang ru]: sends audio to asrq and prints its text, with the client for asyncio.

ASRQ_REDIS_URL is the address of Redis. When the time to wait is up, or Ctrl-C is pressed, the job is canceled.
Exit codes: 0 done, 1 the job failed, 2 usage, 3 Redis out of reach, 4 the time is up, 130 interrupted.
"""

import argparse
import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from asrq_jobs import AsrqError, AsyncClient
from asrq_jobs.errors import from_info

EXIT = {"invalid_settings": 2, "invalid_request": 2, "unknown_language": 2, "wait_timeout": 4}
EXIT |= dict.fromkeys(("queue_unreachable", "queue_auth", "queue_refused", "queue_unusable"), 3)


async def transcribe(client: AsyncClient, file: Path, limit_s: float, **options: object) -> str:
    """Upload, submit, follow; a task that is canceled, or out of time, cancels its job."""
    job = await client.submit_file(file, **options)
    try:
        async for event in client.events(job.id, timeout_s=limit_s):
            done = "" if event.fraction is None else f" {event.fraction:.0%}".replace("%", " %")
            print(f"{job.id} {event.type}{done}", file=sys.stderr, flush=True)
    except (AsrqError, asyncio.CancelledError):
        with suppress(AsrqError):  # what went wrong before is what counts
            await client.cancel(job.id)
        raise
    result = await client.wait(job.id)
    if result.error is not None:
        raise from_info(result.error)
    return (result.text or "").strip()


async def run(given: argparse.Namespace) -> str:
    """Do what the command line asks for."""
    async with AsyncClient() as client:
        if given.cancel:
            return await client.cancel(given.cancel)
        options = {"language": given.lang, "lane": given.lane, "track": given.track}
        return await transcribe(client, given.file, given.wait, **options)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--lang", default="auto", metavar="CODE")
    parser.add_argument("--track", type=int, metavar="N", help="of several audio tracks, from 1")
    parser.add_argument("--lane", default="interactive", choices=("interactive", "batch"))
    parser.add_argument("--wait", default=300.0, type=float, metavar="SECONDS")
    parser.add_argument("--cancel", metavar="ID")
    given = parser.parse_args()
    if (given.file is None) == (given.cancel is None):
        parser.error("name a file, or a job to cancel")
    try:
        print(asyncio.run(run(given)))
    except AsrqError as error:
        print(f"{error.message} [{error.code}]", *filter(None, [error.hint]), sep="\n  ", file=sys.stderr)
        return EXIT.get(error.code, 1)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
