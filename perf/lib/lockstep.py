"""Requests one at a time, each piece sent only when the proxy sleeps.

A proxy that finds its next input already there takes another way than one that has to wait for it,
so what a request costs would depend on how fast the machine is. Here it always has to wait: client
and origin are one thread, which looks at the state of the proxy's threads before it sends.
"""

import os
import socket
import time

BODY = bytes(ord("a") + place % 26 for place in range(1024))
RESPONSE = (b"HTTP/1.1 200 OK\r\nServer: lockstep\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
            b"Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n\r\n" + BODY)
PATIENCE_SECONDS = 60
# How often the proxy is looked at before it is taken to sleep, and how long in all.
LOOK_SECONDS, LOOKS_MAX = 0.0004, 2500


class Lockstep:
    """A client of a proxy, and the origin behind it."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(PATIENCE_SECONDS)
        self.origin = self.listener.getsockname()
        self.pid = self.client = self.server = self.request = None

    def connect(self, pid, address, path):
        """Opens the one connection that all requests take."""
        self.pid = pid
        host, _, port = address.rpartition(":")
        self.client = connected((host, int(port)))
        self.request = (f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: lockstep\r\n"
                        "Accept: */*\r\n\r\n").encode()

    def run(self, requests):
        """So many requests; each response is checked."""
        for _ in range(requests):
            self.exchange()
        self.settle()

    def exchange(self):
        self.settle()
        self.client.sendall(self.request)
        if self.server is None:
            self.server = self.listener.accept()[0]
            set_up(self.server)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += received(self.server)
        self.settle()
        self.server.sendall(RESPONSE)
        response = b""
        while b"\r\n\r\n" not in response or len(response.partition(b"\r\n\r\n")[2]) < len(BODY):
            response += received(self.client)
        status, body = response[:13], response.partition(b"\r\n\r\n")[2]
        if status != b"HTTP/1.1 200 " or body != BODY:
            raise RuntimeError(f"a wrong response: {response[:300]!r}")

    def settle(self):
        """Waits until every thread of the proxy sleeps and none has run since the last look."""
        last = None
        for _ in range(LOOKS_MAX):
            now = threads(self.pid)
            if now == last and all(state == "S" for state, _ in now):
                return
            last = now
            time.sleep(LOOK_SECONDS)
        raise RuntimeError("the proxy did not come to rest")


def threads(pid):
    """State and CPU time of each thread of a process."""
    found = []
    for thread in sorted(os.listdir(f"/proc/{pid}/task")):
        try:
            state, ran = (read(f"/proc/{pid}/task/{thread}/{name}")
                          for name in ("stat", "schedstat"))
            found.append((state.rpartition(") ")[2][:1], ran.split()[0]))
        except OSError:
            found.append(("gone", ""))
    return found


def read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def connected(address):
    stream = socket.create_connection(address, PATIENCE_SECONDS)
    set_up(stream)
    return stream


def set_up(stream):
    stream.settimeout(PATIENCE_SECONDS)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def received(stream):
    piece = stream.recv(65536)
    if not piece:
        raise RuntimeError("the proxy closed a connection inside a request")
    return piece
