"""A proxy under callgrind: starting it, marking windows of its run, reading what was counted.

A window ends where the proxy begins to write its status (SIGUSR1): callgrind writes what it has
counted when that function is entered, and starts again at zero. So nothing has to attach to the
process, and no request is under way at a window's edge.
"""

import signal

from . import valgrind

STATUS_SECONDS = 60
# The function that writes the status, however its name is mangled.
STATUS = "*ringway*admin*status*log*"
# The keys of callgrind's format, what kind of name they have, and what they say the place of.
KINDS = {"ob": ("ob", "ob"), "cob": ("ob", None), "fl": ("fl", "fl"), "fi": ("fl", "fl"),
         "fe": ("fl", "fl"), "cfi": ("fl", None), "cfl": ("fl", None), "fn": ("fn", "fn"),
         "cfn": ("fn", "callee")}


class Counted(valgrind.Proxy):
    """A `ringway run` that callgrind counts."""

    def __init__(self, binary, config, out):
        for old in dumps(out):
            old.unlink()
        tool = ["--tool=callgrind", "--dump-line=no", f"--callgrind-out-file={out}",
                f"--dump-before={STATUS}"]
        super().__init__(tool, binary, config, out)

    def window(self):
        """Ends a window; the file with what was counted since the last one ended."""
        before = set(dumps(self.out))
        self.process.send_signal(signal.SIGUSR1)
        self.wait_for("status", STATUS_SECONDS)
        new = sorted(set(dumps(self.out)) - before, key=lambda path: int(path.suffix[1:]))
        if not new:
            raise RuntimeError("callgrind found no function that writes the status "
                               f"({STATUS}); was it renamed? See perf/lib/callgrind.py")
        return new[0]


def dumps(out):
    """The files that callgrind has written."""
    return [path for path in out.parent.glob(f"{out.name}.*") if path.suffix[1:].isdigit()]


def instructions(path):
    """The instructions in a file of callgrind's, by the object file that they belong to."""
    totals = {}
    for spent in entries(path):
        if spent["callee"] is None:
            totals[spent["ob"]] = totals.get(spent["ob"], 0) + spent["count"]
    return totals


def entries(path):
    """What a file of callgrind's says: instructions of an object file (`ob`), a source file (`fl`)
    and a function (`fn`), and calls of a `callee` from there."""
    names, here = {}, dict.fromkeys(["ob", "fl", "fn", "callee"])
    called = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            key, _, value = line.rstrip("\n").partition("=")
            if key in KINDS:
                kind, place = KINDS[key]
                number, _, name = value.partition(" ")
                if name:
                    names[kind, number] = name
                if place:
                    here[place] = names[kind, number]
            elif key == "calls":
                yield here | {"count": int(value.split()[0])}
                called = True
            elif line[:1] in "0123456789+-*" and here["ob"]:
                # The line after a call has what was spent in there: it is counted there.
                if not called:
                    yield here | {"callee": None, "count": int(line.split()[-1])}
                called = False
