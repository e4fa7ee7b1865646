"""A hook of mkdocs: what pages link to in the repository, and is no page, becomes part of the site.

So links are good in a checkout, on a code host and in the site, whatever the repository's address is. A link to a
folder leads to a list of its files.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

_LINK = re.compile(r"\]\(([^)#:\s]+)\)")
_MADE = {"target", "node_modules", "__pycache__"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file and folder that a page links to."""
    for page in list(files.documentation_pages()):
        for link in _LINK.findall(page.content_string):
            _add(_target(page.src_uri, link), files, config)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have the links lead there."""
    here = posixpath.dirname(page.file.src_uri)

    def lead(match: re.Match[str]) -> str:
        uri = _uri(_target(page.file.src_uri, match[1]), config)
        return f"]({posixpath.relpath(uri, here or '.')})" if uri and files.get_file_from_path(uri) else match[0]

    return _LINK.sub(lead, markdown)


def _target(page: str, link: str) -> str:
    """Return what a link of a page names, relative to the repository."""
    return posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))


def _uri(target: str, config: MkDocsConfig) -> str | None:
    """Return where a file or folder of the repository is in the site; None: it is not there, or a file of docs/."""
    path = Path(config.docs_dir).parent / target
    if path.is_dir():
        return f"sources/{target}/index.md"
    return f"sources/{target}.txt" if path.is_file() and not target.startswith("docs/") else None  # shown, not saved


def _add(target: str, files: Files, config: MkDocsConfig) -> None:
    uri = _uri(target, config)
    if uri is None or files.get_file_from_path(uri) is not None:
        return
    path = Path(config.docs_dir).parent / target
    if path.is_file():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
        return
    lines = [f"# {target}\n"]
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and not _MADE & set(file.relative_to(path).parts):
            _add(f"{target}/{name}", files, config)
            lies = _uri(f"{target}/{name}", config) or f"{target}/{name}".removeprefix("docs/")
            lines.append(f"* [{name}]({posixpath.relpath(lies, posixpath.dirname(uri))})")
    listing = File.generated(config, uri, content="\n".join(lines), inclusion=InclusionLevel.NOT_IN_NAV)
    files.append(listing)
