"""The section on the state of a large mesh, and that the rest of the page is left alone by it."""

import unittest

import mesh_state

DATA = {"workloads": 1000, "services": 101, "endpoints": 100, "batch": 50, "load_ns": 4e6, "rebuild_ns": 4e6,
        "workload_changed_ns": 2e3, "workload_added_ns": 1e3, "workload_removed_ns": 1e3, "endpoint_changed_ns": 2e3,
        "large_service_changed_ns": 500, "batch_changed_ns": 1e5, "allocated_bytes": 1e6, "resident_bytes": 2e6, "storm": 10,
        "storm_resident_bytes": 0, "known_services": 10, "known_workloads": 100, "on_demand_bytes": 90000, "decision_ns": 1e3,
        "large_decision_ns": 2e3}
SECTION = mesh_state.section(DATA, "Today.")


def row(start):
    """The cells of the row that starts so."""
    lines = [line for line in SECTION.splitlines() if line.startswith(f"| {start}")]
    assert len(lines) == 1, (start, SECTION)
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


class MeshStateTest(unittest.TestCase):
    def test_an_update_is_compared_with_building_all_anew(self):
        self.assertEqual(row("one workload changed")[1:], ["2 µs", "2 µs", "1 : 2,000"])
        self.assertEqual(row("50 workloads changed at once")[1:], ["100 µs", "2 µs", "1 : 40"])

    def test_memory_is_told_for_each_workload(self):
        self.assertEqual(row("the whole mesh, allocated")[1:], ["1.00 MB", "1,000 B"])
        self.assertEqual(row("an agent on demand")[1:], ["0.09 MB", "900 B"])

    def test_the_section_is_found_wherever_it_stands(self):
        for page in ("", "# Title\n\ntext\n", "# Title\n\n## Other\n\ntext\n"):
            self.assertEqual(mesh_state.split(mesh_state.join(page, SECTION)), (page, SECTION))
        page, section = mesh_state.split("# Title\n\n" + SECTION + "\n## Other\n\ntext\n")
        self.assertEqual(page, "# Title\n\n## Other\n\ntext\n")
        self.assertEqual(section.strip(), SECTION.strip())

    def test_a_page_without_the_section_stays_as_it_is(self):
        page = "# Title\n\n## Other\n"
        self.assertEqual(mesh_state.split(page), (page, ""))
        self.assertEqual(mesh_state.join(page, ""), page)


if __name__ == "__main__":
    unittest.main()
