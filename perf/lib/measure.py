"""Turns of one workload through each proxy: load it, read its CPU time, judge the round."""

import contextlib
import json
import re
import statistics
import subprocess
import time

from . import machine, peers

# A round is thrown out if cpu 0 did this much besides the proxies, if the load did not get this
# much of cpu 1 in a turn, or if probes of the CPU's speed before and after differ by this factor.
OTHER_WORK, LOAD_SHARE, CHANGED = 0.04, 0.9, 1.3

# Runs a load as soon as it wakes: it waits for the proxy then, and not for its turn on the CPU.
AT_ONCE = ["chrt", "--fifo", "50"]

# The name of each workload, what it is, and how the load generator is told.
WORKLOADS = {
    "k1_64": ("GET 1 KiB, 64 connections", "--path /1k"),
    "k1_256": ("GET 1 KiB, 256 connections", "--path /1k --connections 256"),
    "k1_1024": ("GET 1 KiB, 1,024 connections", "--path /1k --connections 1024"),
    "b0_64": ("GET empty body, 64 connections", "--path /0"),
    "k16_64": ("GET 16 KiB, 64 connections", "--path /16k"),
    "k64_64": ("GET 64 KiB, 64 connections", "--path /64k"),
    "m1_16": ("GET 1 MiB, 16 connections", "--path /1m --connections 16"),
    "chunked16k_64": ("GET 16 KiB chunked, 64 connections", "--path /chunked16k"),
    "post64k_64": ("POST 64 KiB, 64 connections", "--post 65536"),
    "close_64": ("GET 1 KiB, one request per connection, 64 at once", "--one-request-each"),
    "open10k": ("GET 1 KiB at 10,000 requests/s (open loop), 64 connections", "--rate 10000"),
    "idle10k": ("GET 1 KiB, 64 connections beside 10,000 idle ones", "--idle 10000"),
    "websocket1k_64": ("WebSocket echo of 1 KiB messages, 64 connections",
                       "--path /websocket --websocket 1024"),
}
# The relay would need two descriptors per idle connection in the origin's process too.
NOT_FOR_FLOOR = {"idle10k"}
# Run by each proxy for itself: so many connections to all of them are more descriptors than many a
# process may have. Compare with the same load without them.
ALONE = {"idle10k"}


class Session:
    """One workload through all of its proxies, which run side by side and are loaded in turns."""

    def __init__(self, names, workload, directory, seconds):
        self.names, self.workload, self.directory = names, workload, directory
        self.seconds = seconds
        self.pids = {}
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        """Starts them, and a load with connections to each. The first round is to warm them up.

        Raises Broken if one does not serve."""
        with contextlib.ExitStack() as stack:
            targets = []
            for name in self.names:
                try:
                    process, port = stack.enter_context(peers.running(name, self.directory))
                except RuntimeError as error:
                    raise Broken(name, str(error)) from error
                self.pids[name] = process.pid
                targets.append(f"127.0.0.1:{port}")
            self.turns = Turns(targets, self.workload, self.seconds)
            stack.callback(self.turns.stop)
            self.round(0, self.names)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def round(self, number, order):
        """A turn of each proxy. Their records."""
        probe, began = probe_cpu(), time.monotonic()
        busy = machine.busy_seconds(machine.PROXY_CPU)
        records = [self.turn(name) | {"round": number} for name in order]
        wall = time.monotonic() - began
        busy = machine.busy_seconds(machine.PROXY_CPU) - busy
        other = busy - sum(record["cpu_seconds"] for record in records)
        why = faults_of(records, other / wall, [probe, probe_cpu()])
        return [record | {"unclean": why} for record in records]

    def turn(self, name):
        """A turn of one proxy, from rest to rest; its record."""
        begin = snapshot(self.pids[name])
        try:
            record = self.turns.load(self.names.index(name))
        except RuntimeError as error:
            raise Broken(name, str(error)) from error
        end = snapshot(self.pids[name])
        about = {"peer": name, "workload": self.workload, "cpu_seconds": end[1][0] - begin[1][0]}
        return record | costs(begin, end, record["ok"]) | about


class Turns:
    """A load whose connections to some proxies stay open, and that loads one of them when told."""

    def __init__(self, targets, workload, seconds):
        command = [str(peers.LOAD), "both", "--turns", "--target", ",".join(targets)]
        command += ["--origin", f"127.0.0.1:{peers.ORIGIN_PORT}"]
        command += ["--seconds", str(seconds), *WORKLOADS[workload][1].split()]
        self.process = machine.start(command, cpu=machine.LOAD_CPU, text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            wait_for(self.process, "ready")
        except RuntimeError:
            self.stop()
            raise

    def load(self, target):
        """A turn, from rest to rest; its record."""
        print(target, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load ended before its turn did")
        return json.loads(line)

    def stop(self):
        machine.stop(self.process)


class Broken(RuntimeError):
    """A proxy that does not serve a workload."""

    def __init__(self, name, why):
        super().__init__(why)
        self.name = name


def probe_cpu():
    """How fast cpu 0 is now."""
    command = [str(peers.LOAD), "calibrate"]
    process = machine.start(command, cpu=machine.PROXY_CPU, stdout=subprocess.PIPE)
    return json.loads(process.communicate()[0])


def faults_of(records, other_work, probes):
    """Why a round does not count; empty if it does."""
    why = []
    if other_work > OTHER_WORK:
        why.append(f"other work on cpu 0: {other_work:.0%}")
    share = min(record["load_cpu"] for record in records)
    if share < LOAD_SHARE:
        why.append(f"the load had {share:.0%} of cpu 1")
    before, after = probes
    for name in before:
        if max(before[name], after[name]) > CHANGED * min(before[name], after[name]):
            why.append(f"the CPU changed its speed ({name})")
    return why


def load(pid, options, program=peers.LOAD, by=()):
    """Runs the load generator (`by` another command), reads the CPU time of a proxy meanwhile."""
    command = [*by, str(program), "both", "--origin", f"127.0.0.1:{peers.ORIGIN_PORT}", *options]
    process = machine.start(command, cpu=machine.LOAD_CPU, stdout=subprocess.PIPE, text=True)
    wait_for(process, "begin")
    begin = snapshot(pid)
    wait_for(process, "end")
    end = snapshot(pid)
    record = json.loads(process.stdout.readline())
    process.wait()
    return record | costs(begin, end, record["ok"])


def wait_for(process, word):
    line = process.stdout.readline().strip()
    if line != word:
        process.wait()
        raise RuntimeError(f"the load generator ended before '{word}'")


def snapshot(pid):
    """Time, and CPU time of the proxy's processes."""
    return time.monotonic(), machine.cpu_of(machine.tree(pid))


def costs(begin, end, requests):
    """What the proxy used between two snapshots, in all and per request (microseconds)."""
    wall = end[0] - begin[0]
    cpu, user, system = (after - before for before, after in zip(begin[1], end[1]))
    share = user / (user + system) if user + system else 0.0
    each = cpu * 1e6 / requests if requests else float("nan")
    return {
        "cpu_us": each,
        "user_us": each * share,
        "system_us": each * (1 - share),
        "proxy_busy": cpu / wall,
    }


def wrk(peer, directory, seconds):
    """What wrk says, the load as users run it: 1 KiB, 64 connections, an origin of its own."""
    with contextlib.ExitStack() as stack:
        command = [str(peers.LOAD), "origin", "--origin", f"127.0.0.1:{peers.ORIGIN_PORT}"]
        origin = machine.start(command, cpu=machine.LOAD_CPU)
        stack.callback(machine.stop, origin)
        process, port = stack.enter_context(peers.running(peer, directory))
        url = f"http://127.0.0.1:{port}/1k"
        command = ["wrk", "-t1", "-c64", f"-d{max(1, round(seconds))}s", "--latency", url]
        begin = snapshot(process.pid)
        run = machine.start(command, cpu=machine.LOAD_CPU, stdout=subprocess.PIPE, text=True)
        text = run.communicate()[0]
        end = snapshot(process.pid)
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not requests or not rate:
        raise RuntimeError(f"wrk through {peer} gave no result:\n{text}")
    errors = re.findall(r"(?:Socket errors|Non-2xx).*", text)
    latency = {name: micros(text, name) for name in ("50%", "99%")}
    used = costs(begin, end, int(requests.group(1)))
    outcome = {"rps": float(rate.group(1)), "p50": latency["50%"], "p99": latency["99%"]}
    return {"peer": peer, "workload": "wrk", "errors": errors, **outcome, **used}


def micros(text, quantile):
    number, unit = re.search(rf"{quantile}\s+([\d.]+)(us|ms|s)\b", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def ratios(records, workload, peer, base):
    """CPU per request of one peer as a multiple of another's, round by round, clean runs only."""
    costs_of = {}
    for record in records:
        if record["workload"] == workload and not record["unclean"]:
            costs_of[record["round"], record["peer"]] = record["cpu_us"]
    rounds = sorted({number for number, _ in costs_of})
    pairs = [(costs_of.get((n, peer)), costs_of.get((n, base))) for n in rounds]
    return [ours / theirs for ours, theirs in pairs if ours and theirs]


def spread(values):
    """Median, least, most."""
    return statistics.median(values), min(values), max(values)
