"""A proxy under one of valgrind's tools: starting it, reading its log, stopping it."""

import contextlib
import json
import pathlib
import queue
import subprocess
import threading

from . import machine

READY_SECONDS = 120


class Proxy:
    """A `ringway run` on its epoll driver under a tool; what both say lies beside `out`."""

    def __init__(self, tool, binary, config, out):
        self.out = pathlib.Path(out)
        command = ["valgrind", "--vgdb=no", f"--log-file={self.out}.valgrind", *tool,
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

    def stop(self):
        machine.stop(self.process, seconds=60)
