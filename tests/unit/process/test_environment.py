"""What children get of the environment."""

from __future__ import annotations

import pytest

from asrq_worker.process.environment import TO_COMPUTE, TO_REACH_OTHERS, handed_on

NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_TIME": "C",
    "TMPDIR": "/scratch",
    "PYTHONPATH": "lib",
    "SystemRoot": r"C:\Windows",
    "LD_LIBRARY_PATH": "/opt/cuda",
}
COMPUTING = {
    "CUDA_VISIBLE_DEVICES": "1",
    "OMP_WAIT_POLICY": "passive",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "HF_HOME": "/models",
    "TOKENIZERS_PARALLELISM": "0",
}
REACHING = {"https_proxy": "http://user:pass@proxy", "SSL_CERT_FILE": "/ca.pem", "HF_TOKEN": "hf_x"}
SECRETS = {
    "ASRQ_REDIS_URL": "redis://:secret@queue",
    "ASRQ_SERVER_API_KEY": "secret",
    "ASRQ_WEBHOOK_SECRET": "secret",
    "REDISCLI_AUTH": "secret",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "secret",
    "GITHUB_TOKEN": "secret",
    "SENTRY_DSN": "secret",
    "PGPASSWORD": "secret",
    "PYTHON_KEYRING_PASSWORD": "secret",
    "CUDA_LICENSE_KEY": "secret",
    "HF_OTHER_TOKEN": "secret",
    "SSH_AUTH_SOCK": "/agent",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/bus",
    "WHATEVER": "secret",
}
EVERYTHING = NEEDED | COMPUTING | REACHING | SECRETS


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), NEEDED),
        (TO_COMPUTE, NEEDED | COMPUTING),
        ((*TO_COMPUTE, *TO_REACH_OTHERS), NEEDED | COMPUTING | REACHING),
    ],
)
def test_each_gets_what_it_needs(patterns: tuple[str, ...], expected: dict[str, str]) -> None:
    assert handed_on(*patterns, environment=EVERYTHING) == expected


def test_no_pattern_gives_a_setting_away() -> None:
    names = {f"ASRQ_{name}" for name in ("REDIS_URL", "MODEL_DIR", "LOG_LEVEL")}
    assert handed_on(*TO_COMPUTE, *TO_REACH_OTHERS, environment=dict.fromkeys(names, "")) == {}
