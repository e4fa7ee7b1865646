"""Each kernel is asked for what it knows."""

from __future__ import annotations

import struct

import pytest

from asrq_worker.audio.confinement import _handled
from asrq_worker.doctor.host import kept


@pytest.mark.parametrize(
    ("version", "files", "network", "scopes"),
    [
        (1, 0x1FFF, 0, 0),
        (2, 0x3FFF, 0, 0),
        (3, 0x7FFF, 0, 0),
        (4, 0x7FFF, 3, 0),
        (5, 0xFFFF, 3, 0),
        (6, 0xFFFF, 3, 3),
        (99, 0xFFFF, 3, 3),
    ],
)
def test_rights_by_the_version_of_landlock(version: int, files: int, network: int, scopes: int) -> None:
    assert struct.unpack("=QQQ", _handled(version)) == (files, network, scopes)


@pytest.mark.parametrize(
    ("confined", "said"),
    [
        ({"seccomp", "landlock"}, "without network, other programs or other files (landlock, seccomp)"),
        ({"seccomp"}, "without network, other programs or other files (seccomp)"),
        ({"landlock"}, "without other programs or files, but not kept from the network by this system"),
        (set(), "not kept from the network or other files by this system"),
    ],
)
def test_what_doctor_says_of_it(confined: set[str], said: str) -> None:
    assert kept(frozenset(confined)) == said
