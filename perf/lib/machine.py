"""The machine under the measurement: packages, network namespace, pinning, CPU counters.

Everything is read from /proc; nothing here knows a proxy.
"""

import fcntl
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys

PROXY_CPU, LOAD_CPU = 0, 1
ALL_CPUS = os.sched_getaffinity(0)
# Debian's package, where it is not named like the command.
PACKAGES = {"nginx": "nginx-light", "perf": "linux-perf"}
TICK = os.sysconf("SC_CLK_TCK")
INSIDE = "RINGWAY_PERF_NAMESPACE"


def install(commands):
    """Installs the Debian packages of the commands that are missing.

    Raises RuntimeError where that fails."""
    missing = [PACKAGES.get(name, name) for name in commands
               if not shutil.which(name, path=search_path())]
    if missing:
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        apt = as_root + ["apt-get", "-o", "DPkg::Lock::Timeout=120", "-qq"]
        do(apt + ["update"])
        do(apt + ["install", "-y", "--no-install-recommends"] + missing)


def do(command, **variables):
    """Runs a command that prepares something, with these variables; its output goes to stderr.

    Raises RuntimeError where it fails."""
    quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive", **variables)
    try:
        subprocess.run(command, check=True, env=quiet, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"{' '.join(command)}: {error}") from error


def search_path():
    """PATH with the places of system daemons, which are missing from many a user's."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def enter_namespace():
    """Runs this program again in a network namespace of its own, once; sets that one up."""
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        flags = "-n" if os.geteuid() == 0 else "-rn"
        os.execvp("unshare", ["unshare", flags, sys.executable, *sys.argv])
    with socket.socket() as any_socket:
        up_and_running = struct.pack("16sh14x", b"lo", 0x41)
        fcntl.ioctl(any_socket, 0x8914, up_and_running)  # SIOCSIFFLAGS
    # bbr, the default of many a machine, paces with timers even on loopback.
    write("/proc/sys/net/ipv4/tcp_congestion_control", "reno")
    write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65535")


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def raise_limits():
    """As many descriptors as this user may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start(command, cpu=None, variables=None, **options):
    """Starts a command on one cpu, or on all of them."""
    cpus = ALL_CPUS if cpu is None else {cpu}
    environment = dict(os.environ, PATH=search_path()) | (variables or {})
    pin = lambda: os.sched_setaffinity(0, cpus)  # noqa: E731
    return subprocess.Popen(command, preexec_fn=pin, env=environment, **options)


def stop(process, seconds=5):
    """Ends a process that we started; waits until it is gone."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tree(root):
    """The process ids of a process and all below it."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        fields = read_stat(name)
        if fields:
            parents.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += parents.get(pid, [])
    return found


def read_stat(pid):
    """The fields of /proc/PID/stat from the state on; none if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(") ")[2].split()
    except OSError:
        return None


def cpu_of(pids):
    """CPU time so far of these processes: seconds in all, seconds in user and system space."""
    total = user = system = 0
    for pid in pids:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
            except (OSError, IndexError):
                continue
        fields = read_stat(pid)
        if fields:
            user += int(fields[11])
            system += int(fields[12])
    return total / 1e9, user / TICK, system / TICK


def busy_seconds(cpu):
    """Seconds that this cpu did anything since the start of the machine."""
    with open("/proc/stat", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(f"cpu{cpu} "))
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def resident(pids):
    """Resident and proportional memory of these processes, in bytes."""
    totals = {"Rss:": 0, "Pss:": 0}
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                words = line.split()
                if words[0] in totals:
                    totals[words[0]] += int(words[1]) * 1024
    return totals["Rss:"], totals["Pss:"]


def describe():
    """One line on the machine."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        names = [line.split(": ")[1].strip() for line in file if line.startswith("model name")]
    kernel = os.uname().release
    return f"{names[0] if names else 'unknown CPU'}, {os.cpu_count()} CPUs, Linux {kernel}"
