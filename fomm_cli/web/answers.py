"""What requests bring and answers carry, whatever they are about."""

from __future__ import annotations

import io
import json
from typing import Any

from PIL import Image
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fomm_cli.errors import FommError
from fomm_cli.web.rules import RefusedError

SMALL = 64 << 10
"""Bytes of a request that is no file."""


async def asked_in(request: Request) -> dict[str, Any]:
    """The body as an object; a small one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > SMALL:
            raise RefusedError(413, "The request is too large.", "Upload files with POST /api/upload.")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FommError("The request is no JSON.", "Send an object, as docs/web.md says.") from error
    if not isinstance(given, dict):
        raise FommError("The request is no object.", "Send an object, as docs/web.md says.")
    return given


def number(given: Any, name: str, kind: type = int) -> Any:
    """A whole number, or with `float` any finite one, out of what was asked."""
    fits = type(given) is int or (kind is float and type(given) is float and abs(given) < 1e9)
    if not fits:
        raise FommError(f"{name} cannot be {str(given)[:20]!r}.", "It is a number.")
    return kind(given)


def encoded(picture: Image.Image) -> bytes:
    """As WebP, quickly."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=90, method=0)
    return buffer.getvalue()


async def explain(request: Request, error: Exception) -> Response:
    """A refusal in our words."""
    assert isinstance(error, FommError)
    status = error.status if isinstance(error, RefusedError) else 400
    return JSONResponse({"what": error.what, "hint": error.hint}, status)


async def plain(request: Request, error: Exception) -> Response:
    """What the framework refuses, in the same form."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    what = {404: "There is nothing here.", 405: "That is not done here."}.get(status, "The request broke off.")
    return JSONResponse({"what": what, "hint": ""}, status)
