"""
From the results of a run (see bench.py) to tables in Markdown.

Ratios are formed inside each round, where both figures saw the same machine within seconds, and told as the median of the
rounds with the smallest and the largest. Nothing here looks at a clock, a file or the system.
"""

import statistics
from typing import Callable, NamedTuple

SUBJECT = "remora"
_MTLS_PEERS = ("nginx-mtls", "haproxy-mtls")
_SIDES = ("client", "server")
_NONE = "–"


class Figure(NamedTuple):
    """One row: how its value comes out of a sample's result. `compared`: it also has a row of ratios."""

    title: str
    measure: str
    value: Callable
    form: str
    compared: bool


def _cpu(result):
    per_side = result["cpu_per_unit"]
    return sum(per_side.values()) if per_side else None


def _latencies(measure):
    return (Figure("— p50, µs", measure, lambda result: result["p50_us"], "{:,.0f}", True),
            Figure("— p99, µs", measure, lambda result: result["p99_us"], "{:,.0f}", True))


def _rate(title, measure):
    return Figure(title, measure, lambda result: result["requests_per_second"], "{:,.0f}", True)


def _cpu_figure(unit, measure):
    return Figure(f"— CPU s of both proxies per {unit}", measure, _cpu, "{:.3f}", True)


def _bulk(title, measure):
    return (Figure(title, measure, lambda result: result["gbit_per_second"], "{:.2f}", True),
            _cpu_figure("GB", measure))


FIGURES = (
    _rate("Requests/s, 1 kept-alive connection", "keepalive-1"),
    *_latencies("keepalive-1"),
    _cpu_figure("100,000 requests", "keepalive-1"),
    _rate("Requests/s, 32 kept-alive connections", "keepalive-32"),
    *_latencies("keepalive-32"),
    _cpu_figure("100,000 requests", "keepalive-32"),
    _rate("New connections/s, 32 at once", "connections"),
    *_latencies("connections"),
    _cpu_figure("1,000 connections", "connections"),
    *_bulk("Download, Gbit/s, 1 connection", "download"),
    *_bulk("Upload, Gbit/s, 1 connection", "upload"),
)


class Results:
    """Access to the results of a run by what the tables need."""

    def __init__(self, data):
        self.about = data["about"]
        self.titles = data["setups"]  # key -> title, in the order of the columns
        self.handshakes = data["handshakes"]
        self._samples = data["samples"]
        self._memory = data["memory"]

    def rounds(self, figure, setup):
        """{round: value} of a figure; empty where the setup was not measured or has no such value."""
        values = {sample["round"]: figure.value(sample["result"]) for sample in self._samples
                  if sample["setup"] == setup and sample["measure"] == figure.measure}
        return {number: value for number, value in values.items() if value is not None}

    def memory(self, setup, num_connections):
        """The measurement with so many idle connections, or None."""
        for entry in self._memory:
            if entry["setup"] == setup and entry["connections"] == num_connections and entry.get("client"):
                return entry
        return None

    def idle_counts(self):
        return sorted({entry["connections"] for entry in self._memory} - {0})

    def failures(self):
        """Sentences about what did not come through; every one of them makes a figure doubtful."""
        found = []
        for sample in self._samples:
            failed = sample["result"]["failed"]
            if failed:
                found.append(f"{sample['setup']}: {sample['measure']}, round {sample['round']}: {failed} connections failed")
        for entry in self._memory:
            if entry["alive"] < entry["connections"]:
                found.append(f"{entry['setup']}: of {entry['connections']} idle connections {entry['held']} were opened and "
                             f"{entry['alive']} still answered")
        return found


def ratios(subject, other):
    """Subject divided by other, in the rounds that have both, in their order. Arguments are {round: value}."""
    return [subject[number] / other[number] for number in sorted(subject) if other.get(number)]


def _spread(values):
    if not values:
        return _NONE
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _median_cell(figure, values):
    return figure.form.format(statistics.median(values.values())) if values else _NONE


def figures_table(results):
    rows = [[figure.title] + [_median_cell(figure, results.rounds(figure, setup)) for setup in results.titles]
            for figure in FIGURES]
    return _table(["median of the rounds", *results.titles.values()],
                  [row for row in rows if any(cell != _NONE for cell in row[1:])])


def ratio_table(results, subjects, others):
    """A row for each figure, a column for each pair of subject and other."""
    pairs = [(subject, other) for subject in subjects for other in others if subject != other]
    header = ["ratio, median (min–max)"] + [f"{results.titles[subject]} ÷ {results.titles[other]}" for subject, other in pairs]
    rows = [[figure.title] + [_spread(ratios(results.rounds(figure, subject), results.rounds(figure, other)))
                              for subject, other in pairs] for figure in FIGURES if figure.compared]
    return _table(header, [row for row in rows if any(cell != _NONE for cell in row[1:])])


def _per_connection_kb(results, setup, num_connections, side):
    idle, held = results.memory(setup, 0), results.memory(setup, num_connections)
    if idle is None or held is None or not held["held"]:
        return None
    return (held[side]["private_dirty"] - idle[side]["private_dirty"]) / held["held"]


def _both_sides(cells):
    return _NONE if None in cells else " / ".join(cells)


def _memory_row(results, title, setups, cell):
    return [title] + [_both_sides([cell(setup, side) for side in _SIDES]) for setup in setups]


def memory_table(results):
    setups = [setup for setup in results.titles if results.memory(setup, 0)]

    def total(num_connections, kind):
        def cell(setup, side):
            entry = results.memory(setup, num_connections)
            return f"{entry[side][kind]:,}" if entry else None
        return cell

    def each(num_connections):
        def cell(setup, side):
            kb = _per_connection_kb(results, setup, num_connections, side)
            return None if kb is None else f"{kb:.1f}"
        return cell

    rows = [_memory_row(results, "Private dirty, idle", setups, total(0, "private_dirty")),
            _memory_row(results, "RSS, idle", setups, total(0, "rss"))]
    for count in results.idle_counts():
        rows.append(_memory_row(results, f"Private dirty, {count:,} connections", setups, total(count, "private_dirty")))
        rows.append(_memory_row(results, f"RSS, {count:,} connections", setups, total(count, "rss")))
        rows.append(_memory_row(results, f"— private dirty for each of {count:,}", setups, each(count)))
    return _table(["kB, client side / server side", *(results.titles[setup] for setup in setups)], rows)


def _figure(measure):
    return next(figure for figure in FIGURES if figure.measure == measure)


def _best(results, figure, setups):
    """{round: the largest value of any of the setups in that round}."""
    best = {}
    for setup in setups:
        for number, value in results.rounds(figure, setup).items():
            best[number] = max(value, best.get(number, value))
    return best


def _speed_target(results, title, measure, peers, least):
    figure = _figure(measure)
    found = ratios(results.rounds(figure, SUBJECT), _best(results, figure, peers))
    if not found:
        return None
    return [title, f"≥ {least:g}", _spread(found), "met" if statistics.median(found) >= least else "**short**"]


def _memory_target(results, title, limit_kb, values):
    if None in values:
        return None
    return [title, f"< {limit_kb:,} kB", " / ".join(f"{value:,.1f}" for value in values),
            "met" if max(values) < limit_kb else "**short**"]


def targets_table(results):
    """What Remora is held to, and where it stands."""
    rows = [
        _speed_target(results, "New connections/s ÷ nginx, mTLS", "connections", ["nginx-mtls"], 5),
        _speed_target(results, "Requests/s at 32 connections ÷ best mTLS pair", "keepalive-32", _MTLS_PEERS, 1),
        _speed_target(results, "Download ÷ nginx, mTLS", "download", ["nginx-mtls"], 1),
        _speed_target(results, "Upload ÷ nginx, mTLS", "upload", ["nginx-mtls"], 1),
    ]
    idle = results.memory(SUBJECT, 0)
    if idle:
        rows.append(_memory_target(results, "Private dirty memory, idle, client / server side", 4096,
                                   [idle[side]["private_dirty"] for side in _SIDES]))
    for count in results.idle_counts():
        rows.append(_memory_target(results, f"Private dirty for each of {count:,} idle connections, client / server side", 10,
                                   [_per_connection_kb(results, SUBJECT, count, side) for side in _SIDES]))
    return _table(["target", "wanted", "measured", ""], [row for row in rows if row])


def _about(results):
    lines = [f"- {name}: {text}" for name, text in results.about.items()]
    lines += [f"- Handshake of {results.titles[setup]} with OpenSSL's client: {text}"
              for setup, text in results.handshakes.items() if text]
    return "\n".join(lines)


def _ratio_sections(results):
    others = [setup for setup in results.titles if setup != SUBJECT]
    sections = []
    if SUBJECT in results.titles:
        sections += ["## Remora beside the others", ratio_table(results, [SUBJECT], others)]
    if "direct" in others:
        sections += ["## What each setup leaves of a direct connection",
                     ratio_table(results, results.titles, ["direct"])]
    return sections


def markdown(data):
    """The whole page."""
    results = Results(data)
    sections = ["# Benchmarks", "Written by `scripts/bench`; what the rows mean and how they are measured is in "
                "[bench/README.md](../bench/README.md).", _about(results)]
    if SUBJECT in results.titles:
        sections += ["## Targets", targets_table(results)]
    sections += ["## Figures", figures_table(results), *_ratio_sections(results), "## Memory", memory_table(results)]
    if results.failures():
        sections += ["## Failures", "\n".join(f"- {failure}" for failure in results.failures())]
    return "\n\n".join(sections) + "\n"
