"""The page for people: files of this package, sent as they are. All that it does is done by the routes for programs."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

from asrq_jobs import result_warnings

router = APIRouter(include_in_schema=False)

_FILES = StaticFiles(directory=Path(__file__).with_name("static"))
_HEADERS = {
    # Scripts and styles are those of this package alone, text never becomes markup, and no other site is asked.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # kept, and asked for again by its ETag
}


@router.get("/")
async def page(request: Request) -> Response:
    """Return the page."""
    return await _sent("index.html", request)


@router.get("/static/warnings.json")
async def warnings() -> dict[str, str]:
    """Return what the warnings in results mean."""
    return result_warnings.MEANINGS


@router.get("/static/{name}")
async def file(name: str, request: Request) -> Response:
    """Return what it is made of."""
    return await _sent(name, request)


async def _sent(name: str, request: Request) -> Response:
    found = await _FILES.get_response(name, request.scope)
    found.headers.update(_HEADERS)
    return found
