"""Error reports to Sentry, when a DSN is set. Only defects are sent, never what users say or where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asrq_jobs import __version__
from asrq_jobs.errors import ExtraMissingError
from asrq_jobs.settings import Settings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_active = False


def configure(settings: Settings) -> None:
    """Start reporting if `sentry_dsn` is set.

    Raises:
        ExtraMissingError: a DSN is set and sentry-sdk is not installed.
    """
    global _active  # noqa: PLW0603  # as global as the SDK that it switches on
    if settings.sentry_dsn is None:
        return
    try:
        import sentry_sdk
    except ImportError:
        raise ExtraMissingError(
            "ASRQ_SENTRY_DSN is set, but sentry-sdk is not installed.", hint="pip install 'asrq[sentry]'"
        ) from None
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        release=f"asrq@{__version__}",
        environment=settings.environment,
        include_local_variables=False,
        max_breadcrumbs=0,
        default_integrations=False,
        before_send=_scrub,
    )
    sentry_sdk.set_tag("backend", settings.backend)
    sentry_sdk.set_tag("model", settings.model_of(settings.backend).replace("\\", "/").rpartition("/")[2])
    _active = True


def capture(error: BaseException, *, job_id: str | None = None) -> None:
    """Report a defect; does nothing without a DSN."""
    if not _active:
        return
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        if job_id:
            scope.set_tag("job_id", job_id)
        scope.capture_exception(error)


def _scrub(event: Event, hint: Hint) -> Event:
    """Keep the exception's type and stack; drop its message, which may quote a path, a URL or a text."""
    del hint
    values: list[dict[str, Any]] = event.get("exception", {}).get("values", [])
    for value in values:
        value["value"] = "(removed)"
    event.pop("extra", None)
    event.pop("server_name", None)
    return event
