"""Pods made of network namespaces, for tests and the demo. Needs root, iproute2 and util-linux; Python's own library only.

    with pods.Node() as node:
        server, client = node.pod("server"), node.pod("client")
        web = server.start(["python3", "-m", "http.server", "8080"])
        server.wait_listening(8080, web)
        client.run(["curl", "-fsS", f"http://{server.ipv4}:8080/"])

A Node is a network of its own, joined to nothing else: a namespace with a bridge, to which the pods' eth0 are tied. It has
198.18.0.1/16 and fd00:18::1/64, the pods the addresses that follow, with default routes through it.

Whatever way the process ends, nothing stays: leaving the `with` block, an exception, SIGINT, SIGTERM and SIGHUP clean up at
once, and a small child process that outlives even SIGKILL cleans up when its parent is gone. Cleaning up means ending the
processes that run in this node's namespaces, by pid, and deleting the namespaces. Node.leave_standing() turns it off.
"""

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

AGENT_UID = 1337
AGENT_GID = 1337
NETNS_ETC = "/etc/netns"  # what `ip netns exec NAME` puts over /etc: files in the folder NAME of this one
WAIT_S = 10  # how long a wait may take before it is a failure; far more than any of them needs

# What a wait looks at again each time; short, because tests wait for things that take milliseconds.
_POLL_S = 0.02
_CLONE_NEWNET = 0x40000000
_MAX_PODS = 250
_SANITIZER_REPORT = r"^(==[0-9]+==ERROR: [A-Za-z]*Sanitizer|[^\n]*: runtime error: ).{0,8000}"

_libc = ctypes.CDLL(None, use_errno=True)
_node_numbers = itertools.count(1)


class Timeout(AssertionError):
    """Something that was waited for did not come about."""


def wait_until(predicate, what, timeout_s=WAIT_S):
    """Calls predicate until it returns something true, and returns that. Raises Timeout, naming `what`, after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Timeout(f"waited {timeout_s} s for {what}")
        time.sleep(_POLL_S)


def unprivileged(uid=AGENT_UID, gid=AGENT_GID):
    """The start of a command line that runs the rest as uid:gid, without any capability and without a way to get one."""
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
            "--ambient-caps=-all", "--no-new-privs", "--"]


def require_root():
    """For test programs: exits with 77, which ctest takes for "skipped", when namespaces cannot be made."""
    if os.geteuid() != 0:
        print("skipped: needs root, to make network namespaces")
        sys.exit(77)


def program(name):
    """The path of a built program. The environment's REMORA_PROGRAMS names their folder; ctest sets it."""
    path = os.path.join(os.environ.get("REMORA_PROGRAMS", ""), name)
    assert os.access(path, os.X_OK), f"{name} is not built, or REMORA_PROGRAMS does not name the build's bin folder: {path}"
    return path


def _ip(*args):
    subprocess.run(["ip", *args], check=True, stdin=subprocess.DEVNULL)


def _sysctl(netns, *settings):
    _ip("netns", "exec", netns, "sysctl", "-qw", *settings)


class Process:
    """A program that runs in a pod. Its output goes to a file, which log() reads. Made by Pod.start()."""

    def __init__(self, name, argv, log_path, **popen):
        self.name = name
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self._popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **popen)

    @property
    def pid(self):
        """The program's own pid: the wrappers that change namespace and user replace themselves by it."""
        return self._popen.pid

    def running(self):
        return self._popen.poll() is None

    def exit_code(self):
        """None while it runs; minus the signal's number when a signal ended it."""
        return self._popen.poll()

    def log(self):
        """All that it has written so far, standard output and error together."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_log(self, pattern, timeout_s=WAIT_S, since=0):
        """
        Waits until its output contains the regular expression (multi-line) and returns the match. `since` leaves out what was
        there before: the length of log() at that time.
        """

        def look():
            match = re.search(pattern, self.log()[since:], re.MULTILINE)
            if not match and not self.running():
                match = re.search(pattern, self.log()[since:], re.MULTILINE)
                assert match, f"{self.name} ended ({self.exit_code()}) without writing {pattern!r}:\n{self.log()}"
            return match

        return wait_until(look, f"{self.name} to write {pattern!r}", timeout_s)

    def signal(self, number):
        if self.running():
            self._popen.send_signal(number)

    def wait(self, timeout_s=WAIT_S):
        """Waits for its end and returns the exit code."""
        wait_until(lambda: not self.running(), f"{self.name} to end", timeout_s)
        return self.exit_code()

    def stop(self, timeout_s=WAIT_S):
        """SIGTERM, and SIGKILL when that does not end it in time. Returns the exit code. Ended already: does nothing."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout_s)
        except Timeout:
            return self.kill()

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()


class Pod:
    """One network namespace with lo and eth0. Made by Node.pod()."""

    def __init__(self, node, name, number):
        self.node = node
        self.name = name
        self.netns = f"{node.prefix}{name}"
        self.ipv4 = f"198.18.0.{number}"
        self.ipv6 = f"fd00:18::{number:x}"
        self._process_numbers = itertools.count(1)
        _ip("netns", "add", self.netns)
        # Without duplicate address detection, addresses (the link-local one too) can be used at once.
        _sysctl(self.netns, "net.ipv6.conf.default.accept_dad=0")
        port = f"port{number}"
        _ip("link", "add", port, "netns", node.netns, "type", "veth", "peer", "name", "eth0", "netns", self.netns)
        _ip("-n", node.netns, "link", "set", port, "master", "br0", "up")
        for batch in (["link", "set", "lo", "up"],
                      ["link", "set", "eth0", "up"],
                      ["address", "add", f"{self.ipv4}/16", "dev", "eth0"],
                      ["-6", "address", "add", f"{self.ipv6}/64", "dev", "eth0", "nodad"],
                      ["route", "add", "default", "via", node.ipv4],
                      ["-6", "route", "add", "default", "via", node.ipv6]):
            _ip("-n", self.netns, *batch)

    def address(self, family):
        """The pod's address of socket family AF_INET or AF_INET6, as text."""
        return self.ipv6 if family == socket.AF_INET6 else self.ipv4

    def command(self, argv, uid=None, gid=None):
        """The command line that runs argv in this pod: as root, or, with a uid, as that user without any capability."""
        user = [] if uid is None else unprivileged(uid, uid if gid is None else gid)
        return ["ip", "netns", "exec", self.netns, *user, *argv]

    def start(self, argv, name=None, uid=None, gid=None, env=None, cwd=None):
        """
        Starts a program and returns its Process at once. `uid` as for command(); `env` is added to this process's environment.
        The output is in <node.folder>/<pod>-<name>.log.
        """
        name = name or f"{os.path.basename(argv[0])}-{next(self._process_numbers)}"
        process = Process(f"{self.name}/{name}", self.command(argv, uid, gid),
                          os.path.join(self.node.folder, f"{self.name}-{name}.log"),
                          env={**os.environ, **(env or {})}, cwd=cwd)
        self.node.processes.append(process)
        return process

    def run(self, argv, uid=None, gid=None, env=None, check=True, timeout_s=60, stdin=None):
        """
        Runs a program to its end and returns the subprocess.CompletedProcess, with stdout and stderr as text. Unless `check`
        is false, an exit code other than 0 is an AssertionError that shows the output. `stdin` is text to feed it.
        """
        done = subprocess.run(self.command(argv, uid, gid), input=stdin or "", capture_output=True, text=True,
                              errors="replace", timeout=timeout_s, check=False, env={**os.environ, **(env or {})})
        if check:
            assert done.returncode == 0, f"in {self.name}: {' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def open_socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, uid=None):
        """
        A socket that lives in this pod, used from this process; owned by `uid` as far as firewall rules are concerned. It has
        a timeout of WAIT_S seconds.
        """
        with self.entered():
            if uid is not None:
                os.seteuid(uid)
            try:
                made = socket.socket(family, kind)
            finally:
                if uid is not None:
                    os.seteuid(0)
        made.settimeout(WAIT_S)
        return made

    def listen(self, family=socket.AF_INET, port=0, host=None):
        """A listening socket in this pod; every address of the family unless `host` is given. Port 0 takes a free one."""
        listener = self.open_socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host if host is not None else ("::" if family == socket.AF_INET6 else "0.0.0.0"), port))
        listener.listen(128)
        return listener

    def connect(self, address, port, timeout_s=WAIT_S):
        """A connection from this pod to an address (text) and port."""
        connection = self.open_socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        connection.settimeout(timeout_s)
        try:
            connection.connect((address, port))
        except BaseException:
            connection.close()
            raise
        return connection

    def assert_reset(self, address, port, first=b""):
        """
        Connects and waits for a reset, which may come while connect() still waits to be told of its success. `first` is what the client
        says before: without a word, an agent that takes TLS alone waits for some, as long as connections here wait for anything.
        """
        try:
            with self.connect(address, port) as connection:
                connection.sendall(first)
                got = connection.recv(1)
        except (ConnectionResetError, BrokenPipeError):
            return
        raise AssertionError(f"{self.name} was not reset by {address} port {port}, but got {got!r}")

    def hosts(self, addresses):
        """
        What the programs that start in this pod from now on resolve: {name: [addresses]} and nothing else, for there is no
        name server either.
        """
        folder = os.path.join(NETNS_ETC, self.netns)
        os.makedirs(folder, exist_ok=True)
        lines = [f"{address} {name}\n" for name, several in addresses.items() for address in several]
        for file, content in (("hosts", "".join(lines)), ("resolv.conf", "nameserver 127.0.0.1\n")):
            with open(os.path.join(folder, file), "w", encoding="ascii") as out:
                out.write(content)

    @contextlib.contextmanager
    def entered(self):
        """Inside the block, what this thread makes or looks up belongs to the pod's network namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.netns}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(there)
            os.close(home)

    def listening(self, port):
        """Whether a TCP socket listens on the port, at any address."""
        return bool(self.run(["ss", "-Hltn", f"sport = :{port}"]).stdout.strip())

    def wait_listening(self, port, process=None, timeout_s=WAIT_S):
        """Waits until something listens on the port; fails at once, with its log, when `process` ends before."""

        def look():
            assert process is None or process.running(), \
                f"{process.name} ended ({process.exit_code()}) before it listened on {port}:\n{process.log()}"
            return self.listening(port)

        wait_until(look, f"a listener on port {port} in {self.name}", timeout_s)

    def wait_http(self, url, status=200, process=None, timeout_s=WAIT_S):
        """Waits until a GET of the URL from inside the pod answers with the status: a readiness probe, say."""

        def look():
            assert process is None or process.running(), \
                f"{process.name} ended ({process.exit_code()}) before {url} answered {status}:\n{process.log()}"
            got = self.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", url], check=False)
            return got.stdout == str(status)

        wait_until(look, f"status {status} from {url} in {self.name}", timeout_s)


def _setns(fd):
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Node:
    """
    A network for pods. Attributes: `folder`, a temporary directory for logs and whatever a test puts there, readable by
    everyone; `pods` by name; `processes` in the order of their start.
    """

    def __init__(self):
        self.prefix = f"remora{os.getpid()}-{next(_node_numbers)}-"
        self.netns = f"{self.prefix}node"
        self.ipv4 = "198.18.0.1"
        self.ipv6 = "fd00:18::1"
        self.pods = {}
        self.processes = []
        self.folder = tempfile.mkdtemp(prefix=self.prefix)
        os.chmod(self.folder, 0o755)  # agents and applications run as other users
        self._undertaker = _start_undertaker(self.prefix, self.folder)
        self._signals = {}
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self):
        _ip("netns", "add", self.netns)
        _sysctl(self.netns, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for batch in (["link", "set", "lo", "up"],
                      # A fixed address: else the bridge's would change with its ports, and neighbours would lose it.
                      ["link", "add", "br0", "address", "02:00:00:12:00:01", "type", "bridge", "forward_delay", "0"],
                      ["link", "set", "br0", "up"],
                      ["address", "add", f"{self.ipv4}/16", "dev", "br0"],
                      ["-6", "address", "add", f"{self.ipv6}/64", "dev", "br0", "nodad"]):
            _ip("-n", self.netns, *batch)

    def __enter__(self):
        # A signal becomes an exception, so that `with` blocks are left in order.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._signals[number] = signal.signal(number, _exit_on_signal)
        return self

    def __exit__(self, kind, error, traceback):
        if kind is not None and kind is not SystemExit:
            self.show_logs()
        for number, handler in self._signals.items():
            signal.signal(number, handler)
        self.close()

    def pod(self, name):
        """Makes a pod and returns it. Names are unique in the node and become part of the namespace's name."""
        assert re.fullmatch(r"[a-z0-9-]{1,32}", name) and name != "node" and name not in self.pods, name
        assert len(self.pods) < _MAX_PODS
        self.pods[name] = Pod(self, name, len(self.pods) + 2)
        return self.pods[name]

    def route(self, destination, pod):
        """Lets the node forward an address or network (a second pod address, say) to a pod, as a cluster's routes do."""
        family, via = ("-6", pod.ipv6) if ":" in destination else ("-4", pod.ipv4)
        _ip("-n", self.netns, family, "route", "add", destination, "via", via)

    def show_logs(self, lines=40):
        """Writes the last lines of every process's log to standard error, for whoever has to explain a failure."""
        for process in self.processes:
            tail = process.log().splitlines()[-lines:]
            print(f"--- {process.name} (pid {process.pid}, exit {process.exit_code()})", *tail, sep="\n", file=sys.stderr)

    def leave_standing(self):
        """From here on, neither close() nor the end of this process removes anything: processes, namespaces, folder stay."""
        if self._undertaker is not None:
            os.write(self._undertaker, b"k")
            os.close(self._undertaker)
            self._undertaker = None

    def close(self):
        """
        Ends the processes and removes the namespaces and the folder. A second call does nothing. What a sanitizer has reported in a
        process's log, whatever the tests were looking for, is an AssertionError.
        """
        if self._undertaker is None:
            return
        remove(self.prefix)
        for process in self.processes:
            process.wait()
        reports = [f"{process.name}: {report.group(0)}" for process in self.processes
                   for report in [re.search(_SANITIZER_REPORT, process.log(), re.MULTILINE | re.DOTALL)] if report]
        shutil.rmtree(self.folder, ignore_errors=True)
        self.leave_standing()
        assert not reports, "\n".join(reports)


def _exit_on_signal(number, frame):
    raise SystemExit(128 + number)


def remove(prefix):
    """Ends, by pid, what runs in the namespaces whose names start with a Node's prefix, and deletes the namespaces."""
    assert re.fullmatch(r"remora\d+-\d+-", prefix), prefix
    names = [name for name in _netns_names() if name.startswith(prefix)]
    for name in names:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if _signal_all(name, number):
                _wait_empty(name, 1)
        subprocess.run(["ip", "netns", "del", name], check=False, stdin=subprocess.DEVNULL)
        shutil.rmtree(os.path.join(NETNS_ETC, name), ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(NETNS_ETC)  # unless somebody else needs it


def _netns_names():
    try:
        return os.listdir("/run/netns")
    except FileNotFoundError:
        return []


def _netns_pids(name):
    found = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split() if int(pid) != os.getpid() and not _is_zombie(int(pid))]


def _is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _signal_all(name, number):
    pids = _netns_pids(name)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return pids


def _wait_empty(name, timeout_s):
    with contextlib.suppress(Timeout):
        wait_until(lambda: not _netns_pids(name), f"{name} to be empty", timeout_s)


def _start_undertaker(prefix, folder):
    """
    Starts the process that cleans up should this one be killed, and returns the pipe by which it notices: a byte in it means
    that there is nothing to do.
    """
    told, tell = os.pipe()
    argv = [sys.executable, os.path.abspath(__file__), "--undertaker", prefix, folder]
    # A session of its own, so that a Ctrl-C at the terminal or the end of a CI job's process group does not reach it.
    # It is waited for by init: the middle process ends at once.
    starter = subprocess.Popen(argv, stdin=told, stdout=subprocess.DEVNULL, start_new_session=True)
    os.close(told)
    starter.wait()
    return tell


def _undertake(prefix, folder):
    if os.fork() != 0:
        return
    if os.read(0, 1) == b"":
        remove(prefix)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    assert len(sys.argv) == 4 and sys.argv[1] == "--undertaker", "this is a module: see its first lines"
    _undertake(sys.argv[2], sys.argv[3])
