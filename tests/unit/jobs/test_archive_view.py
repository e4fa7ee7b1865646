"""How a run over an archive is shown."""

from __future__ import annotations

import pytest

from asrq_jobs.cli.archive.shown import Totals
from asrq_jobs.cli.archive.view import ArchiveBars, Lines, _summary
from asrq_jobs.states import JobState


@pytest.mark.parametrize(
    ("totals", "said"),
    [
        (Totals(10), "0 of 10"),
        (Totals(10, skipped=4), "4 of 10, 4 done before"),
        (Totals(10, completed=1, failed=1, skipped=4, audio_s=90, elapsed_s=30),
         "6 of 10, 1 failed, 4 done before, 3.0x, 1:00 left"),
        (Totals(2, completed=2, audio_s=90, elapsed_s=30), "2 of 2, 3.0x"),
    ],
)  # fmt: skip
def test_a_line_says_how_far_it_is(totals: Totals, said: str) -> None:
    assert _summary(totals) == said


def test_without_a_terminal_it_is_said_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with Lines(clock=lambda: now) as lines:
        for now in (1.0, 59.0, 61.0, 62.0, 130.0):
            lines.counted(Totals(10, skipped=int(now)))
        for said in ("no worker is there", "no worker is there", "", "no worker is there"):
            lines.trouble(said)
        lines.remark(lambda: print("a remark"))
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "asrq: 61 of 10, 61 done before.", "asrq: 130 of 10, 130 done before.",
        "asrq: no worker is there.", "asrq: no worker is there.",
    ]  # fmt: skip
    assert said.out == "a remark\n"


def test_bars_show_what_is_in_the_queue_and_remarks_come_after_them(capsys: pytest.CaptureFixture[str]) -> None:
    bars = ArchiveBars(Totals(3))
    bars.begun("job", "a/talk.mp3")
    bars.begun("other", "b.mp3")
    bars.news("other", JobState(id="other", status="queued", lane="batch", position=7))
    bars.trouble("no worker is there")
    drawn = [str(each) for each in bars.get_renderables()][1:]
    assert [text.rstrip("0123456789:") for text in drawn] == [
        "  a/talk.mp3  uploading, ", "  b.mp3  no. 7 in batch, ", "no worker is there"
    ]  # fmt: skip
    bars.over("other")
    assert len([*bars.get_renderables()]) == 3
    with bars:
        bars.remark(lambda: print("a remark"))
        assert "a remark" not in capsys.readouterr().out
        bars.counted(Totals(3, completed=1))
    assert "a remark" in capsys.readouterr().out
