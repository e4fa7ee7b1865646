"""The program `asrq` as a process of its own: what it loads, and what it says is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from asrq_jobs import extras
from asrq_jobs.cli import exit_codes
from asrq_jobs.cli.commands import COMMANDS


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom asrq_jobs.cli import main\nmain(['--help'])\n"
        "print([name for name in ('pydantic', 'redis', 'rich', 'numpy', 'rq', 'asrq_worker') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True, timeout=30
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_python_runs_it_by_the_name_of_the_package() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "asrq_jobs", *arguments]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=30)

    assert run("--help").stdout.startswith("Usage: asrq ")
    assert run("no-such-command").returncode == exit_codes.USAGE


def test_an_interruption_while_it_is_imported_is_no_traceback() -> None:
    program = (
        "import sys, types\n"
        "class Interrupted(types.ModuleType):\n"
        "    def __getattr__(self, name): raise KeyboardInterrupt\n"
        "from asrq_jobs.__main__ import main\n"
        "sys.modules['asrq_jobs.cli'] = Interrupted('asrq_jobs.cli')\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (exit_codes.INTERRUPTED, b"")


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if entry.extra])
def test_help_of_a_workers_command_needs_no_extra(name: str) -> None:
    program = (
        "import sys\n"
        "for name in ('numpy', 'rq', 'av', 'faster_whisper', 'psutil', 'flask'):\n    sys.modules[name] = None\n"
        f"from asrq_jobs.cli import main\nsys.exit(main([{name!r}, '--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_extra_is_a_sentence_with_what_to_install() -> None:
    """In a process of its own: here, other tests have imported what needs it."""
    program = (
        "import sys; sys.modules['rq'] = None; from asrq_jobs.cli import main; sys.exit(main(['reaper', '--once']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False, timeout=30
    )
    assert done.returncode == exit_codes.FAILED
    assert done.stderr == (
        "asrq: error: asrq reaper needs packages that are not installed (rq). [extra_missing]\n"
        f"  hint: {extras.hint('worker')}\n"
    )
