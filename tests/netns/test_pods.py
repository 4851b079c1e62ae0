#!/usr/bin/env python3
"""The harness itself: pods reach each other, processes run as they should, and nothing stays behind."""

import os
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import pods  # noqa: E402


def namespaces_of(prefix):
    return [name for name in os.listdir("/run/netns") if name.startswith(prefix)]


class PodsTest(unittest.TestCase):
    def test_pods_reach_each_other_in_both_families(self):
        with pods.Node() as node:
            server, client = node.pod("server"), node.pod("client")
            for family in (socket.AF_INET, socket.AF_INET6):
                with self.subTest(family=family), server.listen(family) as listener, client.open_socket(family) as dialled:
                    dialled.connect((server.address(family), listener.getsockname()[1]))
                    accepted, peer = listener.accept()
                    accepted.close()
                    self.assertEqual(peer[0], client.address(family))

    def test_a_process_runs_as_the_agent_without_capabilities(self):
        with pods.Node() as node:
            status = node.pod("a").run(["cat", "/proc/self/status"], uid=pods.AGENT_UID).stdout
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            self.assertEqual(fields["Uid"].split(), ["1337"] * 4)
            self.assertEqual(fields["Gid"].split(), ["1337"] * 4)
            self.assertEqual(fields["NoNewPrivs"], "1")
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(fields[name], 16), 0, name)

    def test_a_process_is_started_watched_and_stopped(self):
        with pods.Node() as node:
            pod = node.pod("a")
            web = pod.start(["python3", "-u", "-m", "http.server", "8080"], name="web")
            pod.wait_listening(8080, web)
            pod.wait_http("http://127.0.0.1:8080/", process=web)
            web.wait_log(r'"GET / HTTP/1\.1" 200')
            with open(f"/proc/{web.pid}/cmdline", "rb") as cmdline:
                self.assertIn(b"http.server", cmdline.read())
            self.assertEqual(web.stop(), -signal.SIGTERM)
            self.assertFalse(pod.listening(8080))

    def test_waiting_for_a_process_that_ended_fails_at_once_and_shows_its_log(self):
        with pods.Node() as node:
            pod = node.pod("a")
            failing = pod.start(["sh", "-c", "echo no such luck; exit 3"])
            failing.wait()
            with self.assertRaisesRegex(AssertionError, "no such luck"):
                pod.wait_listening(8080, failing)

    def test_leaving_the_block_removes_everything(self):
        with pods.Node() as node:
            pod = node.pod("a")
            process = pod.start(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"])
            process.wait_log("up")
            self.assertEqual(len(namespaces_of(node.prefix)), 2)
        self.assertEqual(namespaces_of(node.prefix), [])
        self.assertFalse(process.running())
        self.assertFalse(os.path.exists(node.folder))

    def test_signals_even_sigkill_leave_nothing_behind(self):
        program = ("import sys, time; sys.path.insert(0, sys.argv[1]); import pods\n"
                   "with pods.Node() as node:\n"
                   "    child = node.pod('a').start(['sleep', '1000'])\n"
                   "    print(node.prefix, child.pid, node.folder, flush=True)\n"
                   "    time.sleep(1000)\n")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
            with self.subTest(signal=number):
                harness = os.path.dirname(pods.__file__)
                with subprocess.Popen([sys.executable, "-c", program, harness], stdout=subprocess.PIPE, text=True,
                                      stderr=subprocess.DEVNULL) as victim:
                    prefix, child, folder = victim.stdout.readline().split()
                    victim.send_signal(number)
                    victim.wait(pods.WAIT_S)
                pods.wait_until(lambda p=prefix: not namespaces_of(p), "the namespaces to go")
                pods.wait_until(lambda c=child: not os.path.exists(f"/proc/{c}"), "the child to go")
                pods.wait_until(lambda f=folder: not os.path.exists(f), "the folder to go")

    def test_a_node_left_standing_stays_until_it_is_removed(self):
        with pods.Node() as node:
            node.pod("a")
            node.leave_standing()
        self.assertEqual(len(namespaces_of(node.prefix)), 2)
        pods.remove(node.prefix)
        os.rmdir(node.folder)
        self.assertEqual(namespaces_of(node.prefix), [])


if __name__ == "__main__":
    pods.require_root()
    unittest.main(verbosity=2)
