"""The tables of the benchmark, from results that are known."""

import unittest

import report


def sample(number, measure, setup, rate, failed=0, cpu=None):
    return {"round": number, "measure": measure, "setup": setup,
            "result": {"requests_per_second": rate, "gbit_per_second": rate, "p50_us": 1, "p99_us": 2, "failed": failed,
                       "cpu_per_unit": cpu or {}}}


def memory(setup, connections, client, server, alive=None):
    return {"setup": setup, "connections": connections, "held": connections,
            "alive": connections if alive is None else alive,
            "client": {"rss": 10 * client, "private_dirty": client},
            "server": {"rss": 10 * server, "private_dirty": server}}


def data(samples=(), memories=(), setups=("direct", "nginx-mtls", "haproxy-mtls", "remora")):
    return {"about": {"Date": "2026-01-01"}, "setups": {setup: setup for setup in setups}, "handshakes": {},
            "samples": list(samples), "memory": list(memories)}


def row(table, start):
    """The cells of the row that starts so."""
    lines = [line for line in table.splitlines() if line.startswith(f"| {start}")]
    assert len(lines) == 1, (start, table)
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


class ReportTest(unittest.TestCase):
    def test_ratios_are_formed_inside_each_round(self):
        self.assertEqual(report.ratios({1: 10, 2: 30}, {1: 5, 2: 10}), [2, 3])

    def test_rounds_that_one_side_lacks_are_left_out(self):
        self.assertEqual(report.ratios({1: 10, 2: 30, 4: 1}, {2: 10, 3: 7, 4: 0}), [3])

    def test_the_median_of_ratios_is_not_the_ratio_of_medians(self):
        samples = [sample(number, "connections", setup, rate)
                   for setup, rates in (("remora", (100, 200, 900)), ("nginx-mtls", (10, 100, 100)))
                   for number, rate in enumerate(rates)]
        table = report.ratio_table(report.Results(data(samples)), ["remora"], ["nginx-mtls"])
        self.assertEqual(row(table, "New connections/s")[1], "9.00 (2.00–10.00)")

    def test_a_setup_without_a_figure_has_a_dash(self):
        table = report.figures_table(report.Results(data([sample(1, "connections", "direct", 7)])))
        self.assertEqual(row(table, "New connections/s")[1:], ["7", "–", "–", "–"])

    def test_rows_that_nothing_measured_are_left_out(self):
        table = report.figures_table(report.Results(data([sample(1, "connections", "direct", 7)])))
        self.assertNotIn("Download", table)

    def test_cpu_is_that_of_both_proxies(self):
        samples = [sample(1, "download", "remora", 1, cpu={"client": 0.25, "server": 0.5})]
        table = report.figures_table(report.Results(data(samples)))
        self.assertEqual(row(table, "— CPU s of both proxies per GB")[4], "0.750")

    def test_memory_for_each_connection_is_what_came_on_top_of_idle(self):
        memories = [memory("remora", 0, 1000, 2000), memory("remora", 1000, 9000, 12500)]
        table = report.memory_table(report.Results(data(memories=memories)))
        self.assertEqual(row(table, "— private dirty for each of 1,000")[1], "8.0 / 10.5")

    def test_targets_compare_with_the_best_peer_of_each_round(self):
        samples = [sample(number, "keepalive-32", setup, rate)
                   for setup, rates in (("remora", (90, 90)), ("nginx-mtls", (100, 45)), ("haproxy-mtls", (50, 100)))
                   for number, rate in enumerate(rates)]
        table = report.targets_table(report.Results(data(samples)))
        self.assertEqual(row(table, "Requests/s at 32")[2:], ["0.90 (0.90–0.90)", "**short**"])

    def test_a_memory_target_is_missed_when_one_side_misses_it(self):
        memories = [memory("remora", 0, 1000, 5000), memory("remora", 1000, 9000, 5000)]
        table = report.targets_table(report.Results(data(memories=memories)))
        self.assertEqual(row(table, "Private dirty memory, idle")[3], "**short**")
        self.assertEqual(row(table, "Private dirty for each of 1,000")[3], "met")

    def test_failed_and_lost_connections_are_told(self):
        results = report.Results(data([sample(1, "connections", "remora", 7, failed=3)],
                                      [memory("remora", 1000, 1, 1, alive=998)]))
        self.assertEqual(len(results.failures()), 2)
        self.assertIn("3 connections failed", results.failures()[0])
        self.assertIn("998 still answered", results.failures()[1])

    def test_without_remora_the_page_has_no_targets(self):
        page = report.markdown(data([sample(1, "connections", "direct", 7)], setups=("direct", "nginx-mtls")))
        self.assertNotIn("## Targets", page)
        self.assertIn("## What each setup leaves of a direct connection", page)


if __name__ == "__main__":
    unittest.main()
