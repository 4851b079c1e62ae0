"""
What is measured, and one measurement of each kind. A measurement is a plain dictionary that goes into the results as it is;
everything in the tables is computed from those.
"""

import json
import subprocess
import time
from typing import NamedTuple

import processes

# Longer than a proxy with full handshakes takes to open the largest number of idle connections.
_OPEN_LIMIT_S = 60
# For buffers that are freed by a timer, or by the next turn of the loop.
_SETTLE_S = 1.0


class Measure(NamedTuple):
    """A kind of load. `unit_work` is how much of it the processor time is told for: requests, connections or bytes."""

    key: str
    mode: str         # of the load generator
    connections: int
    work: str         # the result's field that counts the work done in the whole run
    unit_work: int


KEEPALIVE_1 = Measure("keepalive-1", "requests", 1, "total_requests", 100_000)
KEEPALIVE_32 = Measure("keepalive-32", "requests", 32, "total_requests", 100_000)
CONNECTIONS = Measure("connections", "connections", 32, "total_requests", 1_000)
DOWNLOAD = Measure("download", "download", 1, "total_bytes", 10**9)
UPLOAD = Measure("upload", "upload", 1, "total_bytes", 10**9)
ALL = (KEEPALIVE_1, KEEPALIVE_32, CONNECTIONS, DOWNLOAD, UPLOAD)


def load(setup, measure, seconds, warmup):
    """
    Puts the load on a started setup. Returns the load generator's result, with "cpu_per_unit", the processor seconds that the
    proxy of each side used for measure.unit_work.
    """
    before = _cpu(setup)
    result = json.loads(setup.client_pod.run(
        [setup.tools.load, measure.mode, "--connect", setup.target(), "--connections", str(measure.connections),
         "--seconds", str(seconds), "--warmup", str(warmup)], timeout_s=seconds + warmup + 30).stdout)
    assert result["requests"] > 0 or result["bytes"] > 0, f"{setup.key}: {measure.key}: nothing came through: {result}"
    used = {side: after - before[side] for side, after in _cpu(setup).items()}
    # A proxy that was passed by (rules that do not capture, a wrong port) must not look like a fast one.
    assert all(used.values()), f"{setup.key}: {measure.key}: a proxy had nothing to do: {used}"
    result["cpu_per_unit"] = {side: cpu / (result[measure.work] / measure.unit_work) for side, cpu in used.items()}
    return result


def _cpu(setup):
    return {side: processes.cpu_seconds(proxy.pid) for side, proxy in setup.proxies.items()}


def idle_memory(setup, num_connections):
    """
    The memory of freshly started proxies that hold so many connections, each of which has carried one request: {"client",
    "server", "held", "alive"}. The setup must be stopped, and is afterwards.
    """
    setup.start(num_connections)
    try:
        if num_connections == 0:
            time.sleep(_SETTLE_S)
            return {**_memory(setup), "held": 0, "alive": 0}
        return _held_memory(setup, num_connections)
    finally:
        setup.stop()


def _held_memory(setup, num_connections):
    argv = setup.client_pod.command([
        setup.tools.load, "hold", "--connect", setup.target(), "--connections", str(num_connections),
        "--seconds", str(_OPEN_LIMIT_S)])
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        line = holder.stdout.readline()
        assert line, f"{setup.key}: {num_connections} connections could not be opened"
        time.sleep(_SETTLE_S)
        memory = _memory(setup)
        alive, _ = holder.communicate(timeout=_OPEN_LIMIT_S + 10)
    assert alive, f"{setup.key}: {num_connections} idle connections did not answer again"
    return {**memory, **json.loads(line), **json.loads(alive)}


def _memory(setup):
    return {side: processes.memory_kb(proxy.pid) for side, proxy in setup.proxies.items()}
