"""Workloads, services and policies as the control plane sends them (istio.workload.Address, istio.security.Authorization), made
out of the dictionaries that the local file has."""

import hashlib
import ipaddress

from protobuf import field, repeated

ADDRESS = "type.googleapis.com/istio.workload.Address"
AUTHORIZATION = "type.googleapis.com/istio.security.Authorization"

_TUNNELS = {"TCP": 0, "HBONE": 1}
_TYPES = {"deployment": 0, "cronjob": 1, "pod": 2, "job": 3}
_SCOPES = {"Global": 0, "Namespace": 1, "WorkloadSelector": 2}
_ACTIONS = {"Allow": 0, "Deny": 1}
_PATTERNS = {"Exact": 1, "Prefix": 2, "Suffix": 3}


class Resource:
    """
    Attributes: `type`, `name`, `version`, `body`, `aliases` ("network/ip" each), and `services`, the names of those that a
    workload is an endpoint of.
    """

    def __init__(self, type_url, name, body, aliases=(), services=()):
        self.type = type_url
        self.name = name
        self.body = body
        self.aliases = tuple(aliases)
        self.services = tuple(services)
        # istiod gives addresses a hash of their content, and policies nothing.
        self.version = str(int.from_bytes(hashlib.sha256(body).digest()[:8], "big")) if type_url == ADDRESS else ""

    def encode(self):
        """As in a DeltaDiscoveryResponse."""
        anything = field(1, self.type) + field(2, self.body)
        return field(1, self.version) + field(2, anything) + field(3, self.name) + repeated(4, self.aliases)


def workload(entry):
    network = entry.get("network", "")
    body = (field(20, entry["uid"]) + field(1, entry["name"]) + field(2, entry["namespace"])
            + repeated(3, [_packed(ip) for ip in entry["workloadIps"]]) + field(4, network)
            + field(5, _TUNNELS[entry["protocol"]]) + field(6, entry.get("trustDomain")) + field(7, entry["serviceAccount"])
            + field(9, entry.get("node")) + field(10, entry.get("canonicalName")) + field(11, entry.get("canonicalRevision"))
            + field(12, _TYPES[entry.get("workloadType", "pod")]) + field(13, entry.get("workloadName"))
            + repeated(16, entry.get("authorizationPolicies", ())) + field(18, entry.get("clusterId"))
            + b"".join(field(22, field(1, key) + field(2, _ports(ports))) for key, ports in entry["services"].items()))
    aliases = [f"{network}/{ip}" for ip in entry["workloadIps"]]
    return Resource(ADDRESS, entry["uid"], field(1, body), aliases, entry["services"])


def service(entry):
    vips = [vip.split("/") for vip in entry["vips"]]
    body = (field(1, entry["name"]) + field(2, entry["namespace"]) + field(3, entry["hostname"])
            + b"".join(field(4, field(1, network) + field(2, _packed(ip))) for network, ip in vips)
            + repeated(5, [field(1, port) + field(2, target) for port, target in entry["ports"].items()])
            + repeated(6, entry.get("subjectAltNames", ())) + field(11, int(entry.get("canonical", False))))
    return Resource(ADDRESS, f"{entry['namespace']}/{entry['hostname']}", field(2, body), entry["vips"])


def policy(entry):
    rules = [repeated(1, [repeated(2, [_match(match) for match in clause]) for clause in rule]) for rule in entry["rules"]]
    body = (field(1, entry["name"]) + field(2, entry["namespace"]) + field(3, _SCOPES[entry["scope"]])
            + field(4, _ACTIONS[entry["action"]]) + repeated(5, rules) + field(6, int(entry["dryRun"])))
    return Resource(AUTHORIZATION, f"{entry['namespace']}/{entry['name']}", body)


def _ports(ports):
    return repeated(1, [field(1, int(port)) + field(2, target) for port, target in ports.items()])


def _packed(ip):
    return ipaddress.ip_address(ip).packed


def _match(match):
    numbers = {"namespaces": 1, "notNamespaces": 2, "principals": 3, "notPrincipals": 4}
    body = b"".join(repeated(numbers[key], [_pattern(value) for value in values])
                    for key, values in match.items() if key in numbers)
    return body + b"".join(field(9, port) for port in match.get("destinationPorts", ()))


def _pattern(value):
    (kind, text), = value.items()
    return b"\x22\x00" if kind == "Presence" else field(_PATTERNS[kind], text)
