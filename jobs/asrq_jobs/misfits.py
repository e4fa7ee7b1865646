"""What pydantic finds wrong with a value, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAID = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "json_invalid": "it is no JSON",
    "string_type": "it is no text",
    "string_unicode": "it is no text in Unicode",
    "string_too_long": "it has more than {max_length} characters",
    "string_too_short": "it has fewer than {min_length} characters",
    "string_pattern_mismatch": "it has characters, or a length, that do not belong there",
    "literal_error": "it is not {expected}",
    "bool_type": "it is neither true nor false",
    "bool_parsing": "it is neither true nor false",
    "int_type": "it is no whole number",
    "int_parsing": "it is no whole number",
    "int_from_float": "it is no whole number",
    "float_type": "it is no number",
    "float_parsing": "it is no number",
    "finite_number": "it is no number",
    "greater_than": "it is not more than {gt}",
    "greater_than_equal": "it is less than {ge}",
    "less_than": "it is not less than {lt}",
    "less_than_equal": "it is more than {le}",
    "dict_type": "it is no object",
    "model_type": "it is no object",
    "model_attributes_type": "it is no object",
    "list_type": "it is no list",
    "tuple_type": "it is no list",
    "too_long": "it has more than {max_length} entries",
    "too_short": "it has fewer than {min_length} entries",
    "union_tag_invalid": "its {discriminator} is not {expected_tags}",
    "union_tag_not_found": "its {discriminator} is missing",
}
"""Of the kinds in https://docs.pydantic.dev/latest/errors/validation_errors/, those that our documents can have."""


def said(error: Mapping[str, Any]) -> str:
    """Return it as the end of a sentence. `error` is one of `ValidationError.errors()`."""
    context = error.get("ctx", {})
    if error["type"] == "value_error":  # ours
        return str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    if error["type"] == "string_too_short" and context["min_length"] == 1:
        return "it is empty"
    return _SAID.get(error["type"], "it does not fit").format_map(context)
