"""The parameters of a method: their types, which are required, and what is said about wrong ones.

Stricter than the real server, which ignores what it does not know: an unknown parameter, an upload that nothing refers
to, and a value of another type are refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.body import Body, Upload
from sandbox.errors import bad_request

Reader = Callable[[str, Any], Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method; `missing` is what is said where it is required and absent, None where optional."""

    read: Reader
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A checked call: parameters by name, absent ones left out; uploads by the name of their part."""

    method: str
    parameters: Mapping[str, Any]
    uploads: Mapping[str, Upload] = field(repr=False)

    def get(self, name: str) -> Any:
        return self.parameters.get(name)


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise bad_request(f'parameter "{name}" must be a string')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise bad_request("strings must be encoded in UTF-8") from error
    return value


def integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?\d{1,18}", str(value)):
        raise bad_request(f'parameter "{name}" must be an integer, not {value!r}')
    return int(value)


def boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "false"}:
        return str(value).lower() == "true"
    raise bad_request(f'parameter "{name}" must be true or false, not {value!r}')


def chat_id(name: str, value: Any) -> int:
    """Only numbers: channels' @names are not known here."""
    try:
        return integer(name, value)
    except Exception as error:
        raise bad_request("chat not found") from error


def json_object(name: str, value: Any) -> dict[str, Any]:
    value = _from_json(name, value, "object")
    if not isinstance(value, dict):
        raise bad_request(f"can't parse {name} JSON object: an object is expected")
    return value


def json_array(name: str, value: Any) -> list[Any]:
    value = _from_json(name, value, "array")
    if not isinstance(value, list):
        raise bad_request(f"can't parse {name} JSON array: an array is expected")
    return value


def _from_json(name: str, value: Any, kind: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise bad_request(f"can't parse {name} JSON {kind}: {error}") from error


def check_fields(where: str, given: Mapping[str, Any], spec: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the values by type; raise ApiError 400 for what is unknown, missing or of another type."""
    if unknown := given.keys() - spec.keys():
        raise bad_request(f"unknown field {', '.join(sorted(map(repr, unknown)))} in {where}")
    values: dict[str, Any] = {}
    for name, parameter in spec.items():
        if given.get(name) is not None:
            values[name] = parameter.read(name, given[name])
        elif parameter.missing is not None:
            raise bad_request(parameter.missing)
    return values


def read_call(method: str, body: Body, spec: Mapping[str, Parameter]) -> Call:
    """Check a body against the method's parameters."""
    fields, uploads = dict(body.fields), dict(body.uploads)
    for name in uploads:
        if name in spec:
            fields[name] = f"attach://{name}"
    mentions = json.dumps(list(fields.values()))
    for name in uploads:
        # Quotes end a name here, whether it stands alone or in JSON inside of a string.
        if not re.search(re.escape(f"attach://{name}") + r'\\*"', mentions):
            raise bad_request(f"unknown field {name!r} in {method}: nothing refers to this file")
    return Call(method, check_fields(method, fields, spec), uploads)
