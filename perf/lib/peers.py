"""The proxies under test: how each is started, and when it serves."""

import contextlib
import json
import pathlib
import re
import socket
import subprocess
import threading
import time

from . import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target" / "release"
LOAD = RELEASE / "examples" / "load"
CONFIGS = ROOT / "perf" / "peers"
ORIGIN_PORT = 9000
ROUTES = 1000
READY_SECONDS = 20
NAMES = ["ringway", "ringway-epoll", "nginx", "haproxy", "floor"]
PORTS = {"nginx": 8001, "haproxy": 8002, "floor": 8003, "ringway": 8004, "ringway-epoll": 8004}
COMMANDS = {"nginx": "nginx", "haproxy": "haproxy"}


@contextlib.contextmanager
def running(name, directory):
    """A peer that serves, for as long as the block runs: its process and its port."""
    port = PORTS[name]
    command, cpu = command_of(name, directory)
    with open(directory / f"{name}.log", "ab") as log:
        ringway = name.startswith("ringway")
        errors = subprocess.PIPE if ringway else log
        quiet = subprocess.DEVNULL
        process = machine.start(command, cpu=cpu, stdin=quiet, stdout=quiet, stderr=errors)
        try:
            if ringway:
                wait_for_word(process, log)
            else:
                wait_for_port(name, process, port)
            yield process, port
        finally:
            machine.stop(process)


def command_of(name, directory):
    """The command line, and the cpu to pin it to. Ringway pins its own threads."""
    if name == "nginx":
        config = str(CONFIGS / "nginx.conf")
        command = ["nginx", "-p", str(directory), "-c", config, "-e", "stderr"]
        return command, machine.PROXY_CPU
    if name == "haproxy":
        return ["haproxy", "-db", "-f", str(CONFIGS / "haproxy.cfg")], machine.PROXY_CPU
    if name == "floor":
        addresses = [f"127.0.0.1:{PORTS[name]}", f"127.0.0.1:{ORIGIN_PORT}"]
        return [str(RELEASE / "examples" / "floor"), *addresses], machine.PROXY_CPU
    driver = "epoll" if name == "ringway-epoll" else "io_uring"
    config = directory / "ringway.yaml"
    config.write_text(ringway_config(PORTS[name]), encoding="utf-8")
    binary = str(RELEASE / "ringway")
    return [binary, "run", "--config", str(config), "--driver", driver], None


def ringway_config(port):
    """A table of 1,000 routes beside the one that the load takes; one worker; no access log."""
    lines = [
        "# Written by perf/run.",
        f"workers: [{machine.PROXY_CPU}]",
        f"admin: {{core: {machine.LOAD_CPU}}}",
        "listeners:",
        f"  - {{address: 127.0.0.1, port: {port}}}",
        "upstreams:",
        "  - name: origin",
        f"    servers: [{{address: 127.0.0.1, port: {ORIGIN_PORT}}}]",
        "    connection_pool: {max_connections: 4096, max_idle: 4096}",
        "routes:",
        "  - {id: all, path_prefix: /, upstream: origin}",
    ]
    for number in range(1, ROUTES + 1):
        path = f"/r/{number:04}/"
        lines.append(f"  - {{id: r{number:04}, path_prefix: {path}, upstream: origin}}")
    return "\n".join(lines) + "\n"


def wait_for_word(process, log):
    """Waits for the log line that says `ready`, then keeps the log flowing into its file."""
    timer = threading.Timer(READY_SECONDS, process.kill)
    timer.start()
    tail = []
    try:
        for line in process.stderr:
            log.write(line)
            tail = (tail + [line.decode("utf-8", "replace").rstrip()])[-5:]
            if is_ready(line):
                break
        else:
            raise RuntimeError("ringway did not get ready; its last lines:\n" + "\n".join(tail))
    finally:
        timer.cancel()
    threading.Thread(target=keep, args=(process.stderr, log.name), daemon=True).start()


def is_ready(line):
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return "ready" in (record.get("message"), (record.get("fields") or {}).get("message"))


def keep(stream, path):
    with open(path, "ab") as log:
        for line in stream:
            log.write(line)


def wait_for_port(name, process, port):
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"{name} does not listen on port {port}; see its .log beside the table")


def version_of(name):
    """What the peer says about its version, in a few words."""
    if name == "floor":
        return "L4 relay, perf/floor.rs"
    flags = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"]}
    command = flags.get(name, [str(RELEASE / "ringway"), "--version"])
    done = machine.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.communicate()[0].decode("utf-8", "replace")
    found = re.search(r"\d+\.\d+[^ \n]*", text)
    return found.group(0) if found else "unknown"
