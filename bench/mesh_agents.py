"""
What real agents hold in memory, and spend on a change, in a mesh of 100,000 workloads: one that is told everything and one on
demand, against remora-controlplane with the mesh in its directory.
"""

import json
import os
import time

import processes
from mesh import Mesh, replace_file
from pods import wait_until

WORKLOADS = 100_000
SERVICES = 10_000
FILES = 100
TALKS_TO = 10  # services, of ten workloads each
CHANGES = 20
_CHANGE_S = 1.0  # from one change to the next: more than the control plane waits for further ones
_START_S = 300
_NAMESPACES = 500


def _namespace(service):
    return f"team-{service % _NAMESPACES:03}"


def _key(service):
    return f"{_namespace(service)}/checkout-{service:05}.{_namespace(service)}.svc.cluster.local"


def _vip(service):
    return f"198.19.{service // 250 + 1}.{service % 250 + 1}"


def _service(service):
    return {"name": f"checkout-{service:05}", "namespace": _namespace(service), "hostname": _key(service).partition("/")[2],
            "vips": [f"/{_vip(service)}"], "ports": {80: 8080, 9090: 9090}}


def _workload(number):
    service = number % SERVICES
    name = f"checkout-{service:05}-7d9f8{service:05x}-{number // SERVICES:05}"
    return {"uid": f"Kubernetes//Pod/{_namespace(service)}/{name}", "name": name, "namespace": _namespace(service),
            "serviceAccount": f"checkout-{service:05}", "trustDomain": "cluster.local",
            "workloadIps": [f"10.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}"], "protocol": "HBONE", "network": "",
            "workloadName": f"checkout-{service:05}", "workloadType": "deployment", "canonicalName": f"checkout-{service:05}",
            "canonicalRevision": "v1", "clusterId": "Kubernetes", "node": f"node-{number % 2000:04}",
            "services": {_key(service): {80: 8080, 9090: 9090}}}


class _World:
    """The control plane with the whole mesh, and two agents that are not started."""

    def __init__(self, node):
        self.mesh = Mesh(node, discovery="control-plane")
        self.wildcard, self.on_demand = self.mesh.agent("wildcard"), self.mesh.agent("on-demand")
        self._write_mesh()
        self.mesh.write_local_file()
        self.mesh.write_tokens()
        began = time.monotonic()
        self.mesh.start_control()
        self.load_s = time.monotonic() - began
        self.revision = 1

    def _write(self, name, workloads, services=()):
        replace_file(os.path.join(self.mesh.discovery_dir, f"{name}.yaml"),
                     json.dumps({"workloads": workloads, "services": list(services), "policies": []}))

    def _write_mesh(self):
        """The first workload, which changes, has a file of its own: what is measured is not the reading of a large one."""
        for number in range(FILES):
            self._write(f"part-{number:03}", [_workload(i) for i in range(number or FILES, WORKLOADS, FILES)],
                        [_service(i) for i in range(number, SERVICES, FILES)])
        self._write("changing", [_workload(0)])

    def change(self):
        self.revision += 1
        self._write("changing", [{**_workload(0), "canonicalRevision": f"v{self.revision}"}])


def _start(agent, discovery, workloads):
    """How long it takes until it is ready and knows so many workloads."""
    agent.capture()
    began = time.monotonic()
    agent.start(ready=False, discovery=discovery)
    agent.wait_ready(timeout_s=_START_S)
    wait_until(lambda: _num_held(agent) >= workloads, f"{workloads} workloads in {agent.name}", timeout_s=_START_S)
    return time.monotonic() - began


def _num_held(agent):
    return agent.metric("remora_xds_resources", type="address")


def _talk(agent):
    """The application opens connections; what becomes of them does not matter."""
    code = ("import socket, sys\n"
            "for vip in sys.argv[1:]:\n"
            "    try: socket.create_connection((vip, 80), 5).close()\n"
            "    except OSError: pass\n")
    agent.pod.run(["python3", "-c", code, *(_vip(service) for service in range(TALKS_TO))])
    wait_until(lambda: _num_held(agent) >= 1 + 11 * TALKS_TO, "the services that it talks to")


def _changes(world, agent):
    """{processor time of one change in ns, memory that all of them have left behind in kB}; what a quiet agent uses is left out."""
    pid = agent.process.pid
    memory = processes.memory_kb(pid)["private_dirty"]
    before = agent.metric("remora_xds_updates_total", type="address")
    began = processes.cpu_nanoseconds(pid)
    time.sleep(CHANGES * _CHANGE_S)
    quiet = processes.cpu_nanoseconds(pid) - began
    began = processes.cpu_nanoseconds(pid)
    for _ in range(CHANGES):
        world.change()
        time.sleep(_CHANGE_S)
    spent = processes.cpu_nanoseconds(pid) - began
    told = agent.metric("remora_xds_updates_total", type="address") - before
    assert told == CHANGES, f"{agent.name} was told {told} of {CHANGES} changes"
    return {"ns": max(spent - quiet, 0) / CHANGES, "kb": processes.memory_kb(pid)["private_dirty"] - memory}


def measure(node):
    """The figures; needs root."""
    world = _World(node)
    figures = {"workloads": WORKLOADS, "services": SERVICES, "files": FILES + 1, "talks_to": TALKS_TO, "changes": CHANGES,
               "control": {"load_s": world.load_s, **processes.memory_kb(world.mesh.control.pid)}}
    for agent, discovery, workloads in ((world.on_demand, "on-demand", 1), (world.wildcard, "wildcard", WORKLOADS + SERVICES)):
        ready_s = _start(agent, discovery, workloads)
        alone = processes.memory_kb(agent.process.pid)
        if discovery == "on-demand":
            _talk(agent)
        figures[discovery] = {"ready_s": ready_s, "alone": alone, **processes.memory_kb(agent.process.pid),
                              "held": _num_held(agent), "change": _changes(world, agent)}
        agent.stop()
    return figures
