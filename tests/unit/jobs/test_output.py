"""Results on their way out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from asrq_jobs.cli.output import Form, InOrder, Printer, choose, failed
from asrq_jobs.errors import AudioEmptyError, UsageError
from asrq_jobs.formats import Format
from asrq_jobs.result import Result, Segment


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def done(text: str) -> Result:
    return Result(
        id=text, status="completed", text=text, duration=1, segments=(Segment(id=0, start=0, end=1, text=text),)
    )


@pytest.mark.parametrize(
    ("form", "as_json", "stdout", "expected"),
    [
        (None, False, Terminal(), ("txt", False)),
        (None, False, io.StringIO(), ("txt", True)),
        ("srt", False, io.StringIO(), ("srt", False)),
        ("srt", True, Terminal(), ("srt", True)),
        (None, True, Terminal(), ("json", True)),
    ],
)
def test_stdout_holds_json_lines_unless_someone_reads_or_names_a_format(
    form: Format | None, as_json: bool, stdout: io.StringIO, expected: tuple[Format, bool]
) -> None:
    chosen = choose(form, as_json=as_json, folder=None, stdout=stdout)
    assert (chosen.form, chosen.json_lines) == expected


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Cannot make"):
        choose(None, as_json=False, folder=tmp_path / "file" / "sub")


def test_results_are_shown_in_input_order_as_soon_as_possible(capsys: pytest.CaptureFixture[str]) -> None:
    order = InOrder(
        Printer(Form("txt", json_lines=False, folder=None, terminal=False), several=True), ["a", "b", "c"], hold=False
    )
    order.put(1, done("two"))
    assert capsys.readouterr().out == ""
    order.put(0, done("one"))
    assert capsys.readouterr().out == "one\ntwo\n"
    order.flush()
    order.put(2, done("three"))
    assert capsys.readouterr().out == "three\n"


def test_results_are_held_back_and_gaps_are_passed_over_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    order = InOrder(
        Printer(Form("txt", json_lines=False, folder=None, terminal=False), several=True), ["a", "b", "c"], hold=True
    )
    order.put(2, done("three"))
    order.put(0, done("one"))
    assert capsys.readouterr().out == ""
    order.flush()
    assert capsys.readouterr().out == "one\nthree\n"


def test_a_failure_is_a_document_in_json_and_a_sentence_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    broken = failed("id1", AudioEmptyError("The file is empty."), name="talk.mp3")
    for json_lines in (True, False):
        printer = Printer(Form("txt", json_lines=json_lines, folder=None, terminal=False), several=False)
        printer.show("talk.mp3", broken)
        assert printer.any_failed
        shown = capsys.readouterr()
        if json_lines:
            document = json.loads(shown.out)
            assert (document["id"], document["status"]) == ("id1", "failed")
            assert document["error"]["code"] == "audio_empty"
            assert document["audio"]["name"] == "talk.mp3"
        else:
            assert shown.out == ""
            sentence, hint = shown.err.splitlines()
            assert sentence == "asrq: error: talk.mp3: The file is empty. [audio_empty]"
            assert hint.strip() == f"hint: {AudioEmptyError.default_hint}"


def test_json_formats_are_one_line_in_a_pipe_and_indented_for_reading(capsys: pytest.CaptureFixture[str]) -> None:
    for terminal in (False, True):
        Printer(Form("verbose_json", json_lines=False, folder=None, terminal=terminal), several=False).show(
            "a", done("x")
        )
        text = capsys.readouterr().out
        assert json.loads(text)["text"] == "x"
        assert (text.count("\n") > 1) is terminal


def test_files_take_the_name_of_the_source_and_overwrite_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talk.srt").write_text("mine", encoding="utf-8")
    printer = Printer(Form("srt", json_lines=False, folder=tmp_path, terminal=False), several=True)
    printer.show("talk.mp3", done("one"))
    printer.show("talk.wav", done("two"))
    assert (tmp_path / "talk.srt").read_text(encoding="utf-8") == "mine"
    assert "one" in (tmp_path / "talk-2.srt").read_text(encoding="utf-8")
    assert "two" in (tmp_path / "talk-3.srt").read_text(encoding="utf-8")
    assert capsys.readouterr().out.split() == [str(tmp_path / "talk-2.srt"), str(tmp_path / "talk-3.srt")]
