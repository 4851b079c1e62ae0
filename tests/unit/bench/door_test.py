"""The section on mutual TLS at the application's own door, and where it stands in the page."""

import unittest

import bench
import door
import mesh_state


def sample(number, key, way, peer, rate):
    return {"round": number, "key": key, "way": way, "peer": peer, "rate": rate, "cpu": 0.5, "p99": 20, "handshake": 800,
            "connection": 1000}


# nginx is as fast in every round, Remora twice and four times as fast: its own median says nothing of the ratio.
SAMPLES = [sample(number, key, way, peer, 100 * number * (1 if peer == "nginx" else 2 * number))
           for number in (1, 2) for key in ("p256", "rsa2048") for way in ("off", "given", "resumed")
           for peer in ("remora", "nginx")]
SECTION = door.section({"about": {"Date": "today"}, "negotiated": {"nginx, RSA 2048": "TLSv1.3"}, "samples": SAMPLES})
MESH = mesh_state.HEADING + "\n\ntext\n"


class DoorTest(unittest.TestCase):
    def test_ratios_are_formed_inside_each_round(self):
        rows = [line for line in SECTION.splitlines() if line.startswith("| New connections/s") and "| resumed |" in line]
        self.assertEqual(len(rows), 2)
        self.assertEqual([cell.strip() for cell in rows[0].strip("|").split("|")][2:],
                         ["500 (200–800)", "150 (100–200)", "3.00 (2.00–4.00)"])

    def test_the_run_is_described(self):
        self.assertIn("- Date: today\n- Negotiated, nginx, RSA 2048: TLSv1.3\n", SECTION)

    def test_a_full_run_keeps_the_sections_that_have_runs_of_their_own(self):
        former = "# Old\n\n" + SECTION + "\n" + MESH
        page = bench.with_other_sections("# New\n", former)
        self.assertEqual(page, "# New\n\n" + SECTION + "\n" + MESH)

    def test_the_section_is_replaced_where_it_stands(self):
        page = "# Title\n\n" + door.HEADING + "\n\nold\n\n" + MESH
        self.assertEqual(bench.with_door(page, SECTION), "# Title\n\n" + SECTION + "\n" + MESH)
        self.assertEqual(bench.with_door("# Title\n\n" + MESH, SECTION), "# Title\n\n" + SECTION + "\n" + MESH)


if __name__ == "__main__":
    unittest.main()
