"""A server that gives each path its recorded answer, and costs next to nothing: a process of its
own, on loopback.

    python -m bench.canned ANSWERS.json DELAY_MS     prints its port, and serves until it is killed
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Request(NamedTuple):
    """What was asked, and what came after it on the same connection."""

    method: str
    target: str
    body: bytes
    rest: bytes


def read_request(stream: socket.socket, left: bytes) -> Request | None:
    """The next request of a connection; None at its end. `left`: what was read already."""
    while b"\r\n\r\n" not in left:
        more = stream.recv(65536)
        if not more:
            return None
        left += more
    head, _, rest = left.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    length = 0
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(rest) < length:
        more = stream.recv(65536)
        if not more:
            return None
        rest += more
    method, target, _ = first.decode().split(" ")
    return Request(method, target, rest[:length], rest[length:])


def _serve(stream: socket.socket, answers: dict[str, bytes], delay_s: float) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    left = b""
    while (request := read_request(stream, left)) is not None:
        left = request.rest
        if delay_s:
            time.sleep(delay_s)
        stream.sendall(answers[f"{request.method} {request.target.partition('?')[0]}"])


def _answer(status: int, kind: str, body: str) -> bytes:
    content = body.encode()
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def main() -> None:
    file, delay_ms = sys.argv[1:]
    answers = {
        asked: _answer(*given) for asked, given in json.loads(Path(file).read_text()).items()
    }
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            stream, _ = server.accept()
            serving = threading.Thread(
                target=_serve, args=(stream, answers, float(delay_ms) / 1000), daemon=True
            )
            serving.start()


@contextmanager
def serving(
    answers: dict[str, tuple[int, str, str]], folder: Path, delay_ms: float
) -> Iterator[str]:
    """The server's address, for the time of a block. `answers`: `METHOD path` → status, content
    type, body."""
    file = folder / f"answers-{delay_ms:g}.json"
    file.write_text(json.dumps(answers))
    with started("bench.canned", str(file), str(delay_ms)) as url:
        yield url


@contextmanager
def started(module: str, *arguments: str) -> Iterator[str]:
    """A server of this package in a process of its own: its address, for the time of a block."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("the server has no output")
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


if __name__ == "__main__":
    main()
