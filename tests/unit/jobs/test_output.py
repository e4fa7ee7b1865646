"""Results on their way out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import pytest

from asrq_jobs.cli import failure, options
from asrq_jobs.cli.norms import of_norms
from asrq_jobs.cli.output import Form, ResultWriter, choose, failed
from asrq_jobs.errors import AudioEmptyError, UsageError
from asrq_jobs.formats import FORMATS, Format
from asrq_jobs.result import AudioInfo, Result, Segment
from asrq_jobs.subtitles import Norms


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def done(text: str, **fields: Any) -> Result:
    segments = (Segment(id=0, start=0, end=1, text=text),)
    return Result(id=text, status="completed", text=text, duration=1, segments=segments, **fields)


def form(name: Format = "txt", **fields: Any) -> Form:
    return Form(name, **{"json_lines": False, "folder": None, "several": False, "terminal": False, **fields})


@pytest.mark.parametrize("stdout", [Terminal(), io.StringIO()])
@pytest.mark.parametrize(
    ("wanted", "as_json", "expected"),
    [
        (None, False, ("txt", False)),
        ("srt", False, ("srt", False)),
        ("json", False, ("json", False)),
        (None, True, ("json", True)),
    ],
)
def test_stdout_holds_text_unless_something_else_is_asked_for(
    wanted: Format | None, as_json: bool, stdout: io.StringIO, expected: tuple[Format, bool]
) -> None:
    chosen = choose(wanted, as_json=as_json, folder=None, several=False, stdout=stdout)
    assert (chosen.form, chosen.json_lines) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_several_files_of_a_kind_that_is_none_in_a_row_are_refused(name: Format, tmp_path: Path) -> None:
    if name in {"srt", "vtt", "tsv"}:
        with pytest.raises(UsageError, match=f"as {name} cannot share standard output") as caught:
            choose(name, as_json=False, folder=None, several=True)
        assert "--output" in (caught.value.hint or "")
    else:
        assert choose(name, as_json=False, folder=None, several=True).form == name
    for as_json in (False, True):
        assert choose(name, as_json=as_json, folder=tmp_path, several=True).form == name


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"json"}))
def test_json_and_another_format_do_not_share_stdout(name: Format) -> None:
    with pytest.raises(UsageError, match=f"nothing that would be {name}") as caught:
        choose(name, as_json=True, folder=None, several=False)
    assert "--output DIR" in (caught.value.hint or "")
    assert choose("json", as_json=True, folder=None, several=False).form == "json"


def test_what_subtitles_are_to_be_like_is_said_of_subtitles(capsys: pytest.CaptureFixture[str]) -> None:
    narrow = Norms(line_chars=20, lines=1)
    others: tuple[Format | None, ...] = (None, "txt", "tsv", "json")
    for name in others:
        with pytest.raises(UsageError, match="subtitles only") as caught:
            choose(name, as_json=False, folder=None, several=False, norms=narrow)
        assert "--format srt" in (caught.value.hint or "")
    writer = ResultWriter(choose("srt", as_json=False, folder=None, several=False, norms=narrow), ["a"])
    writer.put(0, done("all that was said in a long time in here"))
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if any(map(str.isalpha, line))] == ["all that was said in", "a long time in here"]


def asked(*arguments: str) -> Norms:
    """What a command gets of these options."""
    got: list[Norms] = []

    @click.command()
    @options.output_options
    def command(norms: Norms, **_others: object) -> None:
        got.append(norms)

    command.main(list(arguments), standalone_mode=False)
    return got[0]


def test_norms_are_options_and_options_are_norms() -> None:
    assert asked() == Norms()
    assert of_norms(Norms()) == []
    norms = Norms(line_chars=30, lines=3, line_words=4, chars_per_s=15, shortest_ms=500, longest_ms=5500)
    assert asked(*of_norms(norms)) == norms
    assert asked("--max_line_width", "30", "--max_line_count", "3") == Norms(line_chars=30, lines=3)
    with pytest.raises(UsageError, match="--max-duration"):
        asked("--min-duration", "3", "--max-duration", "2")


def test_a_folder_that_takes_no_files_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Cannot write into the folder"):
        choose(None, as_json=False, folder=tmp_path / "file" / "sub", several=False)


def test_results_are_shown_in_input_order_as_soon_as_possible(capsys: pytest.CaptureFixture[str]) -> None:
    order = ResultWriter(form(), ["a", "b", "c"])
    order.put(1, done("two"))
    assert capsys.readouterr().out == ""
    order.put(0, done("one"))
    assert capsys.readouterr().out == "one\ntwo\n"
    order.flush()
    order.put(2, done("three"))
    assert capsys.readouterr().out == "three\n"


def test_results_are_held_back_and_gaps_are_passed_over_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    order = ResultWriter(form(), ["a", "b", "c"], hold=True)
    order.put(2, done("three"))
    order.put(0, done("one"))
    assert capsys.readouterr().out == ""
    order.flush()
    assert capsys.readouterr().out == "one\nthree\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_several_texts_say_whose_they_are(capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    order = ResultWriter(form(several=True, terminal=terminal), ["a.mp3", "b\x1b.mp3"])
    order.put(0, done("one"))
    order.put(1, done("two"))
    assert capsys.readouterr().out == "==> a.mp3 <==\none\n\n==> b\\x1b.mp3 <==\ntwo\n"


@pytest.mark.parametrize("json_lines", [True, False])
def test_a_failure_is_always_a_sentence_and_a_document_besides_in_json(
    capsys: pytest.CaptureFixture[str], json_lines: bool
) -> None:
    order = ResultWriter(form(json_lines=json_lines), ["talk.mp3"])
    order.put(0, failed("id1", AudioEmptyError("The file is empty."), name="talk.mp3"))
    assert order.any_failed
    shown = capsys.readouterr()
    sentence, hint = shown.err.splitlines()
    assert sentence == "asrq: error: talk.mp3: The file is empty. [audio_empty]"
    assert hint.strip() == f"hint: {AudioEmptyError.default_hint}"
    if json_lines:
        document = json.loads(shown.out)
        assert (document["id"], document["status"]) == ("id1", "failed")
        assert document["error"]["code"] == "audio_empty"
        assert document["audio"]["name"] == "talk.mp3"
    else:
        assert shown.out == ""


@pytest.mark.parametrize(
    ("about", "sentence", "said"),
    [
        ("a/x.wav", "x.wav is empty (0 bytes).", "a/x.wav is empty (0 bytes)."),
        ("x.wav", "x.wav is empty (0 bytes).", "x.wav is empty (0 bytes)."),
        ("../a/x.wav", "There is no file /srv/a/x.wav.", "There is no file /srv/a/x.wav."),
        ("a\\x.wav", "There is no file C:\\a\\x.wav.", "There is no file C:\\a\\x.wav."),
        ("a/x", "x-rays are no audio.", "a/x: x-rays are no audio."),
        ("a/x.wav", "The file is empty.", "a/x.wav: The file is empty."),
        ("a/", "The file is empty.", "a/: The file is empty."),
    ],
)
def test_a_failure_names_its_file_once(
    capsys: pytest.CaptureFixture[str], about: str, sentence: str, said: str
) -> None:
    failure.say(AudioEmptyError(sentence), about=about)
    assert capsys.readouterr().err.splitlines()[0] == f"asrq: error: {said} [audio_empty]"


def test_json_formats_are_one_line_in_a_pipe_and_indented_for_reading(capsys: pytest.CaptureFixture[str]) -> None:
    for terminal in (False, True):
        ResultWriter(form("verbose_json", terminal=terminal), ["a"]).put(0, done("x"))
        text = capsys.readouterr().out
        assert json.loads(text)["text"] == "x"
        assert (text.count("\n") > 1) is terminal


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("json_lines", [True, False])
@pytest.mark.parametrize("to_files", [True, False])
def test_warnings_are_said_on_stderr_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: Format, json_lines: bool, to_files: bool
) -> None:
    warned = done("x", warnings=("truncated_media", "fallback:out_of_memory", "from_the_future"))
    folder = tmp_path if to_files else None
    order = ResultWriter(form(name, json_lines=json_lines, folder=folder), ["talk.mp3"])
    order.put(0, warned)
    assert not order.any_failed
    shown = capsys.readouterr()
    if json_lines:
        assert json.loads(shown.out)["warnings"] == list(warned.warnings)
    else:
        assert "warning:" not in shown.out
    first, second, third = shown.err.splitlines()
    assert first.startswith("asrq: warning: talk.mp3: the file was cut off")
    assert first.endswith("[truncated_media]")
    assert "another backend took over" in second
    assert second.endswith("(out_of_memory) [fallback:out_of_memory]")
    assert third == "asrq: warning: talk.mp3: the worker warns of from the future [from_the_future]"


def test_files_take_the_name_of_the_source_and_overwrite_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talk.srt").write_text("mine", encoding="utf-8")
    order = ResultWriter(form("srt", folder=tmp_path, several=True), ["talk.mp3", "talk.wav"])
    order.put(0, done("one"))
    order.put(1, done("two"))
    assert (tmp_path / "talk.srt").read_text(encoding="utf-8") == "mine"
    assert "one" in (tmp_path / "talk-2.srt").read_text(encoding="utf-8")
    assert "two" in (tmp_path / "talk-3.srt").read_text(encoding="utf-8")
    shown = capsys.readouterr()
    assert shown.out.split() == [str(tmp_path / "talk-2.srt"), str(tmp_path / "talk-3.srt")]
    assert shown.err.startswith("asrq: talk.srt was there before and is kept: the new transcript is talk-2.srt.\n")


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_names_do_not_depend_on_which_job_ends_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], order: tuple[int, ...]
) -> None:
    writer = ResultWriter(form(folder=tmp_path, several=True), ["a/talk.wav", "b/talk.wav", "talk-2.wav", "c/talk.mp3"])
    for index in order:
        writer.put(index, done(str(index)))
    found = {path.name: path.read_text(encoding="utf-8").strip() for path in tmp_path.iterdir()}
    assert found == {"talk.txt": "0", "talk-2.txt": "1", "talk-2-2.txt": "2", "talk-3.txt": "3"}
    assert capsys.readouterr().err == "", "nothing was there before"


@pytest.mark.parametrize("hold", [True, False])
def test_a_file_is_there_as_soon_as_its_job_has_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], hold: bool
) -> None:
    order = ResultWriter(form(folder=tmp_path, several=True), ["a.mp3", "b.mp3", "c.mp3"], hold=hold)
    order.put(2, done("three"))
    assert (tmp_path / "c.txt").read_text(encoding="utf-8") == "three\n"
    order.put(1, done("two"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.txt", "c.txt"]
    assert capsys.readouterr().out == "", "what is printed keeps the order of the inputs"


def test_where_jobs_are_named_by_id_files_are_named_after_the_audio(tmp_path: Path) -> None:
    names = ["talk.mp3", "../../etc/passwd", "", "..", "a/b\0c.wav"]
    ids = [f"id{number}" for number in range(len(names) + 1)]
    order = ResultWriter(form(folder=tmp_path, several=True), ids, by_id=True)
    for number, name in enumerate(names):
        order.put(number, done("x", audio=AudioInfo(name=name)))
    order.put(len(names), done("x"))
    assert {path.name for path in tmp_path.iterdir()} == {
        "talk.txt", "passwd.txt", "id2.txt", "transcript.txt", "bc.txt", "id5.txt"
    }  # fmt: skip


def test_a_file_that_cannot_be_written_is_its_own_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    order = ResultWriter(choose("txt", as_json=False, folder=folder, several=True), ["a.mp3", "b.mp3", "c.mp3"])
    order.put(0, done("one"))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    order.put(1, done("two"))
    folder.mkdir()
    order.put(2, done("three"))
    assert order.any_failed
    shown = capsys.readouterr()
    assert [Path(line).name for line in shown.out.splitlines()] == ["a.txt", "c.txt"]
    assert shown.err.startswith("asrq: error: b.mp3: Cannot write")
    assert "[output_failed]" in shown.err
