"""The servers on which schedules are tried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from simulation.serving import binary, serving
from support.needs import missing


@pytest.fixture(scope="session", params=["valkey", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that serves nobody else."""
    program = binary(request.param)
    if program is None:
        missing(f"the program of {request.param}")
    with serving(program) as url:
        yield url


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The same of Valkey alone, for what takes long."""
    program = binary("valkey")
    if program is None:
        missing("a Valkey for this platform")
    with serving(program) as url:
        yield url
