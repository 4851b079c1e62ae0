"""The section of the benchmark on the state of a large mesh: runs remora-mesh-bench and makes tables of what it prints."""

import json
import statistics
import subprocess

HEADING = "## The state of a large mesh"


def measure(program, rounds):
    """Each figure of remora-mesh-bench as the median of the rounds; every round is a process of its own."""
    results = []
    for _ in range(rounds):
        done = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout))
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


def _duration(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


def _table(header, rows):
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _update_row(data, title, figure, changes):
    elapsed = data[figure]
    return [title, _duration(elapsed), _duration(elapsed / changes), f"1 : {data['rebuild_ns'] / elapsed:,.0f}"]


def _updates(data):
    batch = int(data["batch"])
    return _table(["update", "time", "for each object", "to building all anew"], [
        _update_row(data, "one workload changed", "workload_changed_ns", 1),
        _update_row(data, "one workload added", "workload_added_ns", 1),
        _update_row(data, "one workload removed", "workload_removed_ns", 1),
        _update_row(data, f"one endpoint of a service with {data['endpoints']:,.0f} changed", "endpoint_changed_ns", 1),
        _update_row(data, "that service changed", "large_service_changed_ns", 1),
        _update_row(data, f"{batch:,} workloads changed at once", "batch_changed_ns", batch),
        _update_row(data, "building all anew", "rebuild_ns", data["workloads"] + data["services"]),
    ])


def _memory(data):
    def row(title, size, workloads):
        return [title, f"{size / 1e6:,.2f} MB", f"{size / workloads:,.0f} B"]

    return _table(["memory", "in all", "for each workload"], [
        row("the whole mesh, allocated", data["allocated_bytes"], data["workloads"]),
        row("the whole mesh, resident", data["resident_bytes"], data["workloads"]),
        row(f"after {data['storm']:,.0f} updates more, resident, on top", data["storm_resident_bytes"], data["workloads"]),
        row(f"an agent on demand that talks to {data['known_services']:.0f} services with "
            f"{data['known_workloads']:.0f} workloads", data["on_demand_bytes"], data["known_workloads"]),
    ])


def _agents(figures):
    """A table of real agents, and what made it; see mesh_agents.py."""
    def row(title, memory, rest):
        return [title, f"{memory['rss'] / 1e3:,.1f} MB", f"{memory['private_dirty'] / 1e3:,.1f} MB", *rest]

    def told(agent):
        return [f"{agent['held']:,.0f}", _duration(agent["ready_s"] * 1e9), _duration(agent["change"]["ns"]),
                f"{agent['change']['kb']:,.0f} kB"]

    on_demand, wildcard, control = figures["on-demand"], figures["wildcard"], figures["control"]
    table = _table(["program", "RSS", "private dirty", "knows", "until it does", "processor time of one change",
                    f"left behind by {figures['changes']}"], [
        row("an agent on demand that has not talked to anybody yet", on_demand["alone"], ["1", "", "", ""]),
        row(f"an agent on demand that talks to {figures['talks_to']} services with {10 * figures['talks_to']} workloads", on_demand,
            told(on_demand)),
        row("an agent that knows everything", wildcard, told(wildcard)),
        row("remora-controlplane, which tells them", control,
            [f"{wildcard['held'] - 1:,.0f}", _duration(control["load_s"] * 1e9), "", ""]),
    ])
    return (f"Real agents against the embedded control plane, {figures['workloads']:,} workloads in {figures['services']:,} services "
            f"in {figures['files']} YAML files. A change is one of a workload that both agents know; its processor time is all that "
            "the agent spends on it, TLS, the new state and handing it to the worker included.\n\n" + table)


def section(data, about):
    """The section in Markdown. data["agents"], of mesh_agents.py, may be missing."""
    intro = (f"{data['workloads']:,.0f} workloads in {data['services']:,.0f} services, one of which has "
             f"{data['endpoints']:,.0f} endpoints; written by `scripts/bench --mesh`. {about}")
    decisions = (f"A decision where a connection goes takes {_duration(data['decision_ns'])} when each is for another of all "
                 f"services, and {_duration(data['large_decision_ns'])} when all are for the large one.")
    parts = [HEADING, intro, _updates(data), _memory(data), decisions]
    if "agents" in data:
        parts.append(_agents(data["agents"]))
    return "\n\n".join(parts) + "\n"


def split(page, heading=HEADING):
    """A page without the section, and the section ("" where there is none). Both end with a newline, or are empty."""
    start = page.find(heading + "\n")
    if start < 0:
        return page, ""
    end = page.find("\n## ", start)
    if end < 0:
        return page[:start].rstrip("\n") + "\n" if start else "", page[start:]
    return page[:start] + page[end + 1:], page[start:end + 1]


def join(page, part):
    """The page with the section at its end."""
    return page.rstrip("\n") + "\n\n" + part if page and part else page + part
