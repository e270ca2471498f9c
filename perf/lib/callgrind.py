"""A proxy under callgrind: starting it, marking windows of its run, reading what was counted.

A window ends where the proxy begins to write its status (SIGUSR1): callgrind writes what it has
counted when that function is entered, and starts again at zero. So nothing has to attach to the
process, and no request is under way at a window's edge.
"""

import contextlib
import json
import pathlib
import queue
import signal
import subprocess
import threading

from . import machine

READY_SECONDS = 120
STATUS_SECONDS = 60
# The function that writes the status, however its name is mangled.
STATUS = "*ringway*admin*status*log*"


class Counted:
    """A `ringway run` that callgrind counts."""

    def __init__(self, binary, config, out):
        self.out = pathlib.Path(out)
        for old in self.dumps():
            old.unlink()
        command = ["valgrind", "--tool=callgrind", "--vgdb=no", "--dump-line=no",
                   f"--log-file={self.out}.valgrind", f"--callgrind-out-file={self.out}",
                   f"--dump-before={STATUS}",
                   str(binary), "run", "--config", str(config), "--driver", "epoll"]
        quiet = subprocess.DEVNULL
        self.process = machine.start(command, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.address = self.wait_for("listening", READY_SECONDS)["address"]
        self.wait_for("ready", READY_SECONDS)

    def read(self):
        with open(f"{self.out}.log", "wb") as log:
            for line in self.process.stderr:
                log.write(line)
                log.flush()
                with contextlib.suppress(ValueError):
                    self.lines.put(json.loads(line))
        self.lines.put(None)

    def wait_for(self, message, seconds):
        """The next entry of the proxy's log with this message."""
        while True:
            try:
                entry = self.lines.get(timeout=seconds)
            except queue.Empty:
                entry = None
            if entry is None:
                raise RuntimeError(f"ringway under valgrind did not say '{message}'; see {self.out}"
                                   ".log and .valgrind")
            if entry.get("message") == message:
                return entry

    def window(self):
        """Ends a window: instructions by object file since the last one ended."""
        before = set(self.dumps())
        self.process.send_signal(signal.SIGUSR1)
        self.wait_for("status", STATUS_SECONDS)
        new = sorted(set(self.dumps()) - before, key=lambda path: int(path.suffix[1:]))
        if not new:
            raise RuntimeError("callgrind found no function that writes the status "
                               f"({STATUS}); was it renamed? See perf/lib/callgrind.py")
        return instructions(new[0])

    def dumps(self):
        found = self.out.parent.glob(f"{self.out.name}.*")
        return [path for path in found if path.suffix[1:].isdigit()]

    def stop(self):
        machine.stop(self.process, seconds=60)


def instructions(path):
    """The instructions in a file of callgrind's, by the object file that they belong to."""
    names, totals = {}, {}
    current, called = None, False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            key, _, value = line.rstrip("\n").partition("=")
            if key in ("ob", "cob"):
                number, _, name = value.partition(" ")
                if name:
                    names[number] = name
                if key == "ob":
                    current = number
            elif key == "calls":
                called = True
            elif line[:1] in "0123456789+-*" and current is not None:
                # The line after a call has what was spent in there: it is counted there.
                if not called:
                    totals[current] = totals.get(current, 0) + int(line.split()[-1])
                called = False
    return {names[number]: count for number, count in totals.items()}
