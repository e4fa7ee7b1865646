"""Uploads on their way in: written to the spool as they come, and hashed meanwhile; never whole in memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from asrq_jobs.errors import InvalidRequestError, NoRoomError, StorageError
from asrq_worker.http import problems
from asrq_worker.storage.disk import writing

_IN_MEMORY = 1 << 20  # bytes of an upload; what is longer is written to the spool
_MULTIPART = "multipart/form-data"


class Incoming(SpooledTemporaryFile[bytes]):
    """A file that is written from the beginning to the end, hashed on the way, and read afterwards.

    Starlette writes what is still in memory without a thread, which costs more than the writing: so this is of the kind
    that it knows.
    """

    def __init__(self, folder: Path | None) -> None:
        """Keep it in `folder`, by default where the system keeps temporary files."""
        super().__init__(max_size=_IN_MEMORY, dir=str(folder) if folder else None)
        self._digest = hashlib.sha256()
        self.size = 0
        """Bytes that were written."""

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of what was written."""
        return self._digest.hexdigest()

    @property
    def reader(self) -> BinaryIO:
        """The file, to read from."""
        return cast("BinaryIO", self)

    def write(self, data: bytes) -> int:  # type: ignore[override]  # always bytes, as Starlette has them
        """Write more.

        Raises:
            RefusedError: there is no room for it.
        """
        self._digest.update(data)
        self.size += len(data)
        try:
            with writing():
                return super().write(data)
        except (StorageError, NoRoomError) as error:
            raise problems.RefusedError(error, problems.status_of(error)) from None


class _Parser(MultiPartParser):
    """Starlette's, with files of ours."""

    def __init__(self, request: Request, folder: Path | None, **limits: Any) -> None:
        super().__init__(request.headers, request.stream(), **limits)
        self._folder = folder
        self._incoming: list[Incoming] = []

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is not None:
            self._current_part.file.file.close()
            incoming = Incoming(self._folder)
            self._incoming.append(incoming)
            self._current_part.file.file = cast("BinaryIO", incoming)

    async def parse(self) -> FormData:
        try:
            return await super().parse()
        except BaseException:
            for incoming in self._incoming:
                incoming.close()
            raise


class _Request(Request):
    async def _get_form(self, **limits: Any) -> FormData:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._form is None and kind == _MULTIPART:
            try:
                self._form = await _Parser(self, self.app.state.gateway.settings.spool_dir, **limits).parse()
            except MultiPartException as error:
                raise HTTPException(400, error.message) from None
            if twice := _given_twice(self._form):
                await self._form.close()
                raise problems.RefusedError(InvalidRequestError(f"The form has {twice!r} twice."), 400)
        return await super()._get_form(**limits)


def _given_twice(form: FormData) -> str | None:
    """Return the name of a field that is repeated, though it is no list."""
    names = Counter(name for name, _ in form.multi_items() if not name.endswith("[]"))
    return next((name for name, number in names.items() if number > 1), None)


class UploadRoute(APIRoute):
    """A route that takes forms with files."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what handles a request."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return handler
