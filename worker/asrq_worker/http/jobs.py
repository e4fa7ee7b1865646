"""Jobs, for clients that do not wait: submit, look, follow, cancel, retry, erase."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile

from asrq_jobs import formats
from asrq_jobs.errors import DeliveryRefusedError, InvalidRequestError, JobStateError, UrlNotAllowedError
from asrq_jobs.request import JOB_ID_PATTERN, LANES, Channels, Lane, Tag, Task, UrlAudio
from asrq_jobs.result import Keep
from asrq_jobs.states import STATUSES, JobState, Status, Submitted
from asrq_worker.audio.url import refuse_local
from asrq_worker.http import access, forms, problems, sse
from asrq_worker.http.access import Holder
from asrq_worker.http.gateway import Gateway, HowAsked, KeyHolder, Manner, OurGateway
from asrq_worker.http.openai import succeeded
from asrq_worker.http.uploads import UploadRoute
from asrq_worker.http.whole import WholeAnswer

router = APIRouter(prefix="/v1/jobs", responses=problems.RESPONSES, route_class=UploadRoute)


async def _own_job(job_id: Annotated[str, Path(pattern=JOB_ID_PATTERN)], whose: KeyHolder) -> str:
    """Return the id that a path names, if that job may be seen."""
    access.refuse_foreign(job_id, whose)
    return job_id


JobId = Annotated[str, Depends(_own_job)]

_MEDIA_TYPES: dict[formats.Format, str] = {
    "json": "application/json",
    "verbose_json": "application/json",
    "txt": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
}
_PAGE = 100  # jobs that are looked at together where not all are meant
_LOOKS = 1000  # jobs that are looked at for one answer
_LOCATION = {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}}
_RESULT: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind.partition(";")[0]: {} for kind in _MEDIA_TYPES.values()}}
}
_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}}}}}


_Track = Annotated[int, Field(ge=1, le=1000), forms.NO_BOOL]
_Speakers = Annotated[int, Field(ge=1, le=20), forms.NO_BOOL]


class Order(BaseModel):
    """What a job is to do. The fields are those of `asrq.request/1`."""

    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(
        default=None, min_length=1, max_length=4096, description="Where a worker fetches the audio."
    )
    model: str | None = Field(default=None, min_length=1, max_length=512, description="As in GET /v1/models.")
    task: Task = "transcribe"
    language: str = Field(default="auto", max_length=64)
    languages: Annotated[tuple[str, ...], BeforeValidator(forms.words)] = Field(
        default=(), max_length=20, description="Those that auto is to choose among; in a form separated by commas."
    )
    prompt: str | None = Field(default=None, max_length=4000)
    hotwords: str = Field(default="", max_length=4000, description="Separated by commas.")
    track: _Track | None = Field(default=None, description="Number of the audio track, from 1.")
    channels: Channels = Field(default="mix", description="separate hears each of two channels for itself.")
    diarize: bool = Field(default=False, description="Tell speakers apart by their voices.")
    speakers: _Speakers | None = Field(default=None, description="How many there are, if that is known.")
    min_speakers: _Speakers | None = None
    max_speakers: _Speakers | None = None
    word_timestamps: bool = False
    deliver: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="Where a worker puts the transcript, if the operator allows it; the ending says in which format.",
    )
    metadata: Annotated[dict[str, str], BeforeValidator(forms.read_object)] = Field(
        default={}, description="Texts that come back with the result; in a form as JSON."
    )
    group: str | None = Field(default=None, pattern=JOB_ID_PATTERN, description="Id of the group that it belongs to.")
    group_size: Annotated[int, Field(ge=1, le=100_000), forms.NO_BOOL] | None = Field(
        default=None, description="How many jobs the group has."
    )
    keep: Keep = Field(default="result", description="nothing: it is erased once its result was fetched or delivered.")
    tags: Annotated[tuple[Tag, ...], BeforeValidator(forms.words)] = Field(
        default=(), max_length=20, description="Words to find the job by; in a form separated by commas."
    )


class Upload(Order):
    """The same in a form, with the audio in it."""

    file: bytes = Field(default=b"", json_schema_extra={"format": "binary"})


_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": Upload.model_json_schema()},
            "application/json": {"schema": Order.model_json_schema()},
        },
    }
}


class Listing(BaseModel):
    """A page of jobs; `next` is the cursor of the one that follows it, if there is more."""

    data: list[JobState]
    next: str | None


class Canceled(BaseModel):
    """`canceled`: it has ended. `requested`: it runs, and its worker has been told."""

    id: str
    status: Literal["canceled", "requested"]


@router.post("", status_code=202, openapi_extra=_BODIES, responses={202: {"headers": _LOCATION}})
async def submit(
    request: Request, response: Response, gateway: OurGateway, manner: HowAsked, whose: KeyHolder
) -> Submitted:
    """Submit a job: a form with the audio, or JSON that says where it is."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        job = await _submit(gateway, manner, whose, await _json(request), None)
    else:
        async with request.form() as form:
            fields = {name: value for name, value in form.items() if name != "file"}
            file = form.get("file")
            job = await _submit(gateway, manner, whose, fields, file if isinstance(file, UploadFile) else None)
    request.state.job = job.id
    response.headers["Location"] = f"{router.prefix}/{job.id}"
    return job


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError):
        raise InvalidRequestError("The body is not JSON.") from None


async def _submit(
    gateway: Gateway, manner: Manner, whose: Holder | None, fields: Any, file: UploadFile | None
) -> Submitted:
    try:
        order = Order.model_validate(fields)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        raise RequestValidationError(found) from None
    if (order.url is None) == (file is None):
        raise InvalidRequestError("A job needs either a file, in a form, or a url.")
    if order.url is not None:
        refuse_local(order.url)
    if order.deliver is not None:
        _refuse_delivery(order.deliver)
    audio = UrlAudio(url=order.url) if order.url is not None else file
    assert audio is not None  # noqa: S101  # there is one of the two
    words = forms.words(order.hotwords)
    options = order.model_dump(exclude={"url", "model", "hotwords", "group", "group_size"})
    if (order.group is None) != (order.group_size is None):
        raise InvalidRequestError("A group needs its size, and a size its group.", hint="Give group and group_size.")
    options["group"] = order.group and {"id": order.group, "size": order.group_size}
    return await gateway.submit(audio, order.model, manner, whose, hotwords=words, **options)


def _refuse_delivery(address: str) -> None:
    try:
        refuse_local(address)
    except UrlNotAllowedError as error:
        raise DeliveryRefusedError(error.message, hint="Name an address such as https://… or s3://….") from None


@router.get("")
async def list_jobs(
    gateway: OurGateway,
    whose: KeyHolder,
    state: Annotated[Status | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(pattern=r"^(interactive|batch)\.[a-z]{1,10}\.[A-Za-z0-9_-]{1,64}$")] = None,
    tag: Annotated[str | None, Query(description="Only jobs with this tag.")] = None,
) -> Listing:
    """List jobs: those that wait first, then those that run, then those that have ended, newest first.

    With a key only its own jobs, and with a tag only those that have it. An answer looks at no more than 1000 jobs for
    the tag. So a page may have fewer than `limit`, even none, and there is more as long as it has a `next`.
    """
    places: list[tuple[Lane, Status]] = [(lane, each) for each in STATUSES for lane in LANES if state in {None, each}]
    after: str | None = None
    if cursor is not None:
        *place, after = cursor.split(".")
        if whose is not None and not whose.owns(after):
            raise InvalidRequestError("The cursor is none of this list's.", hint="Take `next` of the page before.")
        at = next((number for number, each in enumerate(places) if list(each) == place), None)
        if at is None:
            raise InvalidRequestError("The cursor is none of this list's.", hint="Take `next` of the page before.")
        places = places[at:]
    found: list[JobState] = []
    looked, most, begins = 0, limit if tag is None else _PAGE, whose.begins if whose else ""
    for lane, status in places:
        while page := await gateway.client.jobs(status, lane=lane, most=most, after=after, begins=begins):
            for job in page:
                looked += 1
                if tag is None or tag in job.tags:
                    found.append(job)
                if len(found) == limit or looked == _LOOKS:
                    return Listing(data=found, next=f"{lane}.{status}.{job.id}")
            after = page[-1].id
        after = None
    return Listing(data=found, next=None)


@router.get("/{job_id}")
async def get_job(gateway: OurGateway, job_id: JobId) -> JobState:
    """Return the state of a job."""
    return await gateway.client.state(job_id)


@router.get("/{job_id}/result", responses=_RESULT, response_class=Response)
async def get_result(
    gateway: OurGateway,
    job_id: JobId,
    whose: KeyHolder,
    form: Annotated[formats.Format, Query(alias="format")] = "json",
) -> Response:
    """Return what came of a job: as `json` the whole result, be it a failure; else the transcript.

    A job that is to keep nothing is erased once all of it was sent, and stays if the client leaves before.
    """
    result = await gateway.client.result(job_id, peek=True)
    if result is None:
        state = await gateway.client.state(job_id)
        raise JobStateError(f"Job {job_id} is {state.status}; there is no result yet.", hint="Follow its events.")
    body = formats.render(result if form == "json" else succeeded(result), form)
    if not result.erased_when_fetched:
        return Response(body, media_type=_MEDIA_TYPES[form])
    sent = BackgroundTask(gateway.erase, job_id, whose)
    return WholeAnswer(body, media_type=_MEDIA_TYPES[form], background=sent)


@router.get("/{job_id}/events", responses=_EVENTS, response_class=Response)
async def follow(
    gateway: OurGateway,
    job_id: JobId,
    last_event_id: Annotated[str, Header(pattern=r"^\d{1,19}(-\d{1,19})?$")] = "0",  # Redis takes 64 bits
) -> Response:
    """Send a job's events until it has ended: from the first, or after the one that the client saw last."""
    await gateway.client.state(job_id)

    async def messages() -> AsyncIterator[bytes]:
        async for entry in gateway.client.entries(job_id, after=last_event_id):
            document = entry.event.model_dump(mode="json", exclude_none=True)
            yield sse.message(document, event=entry.event.type, id=entry.id)

    return sse.EventStream(messages())


@router.post("/{job_id}/cancel")
async def cancel(gateway: OurGateway, job_id: JobId) -> Canceled:
    """Cancel a job: at once if it waits, within about a second if it runs."""
    return Canceled(id=job_id, status=await gateway.client.cancel(job_id))


@router.post("/{job_id}/retry", status_code=202)
async def retry(gateway: OurGateway, job_id: JobId, whose: KeyHolder) -> JobState:
    """Put a failed or canceled job back into its lane."""
    await gateway.retry(job_id, whose)
    return await gateway.client.state(job_id)


@router.delete("/{job_id}", status_code=204)
async def erase(gateway: OurGateway, job_id: JobId, whose: KeyHolder) -> None:
    """Erase a job, whatever its state: its text, its events, and its audio unless another job needs that."""
    await gateway.erase(job_id, whose)
