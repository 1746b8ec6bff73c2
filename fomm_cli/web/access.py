"""Who may ask what: the gate every request passes before anything looks at it.

Against other pages in the visitor's browser: Host must be ours (DNS rebinding), Origin too, and what changes anything
carries X-Fomm, which another page cannot send without being asked for leave it never gets. Against other people: a
token, wherever not only this machine is served. Against other visitors: a cookie that pages cannot read.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fomm_cli.web.rules import LOCAL, Rules

SESSION, PASS = "fomm", "fomm-token"
_SAFE = {"GET", "HEAD"}
_EVERYWHERE = {"0.0.0.0", "::", ""}
_POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """ASGI middleware. What passes has a visitor: `scope["state"]["visitor"]`."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app, self.rules = app, rules
        # Knowing the cookie is knowing the token; the token itself stays out of the browser's files.
        self._secure = rules.certificate is not None
        self._pass = hashlib.sha256(b"fomm\0" + rules.token.encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        refusal = self._refusal(scope, asked.headers)
        given = asked.query_params.get("token", "")
        knocks = scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/" and given
        if refusal is None and self.rules.token and knocks:
            refusal = self._welcome(given)
        elif refusal is None and self.rules.token and not self._knows(asked):
            refusal = _no(401, "This page asks for a token.", "Open the address that `fomm web` printed.")
        visitor = asked.cookies.get(SESSION, "")
        fresh = re.fullmatch(r"[0-9a-f]{32}", visitor) is None
        if fresh:
            visitor = secrets.token_hex(16)
        scope.setdefault("state", {})["visitor"] = visitor

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if fresh and refusal is None:
                    secure = "; Secure" if self._secure else ""
                    headers.append("Set-Cookie", f"{SESSION}={visitor}; Path=/; HttpOnly; SameSite=Strict{secure}")
            await send(message)

        if refusal is None:
            await self.app(scope, receive, answer)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, answer)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return _no(403, "This server does not go by that name.", "Use the address that `fomm web` printed.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _no(403, "Another page may not ask this.", "Open the page of `fomm web` itself.")
        if scope["type"] == "http" and scope["method"] not in _SAFE and headers.get("x-fomm") != "1":
            return _no(403, "The header X-Fomm is missing.", "Send X-Fomm: 1 with what changes anything.")
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host is one of our names. Behind no name, an address of any kind: those are never rebound."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in LOCAL or name == self.rules.host.lower():
            return True
        if self.rules.host not in _EVERYWHERE:
            return False
        if name == socket.gethostname().lower():
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _knows(self, asked: HTTPConnection) -> bool:
        bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
        return _same(bearer, self.rules.token) or _same(asked.cookies.get(PASS, ""), self._pass)

    def _welcome(self, given: str) -> Response:
        if not _same(given, self.rules.token):
            return _no(401, "That is not the token.", "Open the address that `fomm web` printed.")
        response = RedirectResponse("/", 303)  # so that the token does not stay in the address
        response.set_cookie(PASS, self._pass, httponly=True, samesite="strict", secure=self._secure)
        return response


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _no(status: int, what: str, hint: str) -> Response:
    return JSONResponse({"what": what, "hint": hint}, status)


def visitor_of(connection: Any) -> str:
    """Whose request it is."""
    return str(connection.scope["state"]["visitor"])
