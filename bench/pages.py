"""A Splunk that holds a finished job of so many rows, each its own event, and gives it by pages.

    python -m bench.pages     prints its port, and serves until it is killed

Rows are made as they are asked for, so that neither side holds them all.
"""

from __future__ import annotations

import socket
import threading
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

from bench.canned import read_request

ROW = (
    '{"_cd":"12:%d","_bkt":"main~12~00000000-0000-4000-8000-000000000000","index":"main",'
    '"_indextime":"1764000000","_time":"2026-11-24T16:00:00.000+00:00","_serial":"%d",'
    '"host":"WS-%d","user":"EXAMPLE\\\\user","parent_process":"C:\\\\Program Files\\\\Inventory'
    '\\\\agent.exe","process_guid":"{00000000-0000-4000-8000-%012d}","cmdline":"wmic  os get '
    'Caption /format:list","source":"XmlWinEventLog:Microsoft-Windows-Sysmon/Operational",'
    '"sourcetype":"XmlWinEventLog","splunk_server":"idx.example.test"}'
)
INFO = '{"generator":{"version":"9.2.1"},"entry":[{"content":{"version":"9.2.1"}}]}'


def row_json(number: int) -> str:
    return ROW % (number, number, number % 5000, number)


def _answer(target: str, body: bytes) -> str:
    url = urlsplit(target)
    if not url.path.endswith("/results"):
        return INFO
    asked = {**parse_qs(url.query), **parse_qs(body.decode())}
    offset, count = (int(asked[name][0]) for name in ("offset", "count"))
    rows = ",".join(map(row_json, range(offset, offset + count)))
    return f'{{"preview":false,"init_offset":{offset},"messages":[],"results":[{rows}]}}'


def _serve(stream: socket.socket) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    left = b""
    while (request := read_request(stream, left)) is not None:
        content = _answer(request.target, request.body).encode()
        left = request.rest
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: {formatdate(usegmt=True)}"
            f"\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        stream.sendall(head.encode() + content)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            stream, _ = server.accept()
            threading.Thread(target=_serve, args=(stream,), daemon=True).start()


if __name__ == "__main__":
    main()
