"""The program's frame: commands as data, quick help, and errors as sentences with exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from asrq_jobs import errors
from asrq_jobs.cli import cli, exit_codes, failure, main
from asrq_jobs.cli.commands import COMMANDS, SECTIONS
from asrq_jobs.errors import AsrqError


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_explains_itself(name: str) -> None:
    context = click.Context(cli, info_name="asrq")
    command = cli.get_command(context, name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert COMMANDS[name].section in SECTIONS
    below = list(command.commands.values()) if isinstance(command, click.Group) else []
    for each in (command, *(child for child in below if not child.hidden)):
        path = f"asrq {name}" if each is command else f"asrq {name} {each.name}"
        assert each.help
        assert f"  {path}" in (each.epilog or "")


def test_help_lists_every_command_under_its_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"{section}:") for section in SECTIONS]
    assert places == sorted(places)
    for name, entry in COMMANDS.items():
        assert name in text
        assert entry.summary in text
    for code, meaning in exit_codes.MEANINGS.items():
        assert f"{code:<4} {meaning}" in text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.UnknownLanguageError("x"), 2),
        (errors.SettingsError("x"), 2),
        (errors.QueueUnreachableError("x"), 3),
        (errors.QueueAuthError("x"), 3),
        (errors.QueueRefusedError("x"), 3),
        (errors.WaitTimeoutError("x"), 4),
        (errors.QueueFullError("x"), 1),
        (errors.JobNotFoundError("x"), 1),
        (errors.AudioEmptyError("x"), 1),
        (errors.ModelMissingError("x"), 1),
        (errors.InternalError("x"), 1),
    ],
)
def test_exit_codes(error: AsrqError, code: int) -> None:
    assert failure.exit_code(error) == code


@pytest.mark.parametrize("arguments", [["submit"], ["bogus"], ["list", "--state", "odd"], ["--odd"]])
def test_usage_errors_are_ours(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == exit_codes.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("asrq: error: ")
    assert "[usage]" in shown.err
    assert main([*arguments, "--json"]) == exit_codes.USAGE
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_a_defect_is_a_sentence_and_its_traceback_is_for_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("asrq_jobs.configuration.load", broken)
    assert main(["config"]) == exit_codes.FAILED
    plain = capsys.readouterr().err
    assert "[internal]" in plain
    assert "Traceback" not in plain
    monkeypatch.setenv("ASRQ_LOG_LEVEL", "debug")
    assert main(["config"]) == exit_codes.FAILED
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asrq_jobs.configuration.load", interrupted)
    assert main(["config"]) == exit_codes.INTERRUPTED


def every_command() -> list[tuple[str, click.Command]]:
    root = click.Context(cli, info_name="asrq")
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        found.append((f"asrq {name}", command))
        if isinstance(command, click.Group):
            found += [(f"asrq {name} {child}", each) for child, each in command.commands.items()]
    return found


@pytest.mark.parametrize(
    ("path", "command"), every_command(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_option_says_its_default_and_its_range(path: str, command: click.Command) -> None:
    context = click.Context(command, info_name=path)
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag:
            shown = option.get_help_record(context)
            assert shown is not None
            assert "default" in shown[1].lower() or option.required, f"{path} {shown}"
            if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
                assert isinstance(option.type, click.IntRange | click.FloatRange), f"{path} {shown}"


@pytest.mark.parametrize(
    ("path", "command"), every_command(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_help_is_there_under_every_name(path: str, command: click.Command, capsys: pytest.CaptureFixture[str]) -> None:
    words = path.split()[1:]
    shown = []
    for arguments in (
        [*words, "--help"],
        [*words, "-h"],
        ["help", *words],
        *([words] * isinstance(command, click.Group)),
    ):
        assert main(arguments) == 0
        shown.append(capsys.readouterr())
    assert {each.err for each in shown} == {""}
    assert len({each.out for each in shown}) == 1
    assert f"Usage: {path} " in shown[0].out


@pytest.mark.parametrize(
    ("path", "command"), every_command(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_empty_name_of_a_file_or_folder_is_refused(path: str, command: click.Command) -> None:
    context = click.Context(command, info_name=path)
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            with pytest.raises(click.BadParameter, match="The name is empty"):
                parameter.type.convert("", parameter, context)


def test_alone_it_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for arguments in ([], ["--help"], ["-h"], ["help"]):
        assert main(arguments) == 0
        shown.append(capsys.readouterr())
    assert {each.err for each in shown} == {""}
    assert len({each.out for each in shown}) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["submti"], "asrq has no command 'submti'. Did you mean 'submit'?"),
        (["Transcibe", "a.mp3"], "asrq has no command 'Transcibe'. Did you mean 'transcribe'?"),
        (["backend", "cannary"], "asrq backend has no command 'cannary'. Did you mean 'canary'?"),
        (["dead", "lst"], "asrq dead has no command 'lst'. Did you mean 'list'?"),
        (["help", "statsu"], "asrq has no command 'statsu'. Did you mean 'status'?"),
        (["backend", "xyzzy"], "asrq backend has no command 'xyzzy'. It has: canary, rollback, set, shadow, show."),
        (["help", "submit", "now"], "asrq submit has no commands of its own."),
        (["xyzzy"], "asrq has no command 'xyzzy'."),
        (["\x1b[2Jlist"], "asrq has no command '\\x1b[2Jlist'. Did you mean 'list'?"),
    ],
)
def test_what_was_meant_is_named(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == exit_codes.USAGE
    assert capsys.readouterr().err.splitlines()[0] == f"asrq: error: {sentence} [usage]"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tag", "a,b"], "--tag: it has a comma or a control character."),
        (["--speakers", "2"], "--speakers, --min-speakers and --max-speakers need --diarize."),
        (
            ["--timeout", "1", "--id", "x y"],
            "--id: it may hold A to Z, a to z, 0 to 9, - and _, and has 1 to 64 of them.",
        ),
        (["--group", "x", "--group-webhook", "y"], "--group-webhook: it does not begin with http:// or https://."),
    ],
)
def test_what_is_wrong_with_a_request_is_said_of_options(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    audio = tmp_path / "a.wav"
    audio.touch()
    assert main(["submit", str(audio), *options]) == exit_codes.USAGE
    assert capsys.readouterr().err.splitlines()[0] == f"asrq: error: {sentence} [usage]"


def test_a_mistyped_option_is_suggested_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "a.mp3", "--langauge", "ru"]) == exit_codes.USAGE
    assert "--language" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["submit", "-x.wav"], ["transcribe", "--talk.wav"]])
def test_how_to_name_a_file_that_begins_with_a_dash_is_said(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == exit_codes.USAGE
    assert "named as in ./-talk.wav, or behind --" in capsys.readouterr().err
    assert main(["list", "-x.wav"]) == exit_codes.USAGE
    assert "talk.wav" not in capsys.readouterr().err
