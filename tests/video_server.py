"""A loopback web server of videos that misbehaves on request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WAYS = ("missing", "forbidden", "login", "busy", "stall", "short", "page", "hop", "slow", "playlist")


PLAYLIST = b"""#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-KEY:METHOD=SAMPLE-AES,URI="http://10.0.0.1/key"
#EXTINF:2,
http://10.0.0.1/piece.ts
#EXT-X-ENDLIST
"""


class VideoServer:
    """Serves FOLDER/NAME.mp4; what a path begins with says how.

    /good/ID.mp4        whole, with ranges
    /slow/ID.mp4        whole, with ranges, in small pieces with pauses
    /missing/, /forbidden/, /login/   404, 403, 401
    /busy/ID.mp4        429 for the first `refusals` requests, then like good
    /stall/ID.mp4       headers and the first bytes, then silence
    /short/ID.mp4       announces more than it sends, every time
    /page/ID.mp4        an HTML page
    /hop/ID.mp4         a redirect to another host of this machine
    /playlist/ID.mp4    an encrypted playlist of a piece on another host
    An id that begins with one of these words is served so below /any/.
    """

    def __init__(self, folder: Path, pause: float = 0.0) -> None:
        self.folder, self.pause, self.refusals = folder, pause, 2
        self.requests: Counter[str] = Counter()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def do_HEAD(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._stopping = threading.Event()
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        _, way, name = request.path.split("?")[0].split("/", 2)
        self.requests[name] += 1
        if way == "any":
            way = next((word for word in WAYS if name.startswith(word)), "good")
        status = {"missing": 404, "forbidden": 403, "login": 401}.get(way)
        if way == "busy" and self.requests[name] <= self.refusals:
            status = 429
        if status is not None:
            request.send_error(status)
        elif way == "page":
            self._send(
                request,
                b"<!DOCTYPE html><html><head><title>Not here</title></head><body>Sorry.</body></html>",
                "text/html",
            )
        elif way == "playlist":
            self._send(request, PLAYLIST, "application/vnd.apple.mpegurl")
        elif way == "hop":
            request.send_response(302)
            request.send_header("Location", f"http://localhost:{self._server.server_address[1]}/good/{name}")
            request.end_headers()
        else:
            self._video(request, way, (self.folder / name).read_bytes())

    def _send(self, request: BaseHTTPRequestHandler, body: bytes, kind: str) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _video(self, request: BaseHTTPRequestHandler, way: str, data: bytes) -> None:
        begin = 0
        asked = request.headers.get("Range", "")
        if asked.startswith("bytes=") and way not in {"short", "stall"}:
            begin = int(asked.removeprefix("bytes=").partition("-")[0])
        if begin >= len(data):
            request.send_error(416)
            return
        request.send_response(206 if begin else 200)
        request.send_header("Content-Type", "video/mp4")
        request.send_header("Content-Length", str(len(data) - begin))
        request.send_header("Accept-Ranges", "bytes")
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        if request.command == "HEAD":
            return
        if way in {"short", "stall"}:
            data = data[: len(data) // 3]
        try:
            for place in range(begin, len(data), 8192):
                request.wfile.write(data[place : place + 8192])
                if way == "slow" and self.pause:
                    time.sleep(self.pause)
            request.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            return
        if way == "stall":
            self._stopping.wait(20)
