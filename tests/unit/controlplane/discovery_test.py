"""remora-controlplane's discovery as a program, by a client that is not ours: python3-h2 with Python's ssl."""

import json
import os
import socket
import struct
import tempfile
import time
import unittest

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from program_test import NAME, TOKEN, WAIT_S, ControlPlane, field, frame

PATH = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
ADDRESS = "type.googleapis.com/istio.workload.Address"
AUTHORIZATION = "type.googleapis.com/istio.security.Authorization"
OK, INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAUTHENTICATED = 0, 3, 7, 8, 12, 16
NODE_ID = "ztunnel~10.0.0.1~frontend-0.shop~shop.svc.cluster.local"


# --------------------------------------------------------------------------------------------------- messages


def read_fields(message):
    """[(number, value)] of a protobuf message."""

    def read_varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            shift += 7
            at += 1
            if message[at - 1] < 0x80:
                return value, at

    fields, at = [], 0
    while at < len(message):
        tag, at = read_varint(at)
        value, at = read_varint(at)
        if tag & 7 == 2:
            value, at = message[at:at + value], at + value
        fields.append((tag >> 3, value))
    return fields


def texts(fields, number):
    return [value.decode() for found, value in fields if found == number]


def read_response(message):
    fields = read_fields(message)
    resources = {}
    for _, value in (item for item in fields if item[0] == 2):
        inner = read_fields(value)
        resources[texts(inner, 3)[0]] = {"version": "".join(texts(inner, 1)), "aliases": texts(inner, 4), "any": dict(inner)[2]}
    return {"type": texts(fields, 4)[0], "nonce": texts(fields, 5)[0], "resources": resources, "removed": texts(fields, 6)}


def struct_of(values):
    return b"".join(field(1, field(1, key.encode()) + field(2, field(3, value.encode()))) for key, value in values.items())


def node(node_id=NODE_ID, **metadata):
    return field(1, field(1, node_id.encode()) + field(3, struct_of({"NAMESPACE": "shop", **metadata})))


def request(kind=ADDRESS, subscribe=(), unsubscribe=(), held=None, nonce="", error=None, who=b""):
    out = who + field(2, kind.encode())
    out += b"".join(field(3, name.encode()) for name in subscribe) + b"".join(field(4, name.encode()) for name in unsubscribe)
    out += b"".join(field(5, field(1, name.encode()) + field(2, version.encode())) for name, version in (held or {}).items())
    if nonce:
        out += field(6, nonce.encode())
    if error:
        out += field(7, field(1, 3) + field(2, error.encode()))
    return out


# ------------------------------------------------------------------------------------------------------ client


class Ended(Exception):
    """The stream's end: the trailers."""


class Stream:
    """One stream of DeltaAggregatedResources on a connection of its own. Acknowledges what it receives, unless told not to."""

    def __init__(self, server, token=TOKEN, window=None):
        self.socket = server.tls()
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        if window is not None:
            self.http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        headers = [(":method", "POST"), (":scheme", "https"), (":authority", NAME), (":path", PATH), ("te", "trailers"),
                   ("content-type", "application/grpc")]
        if token is not None:
            headers.append(("authorization", f"Bearer {token}"))
        self.http.send_headers(1, headers)
        self.reads = window is None
        self.bytes = b""
        self.trailers = {}
        self.ended = self.goaway = False
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def send(self, message):
        body = frame(message)
        while body:
            size = min(len(body), self.http.local_flow_control_window(1), self.http.max_outbound_frame_size)
            if size == 0:
                self.take(WAIT_S)
                continue
            self.http.send_data(1, body[:size])
            body = body[size:]
        self.flush()

    def half_close(self):
        self.http.end_stream(1)
        self.flush()

    def take(self, timeout_s):
        """Reads once from the socket. False: nothing came."""
        self.socket.settimeout(timeout_s)
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, socket.timeout):
            return False
        if not data:
            self.ended = True
            return True
        try:
            events = self.http.receive_data(data)
        except h2.exceptions.ProtocolError:
            if self.http.state_machine.state != h2.connection.ConnectionState.CLOSED:
                raise
            self.goaway = True
            return True  # this client takes nothing after a GOAWAY, which it could
        for event in events:
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                self.trailers |= dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bytes += event.data
                if self.reads:
                    self.http.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended = True
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = True
        self.flush()
        return True

    def message(self, timeout_s=WAIT_S):
        """The next message, or None when none comes within the time."""
        deadline = time.monotonic() + timeout_s
        while True:
            if len(self.bytes) >= 5 and len(self.bytes) >= 5 + struct.unpack(">I", self.bytes[1:5])[0]:
                size = struct.unpack(">I", self.bytes[1:5])[0]
                message, self.bytes = self.bytes[5:5 + size], self.bytes[5 + size:]
                return message
            if self.ended:
                raise Ended(self.trailers)
            if time.monotonic() > deadline or not self.take(max(deadline - time.monotonic(), 0.001)):
                return None

    def response(self, ack=True, timeout_s=WAIT_S):
        message = self.message(timeout_s)
        if message is None:
            return None
        response = read_response(message)
        if ack:
            self.send(request(response["type"], nonce=response["nonce"]))
        return response

    def end(self):
        """Waits for the stream's end: (status, message)."""
        try:
            while self.message() is not None:
                pass
        except Ended:
            pass
        return int(self.trailers.get("grpc-status", -1)), self.trailers.get("grpc-message", "")


# --------------------------------------------------------------------------------------------------------- mesh


def workload(name, ip, services=(), **fields):
    return {"uid": f"k//Pod/shop/{name}", "name": name, "namespace": "shop", "serviceAccount": name, "workloadIps": [ip],
            "protocol": "HBONE", "services": {f"shop/{service}.shop.svc": {80: 8080} for service in services}, **fields}


def service(name, vip, **fields):
    return {"name": name, "namespace": "shop", "hostname": f"{name}.shop.svc", "vips": [f"/{vip}"], "ports": {80: 8080}, **fields}


def policy(name, *principals):
    return {"name": name, "namespace": "shop", "scope": "Namespace", "action": "Allow", "dryRun": False,
            "rules": [[[{"principals": [{"Exact": principal} for principal in principals]}]]]}


class Test(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="remora-discovery-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.dir = os.path.join(self.folder, "mesh")
        os.mkdir(self.dir)
        self.write("mesh.yaml", [workload("web-0", "10.0.0.1", ["web"]), workload("web-1", "10.0.0.2", ["web"]),
                                 workload("lone", "10.0.0.3")], [service("web", "10.1.0.1")], [policy("only-lone", "a")])

    def write(self, name, workloads=(), services=(), policies=(), text=None):
        path = os.path.join(self.dir, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text or json.dumps({"workloads": workloads, "services": services, "policies": policies}))
        os.replace(path + ".new", path)

    def start(self, **options):
        return self.enterContext(ControlPlane(self.folder, discovery_dir=self.dir, discovery_debounce="10ms", **options))

    def stream(self, server, **options):
        return self.enterContext(Stream(server, **options))

    def names(self, response):
        self.assertIsNotNone(response, "no response")
        return sorted(response["resources"]), sorted(response["removed"])

    def wildcard(self, server, kind=ADDRESS, **options):
        """A stream that has got everything of a type, and the response."""
        stream = self.stream(server)
        stream.send(request(kind, who=node(), **options))
        return stream, stream.response()

    def on_demand(self, server, **options):
        stream = self.stream(server)
        stream.send(request(who=node(), subscribe=["*"], unsubscribe=["*"], **options))
        self.assertEqual(self.names(stream.response()), ([], []))
        return stream

    # ------------------------------------------------------------------------------------------------- content

    def test_a_wildcard_client_gets_everything_and_changes_as_they_are_written(self):
        server = self.start()
        stream, response = self.wildcard(server)
        self.assertEqual(self.names(response), (["k//Pod/shop/lone", "k//Pod/shop/web-0", "k//Pod/shop/web-1", "shop/web.shop.svc"],
                                                []))
        stream.send(request(AUTHORIZATION))
        response = stream.response()
        self.assertEqual((response["type"], self.names(response)), (AUTHORIZATION, (["shop/only-lone"], [])))
        self.write("mesh.yaml", [workload("web-0", "10.0.0.1", ["web"]), workload("new", "10.0.0.9")],
                   [service("web", "10.1.0.1")], [policy("only-lone", "a", "b")])
        response = stream.response()
        self.assertEqual((response["type"], self.names(response)), (AUTHORIZATION, (["shop/only-lone"], [])))
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/new"], ["k//Pod/shop/lone", "k//Pod/shop/web-1"]))

    def test_new_policies_come_before_the_workloads_that_name_them_and_go_after(self):
        server = self.start()
        stream, _ = self.wildcard(server)
        stream.send(request(AUTHORIZATION))
        stream.response()
        for policies, listed in (([policy("only-lone", "a"), policy("p", "a")], ["shop/p"]), ([policy("only-lone", "a")], [])):
            self.write("mesh.yaml", [workload("lone", "10.0.0.3", authorizationPolicies=listed)], [], policies)
            kinds = []
            for _ in range(2):
                response = stream.response()
                kinds.append(response["type"])
            self.assertEqual(kinds, [AUTHORIZATION, ADDRESS] if listed else [ADDRESS, AUTHORIZATION])

    def test_several_files_are_one_mesh_and_the_first_one_counts(self):
        self.write("more.yml", [workload("more", "10.0.1.1"), workload("lone", "10.9.9.9")])
        self.write("ignored.txt", text="not yaml: [")
        self.write(".hidden.yaml", text="not yaml: [")
        server = self.start()
        _, response = self.wildcard(server)
        self.assertIn("k//Pod/shop/more", response["resources"])
        self.assertIn(b"\x0a\x00\x00\x03", response["resources"]["k//Pod/shop/lone"]["any"])
        warning, = server.entries("discovery")
        self.assertEqual(warning["warning"], '"k//Pod/shop/lone" is in mesh.yaml and in more.yml; the first one counts')

    def test_of_a_copied_mesh_the_first_clashes_are_told_and_the_rest_is_counted(self):
        many = [workload(f"many-{i}", f"10.1.{i // 256}.{i % 256}") for i in range(20000)]
        self.write("many.yaml", many)
        self.write("many-copy.yaml", many)
        server = self.start()
        _, response = self.wildcard(server)
        self.assertIn("k//Pod/shop/many-0", response["resources"])
        warnings = [entry["warning"] for entry in server.entries("discovery", 17)]
        self.assertEqual(len(warnings), 17)
        self.assertIn('in many-copy.yaml and in many.yaml', warnings[0])
        self.assertEqual(warnings[-1], f"{20000 - 16} more resources are in two files")

    def test_a_file_with_a_mistake_stays_as_it_was_while_others_change(self):
        self.write("more.yaml", [workload("more", "10.0.1.1")])
        server = self.start()
        stream, _ = self.wildcard(server)
        self.write("more.yaml", text="workloads:\n- {uid: x, workloadIps: [banana], services: {}}\n")
        refused, = server.entries("changed discovery refused; what was before stays in force")
        self.assertRegex(refused["error"], r"more\.yaml:2:.*banana")
        self.write("mesh.yaml", [workload("lone", "10.0.0.3")])
        self.assertEqual(self.names(stream.response())[1], ["k//Pod/shop/web-0", "k//Pod/shop/web-1", "shop/web.shop.svc"])
        self.write("more.yaml", [workload("more", "10.0.1.2")])
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/more"], []))
        os.remove(os.path.join(self.dir, "more.yaml"))
        self.assertEqual(self.names(stream.response()), ([], ["k//Pod/shop/more"]))

    def test_a_mistake_at_start_is_no_start(self):
        self.write("bad.yaml", text="workloads: 7\n")
        with self.assertRaises(AttributeError):  # it never listened
            with ControlPlane(self.folder, discovery_dir=self.dir) as server:
                server.port
        # Its log said why; a start with the file mended works.
        self.write("bad.yaml", text="{}")
        self.wildcard(self.start())

    def test_a_directory_that_is_away_changes_nothing(self):
        server = self.start()
        stream, _ = self.wildcard(server)
        os.rename(self.dir, self.dir + ".away")
        refused, = server.entries("changed discovery refused; what was before stays in force")
        self.assertIn("No such file", refused["error"])
        os.rename(self.dir + ".away", self.dir)
        self.write("a.yaml", [workload("a", "10.3.0.1")])
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/a"], []))

    def test_a_directory_that_is_swapped_as_kubernetes_does_is_read_again(self):
        def write(folder, *workloads):
            os.mkdir(os.path.join(self.dir, folder))
            with open(os.path.join(self.dir, folder, "mesh.yaml"), "w", encoding="utf-8") as file:
                json.dump({"workloads": workloads}, file)

        os.unlink(os.path.join(self.dir, "mesh.yaml"))
        write("..1", workload("a", "10.3.0.1"))
        os.symlink("..1", os.path.join(self.dir, "..data"))
        os.symlink("..data/mesh.yaml", os.path.join(self.dir, "mesh.yaml"))
        stream, response = self.wildcard(self.start())
        self.assertEqual(self.names(response), (["k//Pod/shop/a"], []))
        write("..2", workload("b", "10.3.0.2"))
        os.symlink("..2", os.path.join(self.dir, "..data_tmp"))
        os.rename(os.path.join(self.dir, "..data_tmp"), os.path.join(self.dir, "..data"))
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/b"], ["k//Pod/shop/a"]))

    # ----------------------------------------------------------------------------------------------- on demand

    def test_on_demand_names_are_answered_and_watched(self):
        server = self.start()
        stream = self.on_demand(server)
        stream.send(request(subscribe=["/10.0.0.3", "/10.9.9.9", "shop/nobody.shop.svc"]))
        response = stream.response()
        self.assertEqual(self.names(response), (["k//Pod/shop/lone"], ["/10.9.9.9", "shop/nobody.shop.svc"]))
        self.assertEqual(response["resources"]["k//Pod/shop/lone"]["aliases"], ["/10.0.0.3"])
        stream.send(request(subscribe=["/10.1.0.1"]))
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/web-0", "k//Pod/shop/web-1", "shop/web.shop.svc"], []))
        # A new endpoint, an address that is taken now, and something that nobody asked for.
        self.write("more.yaml", [workload("web-2", "10.0.0.4", ["web"]), workload("late", "10.9.9.9"), workload("other", "10.9.9.1")])
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/late", "k//Pod/shop/web-2"], []))
        os.remove(os.path.join(self.dir, "more.yaml"))
        self.assertEqual(self.names(stream.response()), ([], ["k//Pod/shop/late", "k//Pod/shop/web-2"]))

    def test_what_is_unsubscribed_is_not_told_any_more(self):
        server = self.start()
        stream = self.on_demand(server)
        stream.send(request(subscribe=["k//Pod/shop/lone", "k//Pod/shop/web-0"]))
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/lone", "k//Pod/shop/web-0"], []))
        stream.send(request(unsubscribe=["k//Pod/shop/web-0"]))
        self.write("mesh.yaml", [workload("web-0", "10.0.0.7"), workload("lone", "10.0.0.8")])
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/lone"], []))

    def test_asking_again_is_answered_again(self):
        server = self.start()
        stream = self.on_demand(server)
        for _ in range(2):
            stream.send(request(subscribe=["shop/web.shop.svc", "/10.9.9.9"]))
            self.assertEqual(self.names(stream.response()),
                             (["k//Pod/shop/web-0", "k//Pod/shop/web-1", "shop/web.shop.svc"], ["/10.9.9.9"]))

    def test_a_service_that_takes_a_network_is_found_by_any_address_in_it(self):
        self.write("net.yaml", [workload("e", "10.0.7.1", ["egress"])], [service("egress", "10.1.0.7", cidrVips=["/192.0.2.0/24"])])
        stream = self.on_demand(self.start())
        stream.send(request(subscribe=["/192.0.2.77", "/192.0.3.1"]))
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/e", "shop/egress.shop.svc"], ["/192.0.3.1"]))

    # ----------------------------------------------------------------------------------------------- reconnect

    def test_a_client_that_comes_back_is_told_what_differs(self):
        server = self.start()
        _, response = self.wildcard(server)
        held = {name: resource["version"] for name, resource in response["resources"].items()}
        held["k//Pod/shop/lone"] = "old"
        held["k//Pod/shop/gone"] = "x"
        _, response = self.wildcard(server, held=held)
        self.assertEqual(self.names(response), (["k//Pod/shop/lone"], ["k//Pod/shop/gone"]))

    def test_versions_survive_a_restart_of_the_server(self):
        with ControlPlane(self.folder, discovery_dir=self.dir) as server:
            with Stream(server) as stream:
                stream.send(request(who=node()))
                held = {name: resource["version"] for name, resource in stream.response()["resources"].items()}
        _, response = self.wildcard(self.start(), held=held)
        self.assertEqual(self.names(response), ([], []))

    def test_on_demand_what_was_held_counts_as_subscribed(self):
        server = self.start()
        stream = self.stream(server)
        stream.send(request(who=node(), subscribe=["*", "/10.1.0.1"], unsubscribe=["*"],
                            held={"k//Pod/shop/lone": "old", "k//Pod/shop/gone": "x"}))
        self.assertEqual(self.names(stream.response()),
                         (["k//Pod/shop/lone", "k//Pod/shop/web-0", "k//Pod/shop/web-1", "shop/web.shop.svc"], ["k//Pod/shop/gone"]))

    # ------------------------------------------------------------------------------------------- slow and large

    def test_ten_thousand_resources_come_in_bounded_chunks_each_once(self):
        self.write("many.yaml", [workload(f"p-{i}", f"10.2.{i // 250}.{i % 250 + 1}", canonicalName="x" * 200) for i in range(10000)])
        server = self.start()
        stream = self.stream(server)
        stream.send(request(who=node()))
        seen, sizes = [], []
        while len(seen) < 10004:
            message = stream.message()
            self.assertIsNotNone(message, f"after {len(seen)} resources")
            response = read_response(message)
            sizes.append(len(message))
            seen += response["resources"]
            stream.send(request(nonce=response["nonce"]))
        self.assertEqual((len(seen), len(set(seen))), (10004, 10004))
        self.assertGreater(len(sizes), 2)
        self.assertLess(max(sizes), 1.1 * 1024 * 1024)

    def test_a_client_that_does_not_acknowledge_gets_one_response_and_then_the_sum(self):
        server = self.start()
        stream, _ = self.wildcard(server)
        self.write("a.yaml", [workload("a", "10.3.0.1")])
        first = stream.response(ack=False)
        self.assertEqual(self.names(first), (["k//Pod/shop/a"], []))
        for i in range(3):
            self.write("a.yaml", [workload("a", f"10.3.1.{i}"), workload(f"b-{i}", f"10.3.2.{i}")])
            server.entries("discovery loaded", 3 + i)
        self.assertIsNone(stream.response(timeout_s=0.2))
        stream.send(request(nonce="not-this-one"))
        self.assertIsNone(stream.response(timeout_s=0.2))
        stream.send(request(nonce=first["nonce"]))
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/a", "k//Pod/shop/b-2"], []))
        self.assertIsNone(stream.response(timeout_s=0.2))

    def test_a_nack_is_logged_and_does_not_stop_the_stream(self):
        server = self.start()
        stream = self.stream(server)
        stream.send(request(AUTHORIZATION, who=node()))
        stream.send(request(AUTHORIZATION, nonce=stream.response(ack=False)["nonce"], error="shop/only-lone: I do not like it"))
        rejected, = server.entries("client rejects resources")
        self.assertEqual((rejected["identity"], rejected["type"], rejected["error"]),
                         ("spiffe://cluster.local/ns/shop/sa/frontend", AUTHORIZATION, "shop/only-lone: I do not like it"))
        self.write("mesh.yaml", policies=[policy("only-lone", "b")])
        self.assertEqual(self.names(stream.response()), (["shop/only-lone"], []))

    def test_a_client_that_does_not_read_stops_being_read(self):
        self.write("many.yaml", [workload(f"p-{i}", f"10.2.{i // 250}.{i % 250 + 1}", canonicalName="x" * 200) for i in range(5000)])
        server = self.start()
        stream = self.stream(server, window=0)
        stream.http.increment_flow_control_window(1000000)  # of the connection; it is the stream that does not read
        stream.send(request(who=node()))
        # The server has a megabyte queued: it takes a window of requests, and then no more.
        sent = 0
        with self.assertRaises(AssertionError):
            for _ in range(200):
                message = frame(request(subscribe=["x" * 1000]))
                deadline = time.monotonic() + 1
                while stream.http.local_flow_control_window(1) < len(message):
                    if time.monotonic() > deadline:
                        raise AssertionError("the window stays shut")
                    stream.take(0.1)
                stream.http.send_data(1, message)
                stream.flush()
                sent += len(message)
        self.assertLess(sent, 128 * 1024)

    # --------------------------------------------------------------------------------------------------- access

    def test_strangers_get_nothing(self):
        server = self.start()
        for token, words in ((None, "no bearer token"), ("unknown", "unknown token")):
            stream = self.stream(server, token=token)
            self.assertEqual(stream.end(), (UNAUTHENTICATED, words))

    def test_a_node_must_be_its_token_s(self):
        server = self.start()
        for who, status, words in (
                (b"", INVALID_ARGUMENT, "the first request has no node"),
                (node("sidecar~10.0.0.1~a~b"), INVALID_ARGUMENT, "only nodes of the role"),
                (node("ztunnel~none~a~b"), INVALID_ARGUMENT, "no IP address"),
                (node("ztunnel"), INVALID_ARGUMENT, "role~ip~name~domain"),
                (node(NAMESPACE="bank"), PERMISSION_DENIED, "bank"),
                (node(SERVICE_ACCOUNT="backend"), PERMISSION_DENIED, "backend")):
            stream = self.stream(server)
            stream.send(request(who=who))
            got, message = stream.end()
            self.assertEqual(got, status, message)
            self.assertIn(words, message)
        self.wildcard(server)
        stream = self.stream(server)
        stream.send(request(who=node(SERVICE_ACCOUNT="frontend")))
        self.assertIsNotNone(stream.response())

    def test_garbage_ends_the_stream(self):
        server = self.start()
        for body, status in ((b"\xff\xff", INVALID_ARGUMENT), (field(2, b"\xff"), INVALID_ARGUMENT),
                             (node() + field(2, ADDRESS.encode()) + field(3, b"x" * 2000), RESOURCE_EXHAUSTED)):
            stream = self.stream(server)
            stream.send(body)
            self.assertEqual(stream.end()[0], status)

    def test_unknown_types_are_ignored(self):
        server = self.start()
        stream = self.stream(server)
        stream.send(request("type.googleapis.com/envoy.config.cluster.v3.Cluster", who=node()))
        stream.send(request(AUTHORIZATION))
        self.assertEqual(stream.response()["type"], AUTHORIZATION)

    # --------------------------------------------------------------------------------------------- a stream's life

    def test_the_client_s_end_is_answered(self):
        server = self.start()
        stream, _ = self.wildcard(server)
        stream.half_close()
        self.assertEqual(stream.end()[0], OK)
        gone, = server.entries("client has gone")
        self.assertEqual((gone["responses"], gone["nacks"]), (1, 0))

    def test_an_old_connection_is_asked_to_go_and_then_cut(self):
        server = self.start(max_connection_age="300ms", max_connection_age_grace="300ms")
        stream, _ = self.wildcard(server)
        while not stream.goaway and not stream.ended:
            stream.take(WAIT_S)
        self.assertTrue(stream.goaway)
        self.write("a.yaml", [workload("a", "10.3.0.1")])
        while not stream.ended:
            stream.take(WAIT_S)

    def test_a_stream_outlives_the_idle_timeout_and_a_call_goes_beside_it(self):
        server = self.start(idle_timeout="200ms")
        stream, _ = self.wildcard(server)
        self.assertIsNone(stream.response(timeout_s=0.6))
        self.write("a.yaml", [workload("a", "10.3.0.1")])
        self.assertEqual(self.names(stream.response()), (["k//Pod/shop/a"], []))

    def test_a_client_that_gives_no_sign_of_life_is_let_go(self):
        server = self.start(keepalive_interval="100ms")
        living, _ = self.wildcard(server)
        self.wildcard(server)  # this one is not read any more: it answers no PING
        self.assertIsNone(living.response(timeout_s=0.5))
        failed, = server.entries("connection failed")
        self.assertIn("no sign of life", failed["error"])
        self.assertEqual(len(server.entries("client has gone")), 1)
        self.write("a.yaml", [workload("a", "10.3.0.1")])
        self.assertEqual(self.names(living.response()), (["k//Pod/shop/a"], []))

    def test_an_ending_server_says_so(self):
        server = self.start()
        stream, _ = self.wildcard(server)
        server.process.terminate()
        while not stream.ended:
            stream.take(WAIT_S)
        self.assertTrue(stream.goaway)
        self.assertEqual(server.process.wait(WAIT_S), 0)

    def test_without_a_directory_there_is_no_discovery(self):
        server = self.enterContext(ControlPlane(self.folder))
        stream = self.stream(server)
        self.assertEqual(stream.end()[0], UNIMPLEMENTED)


if __name__ == "__main__":
    unittest.main()
