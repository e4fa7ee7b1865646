"""The gateway as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from asrq_jobs import __version__
from asrq_jobs.errors import AsrqError
from asrq_jobs.settings import Settings
from asrq_worker.http import access, dictation, groups, jobs, openai, page, problems, queue
from asrq_worker.http.door import Door
from asrq_worker.http.gateway import Gateway, OurGateway
from asrq_worker.monitor.registry import Metrics
from asrq_worker.telemetry.logs import Log

_log = Log("asrq.http")


class Alive(BaseModel):
    """That it answers."""

    ok: bool = True


def create_app(settings: Settings, metrics: Metrics) -> FastAPI:
    """Return the gateway for the queue at `settings.redis_url`; it connects when it is first needed.

    Raises:
        SettingsError: the file of keys cannot be used.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.gateway = gateway = Gateway(settings)
        yield
        await gateway.close()

    app = FastAPI(title="asrq", version=__version__, lifespan=life, redoc_url=None, redirect_slashes=False)
    holders = access.read(settings.http_keys) if settings.http_keys else ()
    app.add_middleware(Door, settings=settings, metrics=metrics, holders=holders)
    if settings.http_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.http_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["X-Asrq-Job", "X-Request-Id", "Location", "Retry-After"],
        )
    app.include_router(openai.router)
    app.include_router(jobs.router)
    app.include_router(groups.router)
    app.include_router(dictation.router)
    app.include_router(queue.router)
    app.include_router(page.router)

    @app.get("/healthz")
    async def alive() -> Alive:
        """Say that the gateway runs."""
        return Alive()

    @app.get("/readyz", responses=problems.RESPONSES)
    async def ready(gateway: OurGateway) -> Alive:
        """Say that the queue answers."""
        await gateway.client.reaper()
        return Alive()

    @app.exception_handler(AsrqError)
    async def ours(_request: Request, error: AsrqError) -> Response:
        if type(error) in problems.SECRETIVE:
            _log.warning("http.no_queue", reason=error.message)
        return problems.answer(error)

    @app.exception_handler(HTTPException)
    async def theirs(_request: Request, error: HTTPException) -> Response:
        return problems.of_http(error)

    @app.exception_handler(RequestValidationError)
    async def unfit(_request: Request, error: RequestValidationError) -> Response:
        return problems.of_validation(error)

    return app
