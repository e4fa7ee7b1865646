"""Carries out the steps of ops/docker/Dockerfile without a container engine, then runs what they made.

    sudo .venv/bin/python ops/docker/rehearse.py client|worker-cpu|worker-cuda [--work DIR]

On Linux, as root, with `debootstrap` installed and a way to Debian's and Python's packages. A stage is a folder; each
RUN happens in it by chroot. In place of `python:*-slim-*` stands the Debian of that name with its own Python, which is
of the same version. The image then runs as compose runs it: as process 1, without privileges, on a read-only file
system; a worker transcribes one job, answers its health check, and has to end by itself on SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Any

from asrq_jobs import Client, Settings
from asrq_worker.embedded.valkey import EmbeddedValkey

REPO = Path(__file__).resolve().parents[2]
DOCKERFILE = REPO / "ops" / "docker" / "Dockerfile"
SAMPLE = REPO / "tests" / "data" / "hello-en.flac"
_READY_S = 120


@dataclass(frozen=True)
class Image:
    """A root file system and what an engine would remember about it."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    workdir: str = "/"
    volumes: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Dockerfile, each with its arguments as one line."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


class Builder:
    """Makes the stages that a target needs, each once."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._globals: dict[str, str] = {}
        self._stages: dict[str, list[tuple[str, str]]] = {}
        self._bases: dict[str, str] = {}
        self._made: dict[str, Image] = {}
        name = ""
        for word, rest in instructions(DOCKERFILE.read_text(encoding="utf-8")):
            if word == "FROM":
                base, _, name = rest.split()
                self._bases[name], self._stages[name] = Template(base).substitute(self._globals), []
            elif name:
                self._stages[name].append((word, rest))
            else:
                given, _, default = rest.partition("=")
                self._globals[given] = default

    def make(self, name: str) -> Image:
        """Return the image of a stage.

        Raises:
            subprocess.CalledProcessError: a step failed.
        """
        if name not in self._made:
            base = self._bases[name]
            before = self.make(base) if base in self._bases else Image(self._debian(base))
            root = self._work / name
            subprocess.run(["rm", "-rf", root], check=True)  # noqa: S603, S607  # with the speed of the system's own
            subprocess.run(["cp", "-a", "--reflink=auto", before.root, root], check=True)  # noqa: S603, S607  # likewise
            image = replace(before, root=root)
            for word, rest in self._stages[name]:
                print(f"{name}: {word} {rest}", flush=True)
                image = self._step(image, word, rest)
            self._made[name] = image
        return self._made[name]

    def _debian(self, base: str) -> Path:
        """Make, once, what stands in for `python:<version>-slim-<release>`."""
        matched = re.fullmatch(r"python:([\d.]+)-slim-(\w+)", base)
        if matched is None:
            raise SystemExit(f"{base} is no base that can be stood in for")
        version, release = matched.groups()
        root = self._work / f"debian-{release}"
        if not (root / "complete").exists():
            command = [
                "debootstrap",
                "--variant=minbase",
                "--include=python3,python3-venv,ca-certificates",
                release,
                root,
            ]
            subprocess.run(command, check=True)  # noqa: S603  # our own arguments
            (root / "usr/local/bin/python").symlink_to(f"/usr/bin/python{version}")
            (root / "complete").touch()
        for path in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
            shutil.copyfile(f"/{path}", root / path)  # the way out is this machine's
        return root

    def _step(self, image: Image, word: str, rest: str) -> Image:
        remembered: dict[str, Any] = {}
        match word:
            case "ARG":
                remembered["env"] = {**image.env, rest: self._globals[rest]}
            case "ENV":
                known = Template(rest).safe_substitute(self._known(image))
                remembered["env"] = {**image.env, **dict(pair.split("=", 1) for pair in shlex.split(known))}
            case "USER" | "WORKDIR":
                remembered[word.lower()] = rest
            case "VOLUME":
                remembered["volumes"] = tuple(json.loads(rest))
            case "ENTRYPOINT":
                remembered["entrypoint"] = tuple(json.loads(rest))
            case "CMD":
                remembered["command"] = tuple(json.loads(rest))
            case "HEALTHCHECK":
                remembered["health"] = tuple(json.loads(rest.partition(" CMD ")[2]))
            case "STOPSIGNAL":
                if rest != "SIGTERM":
                    raise SystemExit("only SIGTERM is tried here")
            case "COPY":
                self._copy(image, rest.split())
            case "RUN":
                inside = enter(image, ("/bin/sh", "-c", rest))
                subprocess.run(inside, check=True, env=self._known(image))  # noqa: S603  # what the Dockerfile says
            case _:
                raise SystemExit(f"the instruction {word} is not known here")
        return replace(image, **remembered)

    def _known(self, image: Image) -> dict[str, str]:
        return {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **image.env}

    def _copy(self, image: Image, words: list[str]) -> None:
        origin = REPO
        if words[0].startswith("--from="):
            origin = self.make(words.pop(0).partition("=")[2]).root
        *sources, target = words
        for source in sources:
            path, destination = origin / source.lstrip("/"), image.root / target.lstrip("/")
            if path.is_dir():
                shutil.copytree(
                    path, destination, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
                    if origin == REPO else None,
                )  # fmt: skip
            else:
                destination = destination / path.name if target.endswith("/") else destination
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, destination)


def enter(image: Image, command: tuple[str, ...], *mounts: str) -> list[str]:
    """Return the command line that runs a command in an image, as process 1 of a namespace of its own."""
    root = shlex.quote(str(image.root))
    steps = [*(mount.format(root=root) for mount in mounts), f"mount -t proc proc {root}/proc"]
    inside = f"cd {shlex.quote(image.workdir)} && exec {shlex.join(command)}"
    chroot = ["chroot", f"--userspec={image.user}", str(image.root), "/bin/sh", "-c", inside]
    return ["unshare", "--mount", "--pid", "--fork", "sh", "-c", " && ".join([*steps, f"exec {shlex.join(chroot)}"])]


@contextmanager
def running(image: Image, command: tuple[str, ...], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a container from the image; ends it hard if it still runs."""
    read_only = ("mount --bind {root} {root}", "mount -o remount,bind,ro {root}", "mount -t tmpfs tmpfs {root}/tmp")
    volumes = [f"mount -t tmpfs -o uid=10001,gid=10001 tmpfs {{root}}{volume}" for volume in image.volumes]
    inside = enter(image, image.entrypoint + command, *read_only, *volumes)
    process = subprocess.Popen(inside, env={"PATH": "/usr/bin:/bin", **image.env, **env})  # noqa: S603  # the image's
    try:
        yield process
    finally:
        if process.poll() is None:
            os.kill(process_1(process), signal.SIGKILL)
        process.wait()


def process_1(process: subprocess.Popen[bytes]) -> int:
    """Return the id, outside, of process 1 inside."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()[0])


def try_client(image: Image) -> None:
    """See the program answer."""
    with running(image, image.command, {}) as process:
        if process.wait(60) != 0:
            raise SystemExit("the image does not run")


def try_worker(image: Image) -> None:
    """Have a job transcribed, the health checked, and the worker end on SIGTERM."""
    with EmbeddedValkey() as url, Client(Settings(redis_url=url)) as client:
        env = {"ASRQ_REDIS_URL": url, "ASRQ_DEVICE": "cpu", "ASRQ_WORKER_NAME": "rehearsal"}
        with running(image, image.command, env) as process:
            job = client.submit_file(SAMPLE, language="en")
            result = client.wait(job.id, timeout_s=_READY_S)
            print(f"text: {result.text}", flush=True)
            with running(image, image.health[1:], env) as check:
                healthy = check.wait(30) == 0
            os.kill(process_1(process), signal.SIGTERM)
            began = time.monotonic()
            code = process.wait(45)
            print(f"healthy: {healthy}; after SIGTERM: code {code} in {time.monotonic() - began:.1f} s", flush=True)
            left = client.workers()
        if result.status != "completed" or not healthy or code != 0 or left:
            raise SystemExit("the worker's image does not do its work")


def main() -> None:
    """Build one target and try it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["client", "worker-cpu", "worker-cuda"])
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/asrq-images"), help="Folder for the stages.")  # noqa: S108  # large, and to be found again
    given = parser.parse_args()
    if sys.platform != "linux" or os.geteuid() != 0:
        raise SystemExit("this needs Linux and root, for chroot and namespaces")
    given.work.mkdir(parents=True, exist_ok=True)
    image = Builder(given.work.resolve()).make(given.target)
    (try_client if given.target == "client" else try_worker)(image)
    print(f"{given.target}: built and run", flush=True)


if __name__ == "__main__":
    main()
