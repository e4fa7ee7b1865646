"""The glossary stays short, and gives each word one meaning."""

from __future__ import annotations

import re
from pathlib import Path

GLOSSARY = Path(__file__).parents[3] / "docs/explanation/glossary.md"


def test_there_are_at_most_forty_words_each_defined_once() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY.read_text("utf-8"), re.MULTILINE)
    assert 30 < len(words) == len(set(words)) <= 40
