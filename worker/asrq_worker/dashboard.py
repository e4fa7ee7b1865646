"""rq-dashboard over asrq's queues: JSON only, on loopback, with the routes that could do harm closed.

rq-dashboard 0.9 takes the serializer as an option, but several of its views forget it and unpickle, and one job hash
that RQ cannot read makes a whole list fail. Its module-level `Job`, `Queue`, `Worker` and `requeue_job` are what all
its views go through; here they are replaced by versions that read JSON alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from redis import Redis
from rq import Queue, Worker
from rq.exceptions import InvalidJobOperation
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from asrq_jobs import keys
from asrq_jobs.client import Client
from asrq_jobs.errors import ExtraMissingError, JobNotFoundError, JobStateError
from asrq_jobs.settings import Settings

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.serving import BaseWSGIServer

# Compacting rewrites a live queue in several steps and can lose an id.
_CLOSED = ("/queue/",)


class JsonJob(Job):
    """A job read as JSON, whatever the caller forgot; one that RQ cannot read is shown as such."""

    def __init__(self, id: str | None = None, connection: Redis | None = None, serializer: Any = None) -> None:  # noqa: A002  # RQ's name
        del serializer
        super().__init__(id, connection=connection, serializer=JSONSerializer)

    def restore(self, raw_data: Any) -> None:
        """Read a job hash; never raises for one that is malformed."""
        try:
            super().restore(raw_data)
        except Exception:  # noqa: BLE001  # whatever RQ stumbles on must not take the page down
            self.data = JSONSerializer.dumps([keys.FUNCTION, None, [], {}])
            self.origin = raw_data.get(b"origin", b"").decode(errors="replace")
            self.description = "malformed job"
            self._status = JobStatus.FAILED

    def get_status(self, refresh: bool = True) -> JobStatus:
        """Return the status; that of a job without a readable one is failed."""
        try:
            return super().get_status(refresh)
        except (InvalidJobOperation, ValueError):
            return JobStatus.FAILED


class JsonQueue(Queue):
    """A queue whose jobs are read as JSON."""

    job_class = JsonJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        kwargs["job_class"] = JsonJob
        super().__init__(*args, **kwargs)


class JsonWorker(Worker):
    """A worker whose jobs are read as JSON."""

    job_class = JsonJob
    queue_class = JsonQueue

    @classmethod
    def all(cls, connection: Redis | None = None, **kwargs: Any) -> list[JsonWorker]:  # type: ignore[override]  # RQ's has more optional parameters
        """Return all workers."""
        kwargs["serializer"] = JSONSerializer
        return cast("list[JsonWorker]", super().all(connection, **kwargs))


def create_app(settings: Settings) -> Flask:
    """Return the dashboard as a WSGI application.

    Raises:
        ExtraMissingError: rq-dashboard is not installed.
    """
    try:
        import rq_dashboard
        from flask import Flask, request
        from rq_dashboard import web
    except ImportError:
        raise ExtraMissingError("rq-dashboard is not installed.", hint="pip install 'asrq[dashboard]'") from None

    client = Client(settings)
    web.Job, web.Queue, web.Worker = JsonJob, JsonQueue, JsonWorker
    web.config.serializer = JSONSerializer
    web.requeue_job = _requeue(client)

    app = Flask("asrq-dashboard")
    app.config["RQ_DASHBOARD_REDIS_URL"] = settings.redis_url
    app.config["RQ_DASHBOARD_DISABLE_DELETE"] = True
    web.setup_rq_connection(app)
    app.register_blueprint(rq_dashboard.blueprint)

    @app.before_request
    def refuse() -> tuple[str, int] | None:
        changes = request.method not in {"GET", "HEAD", "OPTIONS"}
        if request.path.startswith(_CLOSED):
            return "Closed here: it could lose jobs.", 403
        if request.path.startswith("/requeue/") and not changes:
            return "Use POST.", 405
        origin = request.headers.get("Origin")
        if changes and origin is not None and urlsplit(origin).netloc != request.host:
            return "Cross-site request refused.", 403
        return None

    return app


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
    app = create_app(settings)
    from werkzeug.serving import make_server as make

    return make(host, port, app, threaded=True)
