"""What the OpenAPI document says of each kind of route: the statuses that it may answer with, and the body that it takes."""

from typing import Any

_HTML = {"text/html": {}}
_PLAIN = {"text/plain": {}, "text/html": {}, "application/json": {}}
_REFUSED: dict[int | str, dict[str, Any]] = {
    403: {"description": "not a rater, or not from one of our pages", "content": _PLAIN},
    404: {"description": "nothing there", "content": _PLAIN},
    413: {"description": "a body above 16 kB", "content": _PLAIN},
    422: {"description": "no answer to what was asked", "content": _PLAIN},
    429: {"description": "too often", "content": _PLAIN},
}
_ON: dict[int | str, dict[str, Any]] = {303: {"description": "on to the next page"}}
_STALE: dict[int | str, dict[str, Any]] = {
    409: {"description": "the session is at another entry, which is shown", "content": _PLAIN}
}
_FIELDS = {
    "csrf": {"type": "string", "maxLength": 64},
    "order": {"type": "integer", "minimum": 0},
    "key": {"type": "string", "minLength": 8, "maxLength": 64},
    "seconds": {"type": "number", "minimum": 0},
    "values": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
}
_FORM = {"type": "object", "required": ["csrf"], "additionalProperties": {"type": "string"}}
_JSON = {"type": "object", "required": ["csrf", "order", "key", "values"], "properties": _FIELDS}

PAGE: dict[str, Any] = {"responses": {200: {"description": "a page", "content": {**_HTML, "text/css": {}, "text/javascript": {}}}, 204: {"description": "no icon"}, **_ON, **_REFUSED}}  # fmt: skip
ITEM: dict[str, Any] = {"responses": {200: {"description": "the current entry", "content": {"application/json": {}}}, **_REFUSED}}  # fmt: skip
PICTURE: dict[str, Any] = {
    "responses": {200: {"description": "a picture", "content": {"image/png": {}}}, **_REFUSED}
}
CHANGE: dict[str, Any] = {
    "responses": {**_ON, **_STALE, **_REFUSED},
    "openapi_extra": {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": _FORM}}}},
}
ANSWER: dict[str, Any] = {
    "responses": {
        200: {"description": "kept", "content": {"application/json": {}}},
        **_ON,
        **_STALE,
        **_REFUSED,
    },
    "openapi_extra": {
        "requestBody": {
            "content": {
                "application/json": {"schema": _JSON},
                "application/x-www-form-urlencoded": {"schema": _FORM},
            }
        }
    },
}
