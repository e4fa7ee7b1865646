"""The lock files: they pin, with hashes, what pyproject.toml asks for."""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Iterator

import pytest
from conftest import REPO
from packaging.markers import default_environment
from packaging.requirements import Requirement

PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = runpy.run_path(str(REPO / "ops" / "locks" / "compile.py"))["LOCKS"]
PYTHONS = ("3.11.9", "3.12.9", "3.13.5")


def pins(lock: str) -> list[tuple[Requirement, str]]:
    """Every pin with the text of its hashes."""
    text = (REPO / "ops" / "locks" / f"{lock}.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^([a-z0-9].*?) \\\n((?:    .*\n)+)", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^\w", text, re.MULTILINE))
    return [(Requirement(pin), hashes) for pin, hashes in entries]


def wanted(sources: tuple[str, ...]) -> Iterator[Requirement]:
    """What the sources of a lock ask for directly."""
    for source in sources:
        if source == "pyproject.toml":
            yield from map(Requirement, PROJECT["dependencies"])
        elif source.startswith("--extra="):
            yield from map(Requirement, PROJECT["optional-dependencies"][source.partition("=")[2]])
        else:
            lines = (REPO / source).read_text(encoding="utf-8").splitlines()
            yield from (Requirement(line) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_by_hash(lock: str) -> None:
    for pin, hashes in pins(lock):
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin  # and so never a build of one machine (+cpu)
        assert pin.url is None
        assert re.match(r"    --hash=sha256:[0-9a-f]{64}", hashes), pin


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_each_lock_satisfies_what_it_is_made_from(lock: str, python: str) -> None:
    environment = {
        **default_environment(), "python_version": python.rpartition(".")[0], "python_full_version": python,
        "sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux",
    }  # fmt: skip
    held = {
        pin.name: next(iter(pin.specifier)).version
        for pin, _ in pins(lock)
        if pin.marker is None or pin.marker.evaluate(environment)
    }
    for requirement in wanted(LOCKS[lock]):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert name in held, f"run `make locks`: {lock} lacks {requirement}"
            assert requirement.specifier.contains(held[name]), f"run `make locks`: {lock} has {name} {held[name]}"


def test_the_client_stays_light() -> None:
    names = {pin.name for pin, _ in pins("client")}
    assert names.isdisjoint({"numpy", "torch", "rq", "av", "ctranslate2", "faster-whisper"})
    assert len(names) < 25


def test_torch_comes_for_cuda_only() -> None:
    assert "torch" not in {pin.name for pin, _ in pins("worker-cpu")}
    assert {"torch", "nvidia-cublas-cu12", "triton"} <= {pin.name for pin, _ in pins("worker-cuda")}
