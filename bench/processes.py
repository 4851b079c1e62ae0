"""What the kernel says a program has used: processor time and memory, its children included."""

import os

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The pid and those of all its descendants."""
    found = [pid]
    for parent in found:
        try:
            threads = os.listdir(f"/proc/{parent}/task")
        except FileNotFoundError:
            continue
        for thread in threads:
            with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as children:
                found.extend(int(child) for child in children.read().split())
    return found


def cpu_seconds(pid):
    """
    Processor time, user and system, that the program's processes have used since they started. The kernel counts it to the
    nanosecond and shows it in ticks of 10 ms; network work done in the context of a process's system calls is in it.
    """
    return sum(_cpu_seconds_of(one) for one in tree(pid))


def _cpu_seconds_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    user_ticks, system_ticks = int(fields[11]), int(fields[12])
    return (user_ticks + system_ticks) / _TICKS_PER_S


def cpu_nanoseconds(pid):
    """Of one process, without children: as the scheduler counts it, for what takes less than a tick."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as schedstat:
            total += int(schedstat.read().split()[0])
    return total


def memory_kb(pid):
    """
    {"rss", "private_dirty"} in kB, of all the program's processes together.

    Private dirty is what this program alone makes the machine hold; of pages that a master and its workers share after a fork
    each counts its part, so that they are counted once (Pss_Dirty; for a single process the two are the same). RSS is a plain
    sum, and counts such pages and every library once for each process.
    """
    rollups = [_smaps_rollup(one) for one in tree(pid)]
    dirty = "Private_Dirty" if len(rollups) == 1 else "Pss_Dirty"
    return {"rss": sum(rollup["Rss"] for rollup in rollups), "private_dirty": sum(rollup[dirty] for rollup in rollups)}


def _smaps_rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as rollup:
        fields = [line.split() for line in rollup if line.rstrip().endswith(" kB")]
    return {field[0].rstrip(":"): int(field[1]) for field in fields}
