"""The tables: Markdown, one per workload, from the records of the runs."""

import statistics

from . import measure, peers

HEAD = [
    "proxy", "clean / turns", "CPU µs/request", "user / system", "÷ floor", "{} ÷ this",
    "requests/s", "proxy busy", "load idle", "p50 µs", "p99 µs", "p99.9 µs", "errors",
]


def markdown(records, wrk_records, names, about):
    """The whole report; what the others are compared with is the first of `names`."""
    lines = ["# Side by side", "", *[f"- {line}" for line in about], ""]
    for workload in dict.fromkeys(record["workload"] for record in records):
        title = measure.WORKLOADS[workload][0]
        lines += [f"## {workload}: {title}", ""]
        with_wrk = workload == "k1_64" and bool(wrk_records)
        head = [title.format(names[0]) for title in HEAD]
        head += (["wrk requests/s", "wrk p50 µs", "wrk p99 µs"] if with_wrk else [])
        lines += [row(head), row(["---"] + ["---:"] * (len(head) - 1))]
        for name in names:
            mine = [r for r in records if r["workload"] == workload and r["peer"] == name]
            if mine:
                extra = wrk_cells(wrk_records, name) if with_wrk else []
                lines.append(row(cells(records, mine, workload, name, names[0]) + extra))
        lines.append("")
    lines += [
        "Figures are median [least–most] of the clean rounds; the two ratios are of the CPU per",
        "request of the same round (n pairs). Latencies are medians of the turns' own.",
        "",
    ]
    return "\n".join(lines)


def cells(records, mine, workload, name, base):
    clean = [record for record in mine if not record["unclean"]]
    errors = sum(sum(r["errors"].values()) + r["warm_up_errors"] for r in mine)
    counts = f"{len(clean)} / {len(mine)}"
    if not clean:
        return [name, counts] + ["–"] * (len(HEAD) - 3) + [str(errors)]

    def middle(key):
        return measure.spread([record[key] for record in clean])[0]

    def ratio(one, other):
        pairs = measure.ratios(records, workload, one, other)
        return f"{span(pairs, 2)} n={len(pairs)}" if pairs and one != other else "–"

    return [
        name, counts, span([r["cpu_us"] for r in clean], 2),
        " / ".join(f"{mean(clean, key):.1f}" for key in ("user_us", "system_us")),
        ratio(name, "floor"),
        ratio(base, name),
        span([r["rps"] for r in clean], 0), f"{middle('proxy_busy'):.0%}",
        f"{middle('load_idle'):.0%}", *[f"{middle(key):,.0f}" for key in ("p50", "p99", "p999")],
        str(errors),
    ]


def mean(records, key):
    """For what the kernel counts in ticks, too coarse for one turn."""
    return statistics.fmean(record[key] for record in records)


def wrk_cells(wrk_records, name):
    mine = [record for record in wrk_records if record["peer"] == name]
    if not mine:
        return ["–"] * 3
    rps = span([record["rps"] for record in mine], 0)
    failed = " (errors)" if any(record["errors"] for record in mine) else ""
    middle = [measure.spread([record[key] for record in mine])[0] for key in ("p50", "p99")]
    return [rps + failed, *[f"{value:,.0f}" for value in middle]]


def span(values, digits):
    middle, least, most = (f"{value:,.{digits}f}" for value in measure.spread(values))
    return f"{middle} [{least}–{most}]"


def row(columns):
    return "| " + " | ".join(columns) + " |"


def costs_by_workload(records, names):
    """For the picture: per workload its title and (name, least, median, most) per proxy."""
    panels = []
    for workload in dict.fromkeys(record["workload"] for record in records):
        bars = []
        for name in names:
            values = [
                r["cpu_us"] for r in records
                if (r["workload"], r["peer"]) == (workload, name) and not r["unclean"]
            ]
            if values:
                middle, least, most = measure.spread(values)
                bars.append((name, least, middle, most))
        if bars:
            panels.append((f"{workload}: {measure.WORKLOADS[workload][0]}", bars))
    return panels


def versions(names):
    return ", ".join(f"{name} {peers.version_of(name)}" for name in names)
