"""The documentation: its links hold, and its state machine is the one that runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import REPO

TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(text: str) -> str:
    """The page without its code."""
    return re.sub(r"^ *```.*?^ *```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a code host makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()).replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", TOP)
def test_links_of_the_pages_beside_the_site_hold(page: str) -> None:
    for link in LINK.findall(prose((REPO / page).read_text(encoding="utf-8"))):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = REPO / (path or page)
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_no_line_of_the_changelog_stands_twice() -> None:
    lines = [line for line in (REPO / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line.startswith("  ")]
    assert len(lines) == len(set(lines)) > 0


def test_links_to_elsewhere_are_few_and_safe() -> None:
    """They are not fetched here; what can be said of them without is that they are meant, and by https."""
    pages = [*(REPO / page for page in TOP), *(REPO / "docs").rglob("*.md")]
    links = {link for page in pages for link in LINK.findall(prose(page.read_text(encoding="utf-8")))}
    outside = {link for link in links if re.match(r"[a-z]+://", link)}
    assert all(link.startswith("https://") for link in outside), outside
    hosts = {re.sub(r"https://([^/]+).*", r"\1", link) for link in outside}
    assert hosts <= {
        "arxiv.org", "docs.sentry.io", "doi.org", "keepachangelog.com", "pypi.org", "python-rq.org", "pytorch.org",
        "semver.org", "www.isca-archive.org",
    }, hosts  # fmt: skip


def test_the_state_machine_names_every_step() -> None:
    page = (REPO / "docs" / "explanation" / "state-machine.md").read_text(encoding="utf-8")
    scripts = {path.name for path in (REPO / "jobs" / "asrq_jobs" / "lua").glob("*.lua")}
    of_jobs = {name for name in scripts if not name.endswith("_webhook.lua")}
    assert set(re.findall(r"`(\w+\.lua)`", page)) == of_jobs
    ends = re.search(
        r"outcome +([\w |]+)\n", (REPO / "jobs/asrq_jobs/lua/end_execution.lua").read_text(encoding="utf-8")
    )
    assert ends is not None
    assert set(re.findall(r"`end_execution\.lua` (\w+) \|", page)) == set(ends[1].split(" | "))


def test_every_decision_is_listed_in_order_by_its_title() -> None:
    found = {path: path.read_text(encoding="utf-8") for path in sorted((REPO / "docs").glob("explanation/decisions/*"))}
    titles = {path.relative_to(REPO / "docs").as_posix(): text.partition("\n")[0] for path, text in found.items()}
    listed = re.findall(
        r"\[(\d+\. .+)\]\((explanation/decisions/.+)\)", (REPO / "docs" / "index.md").read_text(encoding="utf-8")
    )
    assert [(path, f"# {title}") for title, path in listed] == list(titles.items())
    in_navigation = re.findall(r"- (explanation/decisions/.+)", (REPO / "mkdocs.yml").read_text(encoding="utf-8"))
    assert in_navigation == list(titles)
