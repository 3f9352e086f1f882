"""How the fake refuses: one exception, and the bodies that HubSpot's errors have.

Responsible for the form of an error. Must not know when one is due.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]


class RefusedError(Exception):
    """A call, or one input of a batch, that is not done. `status` 0 stands for a connection that is cut."""

    def __init__(
        self,
        status: int,
        category: str,
        message: str,
        *,
        errors: Sequence[Json] = (),
        context: Mapping[str, Sequence[str]] | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.category, self.message = status, category, message
        self.errors, self.context = list(errors), {key: list(values) for key, values in (context or {}).items()}
        self.headers, self.extra = dict(headers or {}), dict(extra or {})


def invalid(message: str, code: str = "", **context: str | Sequence[str]) -> RefusedError:
    """400 VALIDATION_ERROR, with one entry in `errors` where there is a code."""
    lists = {key: [value] if isinstance(value, str) else list(value) for key, value in context.items()}
    entry = [
        {"message": message, "code": code, "in": next(iter(lists.get("propertyName", [])), None), "context": lists}
    ]
    return RefusedError(400, "VALIDATION_ERROR", message, errors=entry if code else (), context=lists)


def not_said(message: str) -> RefusedError:
    """400 for what the research page does not describe."""
    return RefusedError(400, "VALIDATION_ERROR", f"Not in this fake: {message}")


def not_found(message: str, *ids: str) -> RefusedError:
    """404 OBJECT_NOT_FOUND."""
    return RefusedError(404, "OBJECT_NOT_FOUND", message, context={"ids": ids} if ids else None)


def body(error: RefusedError, form: str = "full") -> Json:
    """The whole answer. Every field is optional by the vendor's words: `bare` has two, `nested` hides it as JSON text in `message`."""
    if error.category == "RATE_LIMITS":
        return {
            "status": "error",
            "message": error.message,
            "errorType": "RATE_LIMIT",
            "correlationId": str(uuid.uuid4()),
            **error.extra,
            "requestId": str(uuid.uuid4()),
        }
    full: Json = {
        "status": "error",
        "category": error.category,
        "message": error.message,
        "correlationId": str(uuid.uuid4()),
        **({"errors": error.errors} if error.errors else {}),
        **({"context": error.context} if error.context else {}),
        **error.extra,
    }
    if form == "nested":
        inner = {key: full[key] for key in ("status", "category", "message", "errors", "context") if key in full}
        return {"status": "error", "message": json.dumps(inner), "correlationId": full["correlationId"]}
    if form == "bare":
        return {"status": "error", "message": error.message}
    return full


def entry(error: RefusedError, trace: str | None = None) -> Json:
    """One entry of `errors` in the answer to a batch."""
    context = dict(error.context)
    if trace is not None:
        context["objectWriteTraceId"] = [trace]
    return {
        "status": "error",
        "category": error.category,
        "message": error.message,
        "context": context,
        **({"errors": error.errors} if error.errors else {}),
    }
