"""Which addresses may be opened on behalf of a table that a stranger may have written."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import quote, urlsplit

from fomm_cli.errors import FommError

YOUTUBE = "https://www.youtube.com/watch?v={video_id}"
_FIELD = "{video_id}"
_SCHEMES = ("http", "https")


def check_template(template: str) -> str:
    """A `--url-template`: http or https, with `{video_id}` in its path or query, never in the name of the host."""
    parts = urlsplit(template)
    if parts.scheme.lower() not in _SCHEMES:
        raise FommError(
            f"--url-template {template!r} is no http or https address.", "For files on this machine, use --videos DIR."
        )
    if not parts.hostname or "{" in parts.netloc:
        raise FommError(f"--url-template {template!r} must name its host.", "An id may stand in the path or the query.")
    if template.count("{") != template.count(_FIELD) or not template.count(_FIELD):
        raise FommError(f"--url-template {template!r} needs {_FIELD}, and no other field.")
    return template


def expand(template: str, video: str) -> str:
    """The address of one video; the id is quoted, so that it cannot add a path or a query of its own."""
    return template.replace(_FIELD, quote(video, safe=""))


def refusal(url: str, trusted: frozenset[str] = frozenset()) -> str | None:
    """Why an address must not be opened, or None if it may.

    A page or a redirect can name any address. Only http and https are followed, and none that leads into this machine
    or its own network, unless it is a host that the user named.

    trusted   host names that the user gave
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 0
    except ValueError:
        return "it is no valid address"
    if parts.scheme.lower() not in _SCHEMES:
        return f"{parts.scheme or 'no'} is not http or https"
    if not host:
        return "it names no host"
    if host in trusted:
        return None
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return None  # a name that does not resolve here leads nowhere, or only a proxy knows it
    for text in found:
        if not ipaddress.ip_address(text.partition("%")[0]).is_global:
            return f"{host} is {text}, an address inside this machine's network"
    return None


def host_of(url: str) -> str:
    """The host an address names, in lower case."""
    return urlsplit(url).hostname or ""
