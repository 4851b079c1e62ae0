#!/usr/bin/env python3
"""
The benchmark: pairs of proxies between pods, measured side by side in one interleaved run. scripts/bench builds what it needs
and starts it; bench/README.md has the method.
"""

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import time
from typing import NamedTuple

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(_ROOT, "tests", "harness"))

# pylint: disable=wrong-import-position
import door  # noqa: E402
import identities  # noqa: E402
import measures  # noqa: E402
import mesh_agents  # noqa: E402
import mesh_state  # noqa: E402
import pods  # noqa: E402
import report  # noqa: E402
import setups  # noqa: E402

# For speed measurements: more than the 32 connections that any of them opens at once.
_SPEED_CONNECTIONS = 512


class Tools(NamedTuple):
    """Paths of the programs under test and of the load generators."""

    load: str
    agent: str
    init: str
    door: str


def _parse_args():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures Remora beside its peers. Needs root.")
    parser.add_argument("--quick", action="store_true", help="a rough picture in under three minutes")
    parser.add_argument("--rounds", type=int, help="rounds of all speed measurements (5; quick: 2)")
    parser.add_argument("--seconds", type=float, help="of each speed measurement (3; quick: 0.8)")
    parser.add_argument("--setups", type=_list_of(setups.ALL), default=setups.ALL, metavar="NAME,...",
                        help="of: " + ", ".join(setup.key for setup in setups.ALL))
    parser.add_argument("--measures", type=_list_of(measures.ALL), default=measures.ALL, metavar="NAME,...",
                        help="of: " + ", ".join(measure.key for measure in measures.ALL))
    parser.add_argument("--idle", type=_numbers, default=[1000, 5000], metavar="N,...",
                        help="numbers of idle connections whose memory is measured (1000,5000); 0: memory is not measured")
    parser.add_argument("--json", metavar="FILE", help="write every single measurement there")
    parser.add_argument("--write", metavar="FILE", help="write the tables there, in Markdown")
    parser.add_argument("--note", metavar="TEXT", help="what a reader has to know of this run, for the page")
    parser.add_argument("--from-json", metavar="FILE", help="measure nothing, make the tables from an earlier run")
    parser.add_argument("--mesh", action="store_true",
                        help="measure only what the state of a large mesh costs; --write replaces that section of the file")
    parser.add_argument("--door", action="store_true",
                        help="measure only mutual TLS at the application's own door; --write replaces that section of the file")
    parser.add_argument("--bin", default=os.path.join(_ROOT, "build", "release", "bin"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.seconds = args.seconds or (0.8 if args.quick else 3.0)
    return args


def _list_of(known):
    """A converter from "a,b" to those of `known` whose keys these are."""
    def convert(text):
        by_key = {one.key: one for one in known}
        unknown = [key for key in text.split(",") if key not in by_key]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return tuple(by_key[key] for key in text.split(","))
    return convert


def _numbers(text):
    try:
        return [number for number in sorted({int(part) for part in text.split(",")}) if number > 0]
    except ValueError:
        raise argparse.ArgumentTypeError(f"not numbers: {text}") from None


def _say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _first_line(argv):
    try:
        done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None


def _cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        models = [line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _describe(args, tools):
    """What a reader has to know of the run, as an ordered {name: text}."""
    about = {
        "Date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "Machine": f"{os.cpu_count()} × {_cpu_model()}, Linux {platform.release()}",
        "Run": f"{args.rounds} rounds of {args.seconds:g} s for each measurement",
    }
    for name, argv in (("Remora", [tools.agent, "--version"]), ("nginx", ["nginx", "-v"]), ("haproxy", ["haproxy", "-v"]),
                       ("OpenSSL (of the peers)", ["openssl", "version"])):
        line = _first_line(argv)
        if line:
            about[name] = line
    if args.note:
        about["Note"] = args.note
    return about


def _available(wanted, tools):
    """Those that can be measured here; says why the others cannot."""
    found = []
    for setup in wanted:
        missing = setup.missing(tools)
        if missing:
            _say(f"{setup.key} is left out: {missing}")
        else:
            found.append(setup)
    return found


def _raise_descriptor_limit():
    """As many as the system lets us have; the largest setup needs two for each idle connection."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _speed_rounds(built, args, warmup):
    """
    All rounds. In each, every measure goes through all setups before the next one, so that figures to be compared are seconds
    apart; and each round starts with another setup, so that none always follows the same one.
    """
    samples = []
    for number in range(1, args.rounds + 1):
        began = time.monotonic()
        for measure in args.measures:
            turn = number % len(built)
            for setup in built[turn:] + built[:turn]:
                if setup.measures_only is None or measure.key in setup.measures_only:
                    samples.append({"round": number, "measure": measure.key, "setup": setup.key,
                                    "result": measures.load(setup, measure, args.seconds, warmup)})
        _say(f"round {number} of {args.rounds} took {time.monotonic() - began:.0f} s")
    return samples


def _memory_runs(built, counts):
    entries = []
    for setup in built:
        if setup.measures_only is not None or not setup.proxies or not counts:
            continue
        setup.stop()
        for count in [0, *counts]:
            entries.append({"setup": setup.key, "connections": count, **measures.idle_memory(setup, count)})
        _say(f"memory of {setup.key} is measured")
    return entries


def _run(args, tools, chosen):
    """The whole run: the data that tables are made of."""
    with pods.Node() as node:
        certificates = identities.Certificates(os.path.join(node.folder, "certs"), pods.AGENT_UID)
        built = [setup(node, tools, certificates) for setup in chosen]
        for setup in built:
            setup.start(_SPEED_CONNECTIONS)
        data = {"about": _describe(args, tools), "setups": {setup.key: setup.title for setup in built},
                "handshakes": {setup.key: setup.handshake() for setup in built}}
        data["samples"] = _speed_rounds(built, args, warmup=0.2 if args.quick else 0.5)
        data["memory"] = _memory_runs(built, args.idle)
        return data


def _tools(args):
    return Tools(*(os.path.join(args.bin, name)
                   for name in ("remora-load", "remora-agent", "remora-init", "remora-door-bench")))


def _measure(args):
    pods.require_root()
    tools = _tools(args)
    chosen = _available(args.setups, tools)
    if not chosen:
        sys.exit("bench: there is nothing to measure")
    descriptors = _raise_descriptor_limit()
    if args.idle and 2 * max(args.idle) + 1024 > descriptors:
        sys.exit(f"bench: {descriptors} descriptors are too few for {max(args.idle)} idle connections; raise ulimit -n or "
                 f"choose smaller numbers with --idle")
    return _run(args, tools, chosen)


def _read(path):
    """What is in the file; nothing where there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _run_mesh(args):
    data = mesh_state.measure(os.path.join(args.bin, "remora-mesh-bench"), args.rounds)
    if os.geteuid() == 0:
        os.environ["REMORA_PROGRAMS"] = args.bin
        with pods.Node() as node:
            data["agents"] = mesh_agents.measure(node)
    else:
        _say("the memory of real agents is left out: that needs root, to make network namespaces")
    about = (f"{datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d')}, "
             f"{os.cpu_count()} × {_cpu_model()}, median of {args.rounds} runs.")
    section = mesh_state.section(data, about)
    if args.json:
        _write(args.json, json.dumps(data, indent=1) + "\n")
    print(section)
    if args.write:
        _write(args.write, mesh_state.join(mesh_state.split(_read(args.write))[0], section))


def with_other_sections(page, former):
    """The page of a full run, with the sections of the former page that have runs of their own."""
    for heading in (door.HEADING, mesh_state.HEADING):
        section = mesh_state.split(former, heading)[1]
        if section:
            page = mesh_state.join(page, section.rstrip("\n") + "\n")
    return page


def with_door(page, section):
    """The page with this section on the application's own door instead of the former one, before that on the mesh."""
    rest, mesh = mesh_state.split(mesh_state.split(page, door.HEADING)[0])
    return mesh_state.join(mesh_state.join(rest, section), mesh)


def _run_door(args):
    if args.from_json:
        with open(args.from_json, encoding="utf-8") as saved:
            data = json.load(saved)
    else:
        data = _measure_door(args)
    section = door.section(data)
    if args.json:
        _write(args.json, json.dumps(data, indent=1) + "\n")
    print(section)
    if args.write:
        _write(args.write, with_door(_read(args.write), section))


def _measure_door(args):
    pods.require_root()
    tools = _tools(args)
    about = _describe(args, tools)
    about.pop("haproxy", None)
    # Before there is any of our own.
    about["Load average before the run"] = (f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; "
                                            "what is above 0 is other work, and moves the figures")
    with pods.Node() as node:
        return {"about": about, **door.measure(node, tools, args.rounds, args.seconds, _say)}


def _write(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    _say(f"wrote {path}")


def main():
    args = _parse_args()
    if args.mesh:
        _run_mesh(args)
        return
    if args.door:
        _run_door(args)
        return
    if args.from_json:
        with open(args.from_json, encoding="utf-8") as saved:
            data = json.load(saved)
    else:
        data = _measure(args)
    if args.json:
        _write(args.json, json.dumps(data, indent=1) + "\n")
    page = report.markdown(data)
    print(page)
    if args.write:
        _write(args.write, with_other_sections(page, _read(args.write)))
    failures = report.Results(data).failures()
    for failure in failures:
        _say(failure)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
