"""One run of one workload through one proxy: load it, read its CPU time, judge the run."""

import contextlib
import json
import re
import statistics
import subprocess
import time

from . import machine, peers

# A run is thrown out if cpu 0 did this much besides the proxy, if the load did not get this much
# of cpu 1, or if a probe of the CPU's speed was this much slower than the best of the session.
OTHER_WORK, LOAD_SHARE, SLOWER = 0.04, 0.95, 1.35
TRIES = 3

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


class Session:
    """What holds for all runs of one call of perf/run."""

    def __init__(self, directory, seconds, warm_up):
        self.directory = directory
        self.seconds = seconds
        self.warm_up = warm_up
        self.best = {}

    def clean_run(self, peer, workload, may_retry):
        """A run and, while it is not clean and there is time, up to two more. All of them."""
        runs = [self.run(peer, workload)]
        while runs[-1]["unclean"] and len(runs) < TRIES and may_retry():
            runs.append(self.run(peer, workload))
        return runs

    def run(self, peer, workload):
        """One run; its record."""
        with peers.running(peer, self.directory) as (process, port):
            before = self.probe()
            options = WORKLOADS[workload][1].split()
            options += ["--target", f"127.0.0.1:{port}"]
            options += ["--seconds", str(self.seconds), "--warm-up", str(self.warm_up)]
            record = load(process.pid, options)
            after = self.probe()
        record |= {"peer": peer, "workload": workload, "probes": [before, after]}
        record["unclean"] = self.faults_of(record)
        return record

    def probe(self):
        """How fast cpu 0 is now; remembers the best."""
        command = [str(peers.LOAD), "calibrate"]
        process = machine.start(command, cpu=machine.PROXY_CPU, stdout=subprocess.PIPE)
        speeds = json.loads(process.communicate()[0])
        for name, value in speeds.items():
            self.best[name] = min(value, self.best.get(name, value))
        return speeds

    def faults_of(self, record):
        """Why this run does not count; empty if it does."""
        why = []
        if record["other_work"] > OTHER_WORK:
            why.append(f"other work on cpu 0: {record['other_work']:.0%}")
        if record["load_cpu"] < LOAD_SHARE:
            why.append(f"the load had {record['load_cpu']:.0%} of cpu 1")
        for name, best in self.best.items():
            if max(probe[name] for probe in record["probes"]) > SLOWER * best:
                why.append(f"the CPU was slow ({name})")
        return why


def load(pid, options):
    """Runs the load generator against a proxy and reads the proxy's CPU time over its window."""
    command = [str(peers.LOAD), "both", "--origin", f"127.0.0.1:{peers.ORIGIN_PORT}", *options]
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
    """Time, CPU time of the proxy's processes, and what cpu 0 did in all."""
    pids = machine.tree(pid)
    return time.monotonic(), machine.cpu_of(pids), machine.busy_seconds(machine.PROXY_CPU)


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
        "other_work": max(0.0, (end[2] - begin[2] - cpu) / wall),
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
