"""rq-dashboard over asrq's queues: JSON only, escaped, with the routes that could do harm closed.

rq-dashboard 0.9 takes the serializer as an option, but several of its views forget it and unpickle, and one job hash
that RQ cannot read makes a whole list fail. Its module-level `Job`, `Queue`, `Worker`, `requeue_job` and `from_url`
are what all its views go through; here they are replaced by versions that read JSON alone. Its pages put what jobs
say into HTML as it is; `_escaped` changes their templates so that a file name stays text.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from asrq_jobs import extras, keys, rq
from asrq_jobs.client import Client
from asrq_jobs.connection import explain
from asrq_jobs.errors import ExtraMissingError, JobNotFoundError, JobStateError, QueueError
from asrq_jobs.settings import Settings
from asrq_worker.process import endpoint
from asrq_worker.telemetry.logs import Log

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.exceptions import HTTPException
    from werkzeug.serving import BaseWSGIServer

_log = Log("asrq.dashboard")

_CLOSED = "/queue/"  # compacting and emptying rewrite a live queue in several steps and can lose an id
# Its pages are made of inline scripts that compile templates; beside those, nothing comes from or goes elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
_MENDS = (
    (re.compile(r"<%= \$\('<div/>'\)\.text\((.+?)\)\.html\(\) %>"), r"<%- \1 %>"),
    (re.compile(r"<%="), "<%-"),
    (re.compile(r'<a [^>]*id="compact-btn".*?</a>', re.DOTALL), ""),
)


class _JsonJob(Job):
    """A job read as JSON, even if the caller forgot the serializer; one that RQ cannot read is shown as such."""

    def __init__(self, id: str | None = None, connection: Redis | None = None, serializer: Any = None) -> None:  # noqa: A002  # RQ's name
        del serializer
        super().__init__(id, connection=connection, serializer=JSONSerializer)

    def restore(self, raw_data: Any) -> None:
        """Read a job hash; never raises for one that is malformed."""
        try:
            super().restore(raw_data)
        except Exception:  # noqa: BLE001  # a job that RQ stumbles over must not take the page down
            self.data = JSONSerializer.dumps([keys.FUNCTION, None, [], {}])
            self.origin = raw_data.get(rq.ORIGIN.encode(), b"").decode(errors="replace")
            self.description = "malformed job"
            self._status = JobStatus.FAILED

    def get_call_string(self) -> str | None:
        """Return what the page of workers shows of a running job: not the request, which holds prompt and address."""
        return self.description

    def get_status(self, refresh: bool = True) -> JobStatus:
        """Return the status; that of a job without a readable one is failed."""
        try:
            return super().get_status(refresh)
        except (InvalidJobOperation, ValueError):
            return JobStatus.FAILED


class _JsonQueue(Queue):
    """A queue whose jobs are read as JSON."""

    job_class = _JsonJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        kwargs["job_class"] = _JsonJob
        super().__init__(*args, **kwargs)

    def fetch_job(self, job_id: str) -> _JsonJob | None:
        """Return a job that waits here, also apart from the lane that it belongs to; None if there is none."""
        try:
            return cast("_JsonJob", _JsonJob.fetch(job_id, connection=self.connection, serializer=JSONSerializer))
        except NoSuchJobError:
            return None


class _JsonWorker(Worker):
    """A worker whose jobs are read as JSON."""

    job_class = _JsonJob
    queue_class = _JsonQueue

    @classmethod
    def all(cls, connection: Redis | None = None, **kwargs: Any) -> list[_JsonWorker]:  # type: ignore[override]  # RQ's has more optional parameters
        """Return all workers."""
        kwargs["serializer"] = JSONSerializer
        return cast("list[_JsonWorker]", super().all(connection, **kwargs))


def _create_app(settings: Settings) -> Flask:
    """Return the dashboard as a WSGI application.

    Raises:
        ExtraMissingError: rq-dashboard is not installed.
    """
    try:
        import rq_dashboard
        from flask import Flask, request
        from rq_dashboard import web
        from werkzeug.exceptions import HTTPException
    except ImportError:
        raise ExtraMissingError("rq-dashboard is not installed.", hint=extras.hint("dashboard")) from None

    client = Client(settings)
    web.Job, web.Queue, web.Worker = _JsonJob, _JsonQueue, _JsonWorker
    web.config.serializer = JSONSerializer
    web.requeue_job = _requeue(client)
    web.from_url = lambda *_args, **_kwargs: (None, client.redis)

    app = Flask(rq_dashboard.__name__)  # its folder of static files is named in the pages
    app.config["RQ_DASHBOARD_REDIS_URL"] = settings.redis_url
    app.config["RQ_DASHBOARD_DISABLE_DELETE"] = True
    web.setup_rq_connection(app)
    app.register_blueprint(rq_dashboard.blueprint)
    password = settings.dashboard_password

    @app.before_request
    def refuse() -> tuple[str, int] | tuple[str, int, dict[str, str]] | None:
        given = request.authorization.password if request.authorization else None
        if password is not None and not _same(given or "", password.get_secret_value()):
            return "Password, please.", 401, {"WWW-Authenticate": 'Basic realm="asrq", charset="UTF-8"'}
        # A web page may give its own name this address, and then read what we answer: a browser shows it by the name.
        if password is None and not endpoint.is_address(urlsplit(f"//{request.host}").hostname or ""):
            return "Without ASRQ_DASHBOARD_PASSWORD this answers only under localhost or an IP address.", 403
        changes = request.method not in {"GET", "HEAD", "OPTIONS"}
        if request.path.startswith(_CLOSED):
            return "Closed here: it could lose jobs.", 403
        if request.path.startswith("/requeue/") and not changes:
            return "Use POST.", 405
        origin = request.headers.get("Origin")
        if changes and origin is not None and urlsplit(origin).netloc != request.host:
            return "Cross-site request refused.", 403
        return None

    @app.after_request
    def escape(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        if response.mimetype == "text/html":
            response.set_data(_escaped(response.get_data(as_text=True)))
        return response

    @app.errorhandler(Exception)
    def say(error: Exception) -> tuple[str, int, dict[str, str]] | HTTPException:
        if isinstance(error, HTTPException):
            return error
        if isinstance(error, NoSuchJobError):
            return "No such job: it was never submitted, or its time to live has passed.", 404, _PLAIN
        if isinstance(error, RedisError):
            return explain(error, settings).message, 503, _PLAIN
        if isinstance(error, QueueError):
            return error.message, 503, _PLAIN
        _log.defect("dashboard.defect", error)
        return "A defect; its traceback is in the log of asrq dashboard.", 500, _PLAIN

    return app


def _escaped(page: str) -> str:
    """Return a page of rq-dashboard whose templates escape what they insert, without the button that is closed."""
    for wrong, right in _MENDS:
        page = wrong.sub(right, page)
    return page


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _requeue(client: Client) -> Callable[..., None]:
    def requeue(job_id: str, connection: Redis, serializer: Any = None) -> None:
        """Retry as `asrq retry` does, so that history, events and result stay right."""
        del connection, serializer
        try:
            client.retry(job_id)
        except (JobStateError, JobNotFoundError):
            return  # another click was first

    return requeue


def make_server(settings: Settings, host: str, port: int) -> BaseWSGIServer:
    """Return a server that `serve_forever` and `shutdown` run; port 0 takes a free one."""
    app = _create_app(settings)
    from werkzeug.serving import make_server as make

    return make(host, port, app, threaded=True)
