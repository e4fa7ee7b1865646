"""docs/reference/http.md: the gateway's routes, from the description that it serves at /openapi.json."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from asrq_jobs.errors import all_errors
from asrq_jobs.settings import Settings
from asrq_worker.http import problems
from asrq_worker.http.app import create_app
from asrq_worker.monitor.registry import Metrics

_INTRODUCTION = """\
The routes of `asrq http` and their answers, from its own description at `/openapi.json`. How to use it:
[from OpenAI clients](../how-to/use-openai-clients.md) and [as jobs](../how-to/serve-http.md#jobs). Where
[keys](../how-to/give-out-keys.md) are asked for, every route below `/v1/` needs `Authorization: Bearer KEY`.
Dictation goes over a WebSocket, which that description cannot hold: [its events](../how-to/dictate.md#over-http).
"""
_STATUSES = """\
Errors have the shape of OpenAI's, with one of asrq's [codes](errors.md):
`{"error": {"message", "type", "param", "code", "hint", "retryable"}}`. The status depends on the code; answers with 429
and 503 have `Retry-After`. A request that fits no route gets 404 or 405, and one from a page of another site 403, both
with `invalid_request`.
"""

_NAMES = {"string": "text", "boolean": "true or false", "integer": "integer", "number": "number"}

Schema = dict[str, Any]


def page() -> Iterator[str]:
    """Yield the page, a line or paragraph at a time, without its first comment."""
    described = create_app(Settings(), Metrics()).openapi()
    yield "# HTTP\n"
    yield _INTRODUCTION
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            yield from _route(f"{method.upper()} {path}", route, described["components"]["schemas"])
    yield "\n## Statuses of errors\n"
    yield _STATUSES
    yield "| status | codes |\n|---|---|"
    codes: defaultdict[int, list[str]] = defaultdict(list)
    for error in all_errors():
        codes[problems.status_of(error(""))].append(f"`{error.code}`")
    for status in sorted(codes):
        yield f"| {status} | {', '.join(codes[status])} |"


def _route(title: str, route: Schema, schemas: Schema) -> Iterator[str]:
    yield f"\n## `{title}`\n"
    yield route["description"]
    rows = [
        (parameter["name"], parameter["in"], parameter["schema"], parameter.get("required", False))
        for parameter in route.get("parameters", ())
    ]
    for kind, content in route.get("requestBody", {}).get("content", {}).items():
        body = _resolved(content["schema"], schemas)
        where = "JSON" if kind == "application/json" else "form"
        rows += [(name, where, schema, name in body.get("required", ())) for name, schema in body["properties"].items()]
    if rows:
        yield "\n| parameter | in | type | default | meaning |\n|---|---|---|---|---|"
    for name, where, schema, required in _merged(rows):
        default = "required" if required else _default(schema)
        cells = (f"`{name}`", where, _type(schema, schemas), default, schema.get("description", ""))
        yield f"| {' | '.join(cells)} |"
    status, answer = next((code, each) for code, each in route["responses"].items() if code.startswith("2"))
    content = answer.get("content", {})
    kinds = " or ".join(f"`{kind}`" for kind in content)
    yield f"\nAnswer: {status}{', ' + kinds if kinds else ''}."
    for media in content.values():
        model = _resolved(media.get("schema", {}), schemas)
        if "properties" in model:
            yield "\n| field | type | meaning |\n|---|---|---|"
            for name, schema in model["properties"].items():
                meaning = schema.get("description") or _resolved(schema, schemas).get("description", "")
                yield f"| `{name}` | {_type(schema, schemas)} | {' '.join(meaning.split())} |"


def _merged(rows: list[tuple[str, str, Schema, bool]]) -> Iterator[tuple[str, str, Schema, bool]]:
    """Yield each parameter once: most can stand in a form and in JSON alike."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, where, _, _ in rows:
        places[name].append(where)
    first = {name: (schema, required) for name, _, schema, required in reversed(rows)}
    for name, each in places.items():
        yield name, ", ".join(each), *first[name]


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    found: Schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _type(schema: Schema, schemas: Schema) -> str:
    found = "object"
    match _resolved(schema, schemas):
        case {"anyOf": choices}:
            found = " or ".join(_type(each, schemas) for each in choices if each.get("type") != "null")
        case {"enum": values}:
            found = ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": items}:
            one = _type(items, schemas)
            found = "list of objects" if one == "object" else f"list of {one}"
        case {"contentMediaType": _} | {"format": "binary"}:
            found = "file"
        case {"type": "string" | "boolean" | "integer" | "number" as name} as known:
            bounds = [f"{sign} {known[key]:g}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in known]
            found = ", ".join([_NAMES[name], *bounds])
    return found


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default in (None, "", []):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return ", ".join(f"`{each}`" for each in (default if isinstance(default, list) else [default]))
