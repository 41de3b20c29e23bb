import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import armillary.evaluators.gemmini
from armillary.hardware.dram import (
    DDR4_2400,
    HBM2,
    LPDDR4_3200,
    PACKED,
    PRESETS,
    DramCounters,
    DramEnergy,
    Rail,
    SimpleDram,
    energy_of,
)
from armillary.types import ArmillaryError

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

ACTIVATE, PRECHARGE, READ, WRITE, REFRESH = range(5)
HEADER = Path(armillary.evaluators.gemmini.__file__).parent
# One channel, one clock, no controller, no refresh: what a command costs shows in full.
PLAIN = replace(DDR4_2400, accelerator_mhz=1200, controller=0, refi=0)
BY_ROW = replace(PLAIN, order=("column", "channel", "bank_group", "bank", "row"))
ROW = BY_ROW.columns * BY_ROW.burst_bytes  # from a row of a bank group to the next bank group's
BANK = ROW * BY_ROW.bank_groups
SAME_BANK = BANK * BY_ROW.banks  # to the next row of the same bank


def compiled(source, folder):
    program = folder / source.stem
    flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", f"-I{HEADER}"]
    subprocess.run(["g++", *flags, str(source), "-o", str(program)], check=True)
    return program


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return compiled(Path(__file__).with_name("dram_driver.cpp"), tmp_path_factory.mktemp("dram"))


@pytest.fixture
def play(driver):
    """Return a function from a DRAM and requests (from, writes, address, bytes) to what became of them."""

    def play(dram, requests, cycles=0):
        head = np.array([cycles, len(requests)], dtype=np.int64)
        given = dram.packed().tobytes() + head.tobytes() + np.array(requests, dtype=np.int64).tobytes()
        out = subprocess.run([driver], input=given, stdout=subprocess.PIPE, check=True, timeout=60).stdout
        values = np.frombuffer(out, dtype=np.int64)
        end = len(fields(DramCounters)) + 1
        answers, commands = np.split(values[end + 1 :], [3 * len(requests)])
        assert len(commands) == 5 * values[end]
        return Played(
            int(values[0]), DramCounters.unpacked(values[1:end]), answers.reshape(-1, 3), commands.reshape(-1, 5)
        )

    return play


class Played:
    def __init__(self, cycles, counters, answers, commands):
        self.cycles, self.counters, self.answers, self.commands = cycles, counters, answers, commands
        self.taken, self.first, self.complete = answers.T

    @property
    def latency(self):
        return self.complete - self.taken

    def clocks(self, *kinds):
        """Return the clocks of the commands of these kinds."""
        return self.commands[np.isin(self.commands[:, 1], kinds), 0]


def reads(addresses, count=None, start=0, size=64):
    return [(start, 0, address, size) for address in addresses][:count]


# What the two languages share


def test_both_languages_have_the_same_parameters_in_the_same_order(tmp_path):
    members = ["order[" + name[-1] + "]" if name.startswith("order_") else name for name in PACKED]
    counters = [field.name for field in fields(DramCounters)]
    lines = [
        "#include <cstdio>",
        '#include "dram.hpp"',
        "int main() { DramParameters p; if (std::fread(&p, sizeof p, 1, stdin) != 1) return 1;",
        *(f'std::printf("%lld\\n", static_cast<long long>(p.{member}));' for member in members),
        "DramCounters c;",
        *(f"c.{name} = {place};" for place, name in enumerate(counters)),
        "const int64_t* all = reinterpret_cast<const int64_t*>(&c);",
        'for (size_t i = 0; i < sizeof c / 8; i++) std::printf("%lld\\n", static_cast<long long>(all[i])); }',
    ]
    source = tmp_path / "shared.cpp"
    source.write_text("\n".join(lines))
    given = np.arange(100, 100 + len(PACKED), dtype=np.int64)
    out = subprocess.run([compiled(source, tmp_path)], input=given.tobytes(), stdout=subprocess.PIPE, check=True)
    assert [int(line) for line in out.stdout.split()] == [*given, *range(len(counters))]


@pytest.mark.parametrize("name", PRESETS)
def test_each_parameter_is_packed_under_its_name(name):
    dram = PRESETS[name]
    packed = dict(zip(PACKED, dram.packed().tolist(), strict=True))
    assert packed["kind"] == 1
    assert (packed["clock_numerator"], packed["clock_denominator"]) == (
        dram.clock_ratio.numerator,
        dram.clock_ratio.denominator,
    )
    assert [packed[f"order_{place}"] for place in range(5)] == [0, 1, 3, 2, 4]  # channel, group, column, bank, row
    shared = [field.name for field in fields(dram) if field.name in packed]
    assert len(shared) == len(PACKED) - 11
    assert all(packed[name] == getattr(dram, name) for name in shared)


# Latencies of single bursts


def test_a_closed_bank_costs_the_activate_and_an_open_row_only_the_column(play):
    p = BY_ROW
    played = play(p, [*reads([0]), *reads([64], start=1000)])
    assert played.latency.tolist() == [p.rcd + p.cl + p.burst, p.cl + p.burst]
    assert (played.counters.row_misses, played.counters.row_hits) == (1, 1)


def test_another_row_costs_the_precharge_too(play):
    p = BY_ROW
    played = play(p, [*reads([0]), *reads([SAME_BANK], start=1000)])
    assert played.latency[1] == p.rp + p.rcd + p.cl + p.burst
    assert played.counters.row_conflicts == 1


@pytest.mark.parametrize("binding", ["ras", "rc", "rtp"])
def test_another_row_waits_for_the_first_ones_life(play, binding):
    longer = {"ras": {"ras": 90, "rc": 107}, "rc": {"rc": 200}, "rtp": {"rtp": 80}}[binding]
    p = replace(BY_ROW, **longer)
    played = play(p, reads([0, SAME_BANK]))
    activates = {"ras": p.ras + p.rp, "rc": p.rc, "rtp": p.rcd + p.rtp + p.rp}
    assert played.complete[1] == activates[binding] + p.rcd + p.cl + p.burst


def test_a_rows_written_data_recovers_before_another_row_is_opened(play):
    p = BY_ROW
    late = play(p, [(0, 1, 0, 64), (200, 1, SAME_BANK, 64)], cycles=500)
    assert late.clocks(WRITE).tolist() == [p.rcd, 200 + p.rp + p.rcd]
    soon = play(p, [(0, 1, 0, 64), (1, 1, SAME_BANK, 64)], cycles=500)
    assert soon.clocks(WRITE)[1] == p.rcd + p.cwl + p.burst + p.wr + p.rp + p.rcd


def test_the_controller_adds_its_delay_to_reads_and_to_answers_of_writes(play):
    p = replace(BY_ROW, controller=30)
    played = play(p, [*reads([0]), (500, 1, 64, 64)])
    assert played.latency.tolist() == [p.rcd + p.cl + p.burst + 30, 30]


@pytest.mark.parametrize(("dram_mhz", "accelerator_mhz"), [(1200, 1200), (1200, 600), (600, 1200), (1200, 1000)])
def test_dram_clocks_count_as_accelerator_cycles_by_their_ratio(play, dram_mhz, accelerator_mhz):
    requests = reads(range(0, 64 * 2000, 64))
    clocks = play(BY_ROW, requests).cycles
    cycles = play(replace(BY_ROW, clock_mhz=dram_mhz, accelerator_mhz=accelerator_mhz), requests).cycles
    assert cycles == pytest.approx(clocks * accelerator_mhz / dram_mhz, rel=0.01)


# Constraints between commands


def test_bank_groups_set_the_distance_of_column_commands(play):
    p = PLAIN
    one_group = play(p, reads([0, 256, 512, 768]))
    assert np.diff(one_group.clocks(READ)).tolist() == [p.ccd_l] * 3
    turns = play(p, [*reads(range(0, 256, 64)), *reads(range(256, 512, 64), start=200)])
    assert np.diff(turns.clocks(READ)[4:]).tolist() == [p.ccd_s] * 3


def test_activates_keep_their_distances_and_the_window_of_four(play):
    p = replace(BY_ROW, faw=60)
    groups = [ROW * group + BANK * bank for bank in range(2) for group in range(4)]
    activates = play(p, reads(groups)).clocks(ACTIVATE)
    assert np.diff(activates)[:3].tolist() == [p.rrd_s] * 3
    assert activates[4] - activates[0] == p.faw
    same_group = play(p, reads([0, BANK, 2 * BANK])).clocks(ACTIVATE)
    assert np.diff(same_group).tolist() == [p.rrd_l] * 2


@pytest.mark.parametrize(("second", "wtr"), [(128, "wtr_l"), (ROW, "wtr_s")])
def test_a_read_after_a_write_waits_for_the_turnaround(play, second, wtr):
    p = BY_ROW
    opened = [*reads([0]), *reads([ROW], start=200)]
    played = play(p, [*opened, (400, 1, 64, 64), *reads([second], start=401)])
    write, read = played.clocks(WRITE)[0], played.clocks(READ)[-1]
    assert read - write == p.cwl + p.burst + getattr(p, wtr)


def test_a_write_after_a_read_waits_for_the_turnaround(play):
    p = BY_ROW
    played = play(p, [*reads([0]), *reads([64], start=400), (401, 1, 128, 64)])
    assert played.clocks(WRITE)[0] - played.clocks(READ)[-1] == p.rtw


def test_all_banks_are_refreshed_at_the_interval_and_stand_still_meanwhile(play):
    p = replace(BY_ROW, refi=2000, rfc=420)
    idle = play(p, [], cycles=10_001)
    assert idle.clocks(REFRESH).tolist() == [2000, 4000, 6000, 8000, 10_000]
    late = play(p, reads([0], start=2001))
    assert late.complete[0] == 2000 + p.rfc + p.rcd + p.cl + p.burst
    opened = play(p, [*reads([0, ROW]), *reads([64], start=2100)])
    assert opened.clocks(PRECHARGE).tolist() == [2000, 2000]
    assert opened.clocks(REFRESH)[0] == 2000 + p.rp
    assert opened.counters.row_misses == 3


# Scheduling


def test_a_row_hit_overtakes_an_older_miss(play):
    played = play(BY_ROW, reads([0, SAME_BANK, 64]))
    assert played.complete[2] < played.complete[1]
    assert played.counters.activates == 2


def test_a_miss_is_not_overtaken_beyond_its_age(play):
    def wait(age_cap):
        p = replace(BY_ROW, age_cap=age_cap, outstanding=64)
        hits = [address % ROW for address in range(0, 64 * 1000, 64)]
        return play(p, reads([*hits[:8], SAME_BANK, *hits[8:]])).latency[8]

    slack = BY_ROW.rc + BY_ROW.rp + BY_ROW.rcd + BY_ROW.cl + 40
    assert wait(100_000) > 3000
    assert 500 < wait(500) < 500 + slack
    assert wait(0) < slack


@pytest.mark.parametrize("seed", range(3))
def test_reads_are_not_starved_by_writes_nor_writes_by_reads(play, seed):
    rng = np.random.default_rng(seed)
    p = replace(PLAIN, outstanding=64)
    requests = [
        (0, int(write), int(place) * 64, 64)
        for write, place in zip(rng.integers(0, 2, 4000), rng.integers(0, 2**20, 4000), strict=True)
    ]
    played = play(p, requests)
    kinds = [command[1] for command in played.commands if command[1] in (READ, WRITE)]
    runs = np.diff(np.flatnonzero(np.diff(kinds)))
    turn = p.drain_high - p.drain_low
    assert np.mean(runs) > 0.8 * turn  # turns are long, which saves turnarounds
    assert max(runs) < 4 * turn


def test_writes_wait_for_the_high_mark_while_reads_go_on(play):
    p = replace(PLAIN, outstanding=32)
    writes = [(0, 1, (1 << 20) + 64 * place, 64) for place in range(p.drain_high - 1)]
    stream = reads(range(0, 64 * 400, 64))
    below = play(p, stream + writes, cycles=5000)
    assert below.clocks(WRITE)[0] > below.clocks(READ)[-1]
    reached = play(p, [*stream, *writes, (0, 1, 1 << 21, 64)])
    assert reached.clocks(WRITE)[0] < reached.clocks(READ)[-1]
    assert max(below.latency[len(stream) :]) == 1  # answered from the queue


def test_the_write_queue_answers_reads_and_merges_writes(play):
    p = replace(PLAIN, controller=10)
    stream = reads(range(1 << 20, (1 << 20) + 64 * 100, 64))  # while it lasts, writes stay in the queue
    played = play(p, [*stream[:50], (0, 1, 0, 32), (1, 1, 32, 32), (20, 0, 0, 64), *stream[50:]], cycles=2000)
    assert (played.counters.merged, played.counters.writes) == (1, 1)
    assert (played.counters.forwarded, played.counters.reads) == (1, 100)
    assert played.latency[50:53].tolist() == [10, 10, 10]


# Bandwidth


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("write", [0, 1])
def test_a_stream_has_nearly_all_of_the_peak_and_scattered_bursts_far_less(play, name, write):
    dram = replace(PRESETS[name], outstanding=32)
    size = 4096 if name == "hbm2" else 1024
    stream = play(dram, [(0, write, size * place, size) for place in range(2_000_000 // size)])
    share = 2_000_000 / stream.cycles / dram.peak_bytes_per_cycle
    assert 0.9 < share < 1
    rng = np.random.default_rng(1)
    places = rng.integers(0, dram.capacity_bytes // 64, 4000) * 64
    scattered = play(dram, [(0, write, int(place), dram.burst_bytes) for place in places])
    assert 4000 * dram.burst_bytes / scattered.cycles / dram.peak_bytes_per_cycle < 0.7 * share
    assert scattered.counters.row_hits < 0.02 * 4000


def test_the_default_order_streams_over_channels_and_bank_groups_first(play):
    played = play(replace(HBM2, outstanding=32), reads([0], size=4096))
    bursts = played.commands[played.commands[:, 1] == READ]
    assert np.bincount(bursts[:, 2]).tolist() == [8] * 16
    assert set(bursts[:, 3] // HBM2.banks) == {0, 1, 2, 3}
    assert set(bursts[:, 4]) == {0}


# Against public simulators


def test_a_stream_takes_as_long_as_in_ramulator(play):
    """9,000 reads, 8 bytes apart: 37,159 clocks of DDR3-1600H, github.com/CMU-SAFARI/ramulator/issues/109.

    Its DDR3.h gives the times; 208 clocks of refresh, 6 between activates and windows of 32 are those of a 4 Gb x16.
    """
    ddr3 = replace(
        BY_ROW,
        **{"clock_mhz": 800, "accelerator_mhz": 800, "bank_groups": 1, "banks": 8, "rows": 32768, "cl": 9, "cwl": 8},
        **{"rcd": 9, "rp": 9, "ras": 28, "rc": 37, "rrd_s": 6, "rrd_l": 6, "faw": 32, "ccd_s": 4, "ccd_l": 4},
        **{"wr": 12, "wtr_s": 6, "wtr_l": 6, "rtp": 6, "rtw": 7, "refi": 6240, "rfc": 208, "outstanding": 64},
    )
    assert play(ddr3, reads(range(0, 72_000, 8), size=8)).cycles == pytest.approx(37_159, rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_scattered_traffic_has_the_bandwidth_of_dramsim3(play, seed):
    """Two scattered reads to a write on DDR4-3200: 18.84 GB/s, github.com/umd-memsys/DRAMsim3/issues/54.

    Its two ranks are taken as one with twice the bank groups and activates.
    """
    ddr4 = replace(
        BY_ROW,
        **{"clock_mhz": 1587, "accelerator_mhz": 1587, "bank_groups": 8, "cl": 22, "cwl": 16, "rcd": 22, "rp": 22},
        **{"ras": 52, "rc": 74, "rrd_l": 8, "faw": 17, "ccd_l": 8, "wr": 24, "wtr_s": 4, "wtr_l": 12, "rtp": 12},
        **{"rtw": 11, "refi": 12480, "rfc": 560, "outstanding": 64},
    )
    rng = np.random.default_rng(seed)
    kinds, places = rng.integers(0, 3, 12_000), rng.integers(0, 2**28, 12_000)
    played = play(ddr4, [(0, int(kind == 0), int(place) * 64, 64) for kind, place in zip(kinds, places, strict=True)])
    assert 12_000 * 64 / played.cycles * 1.587 == pytest.approx(18.84, rel=0.05)


# No command comes too early


def rules(p):
    """Return what must lie between two commands: earlier, later, where they share, least clocks."""
    column, data = max(p.ccd_s, p.burst), p.cwl + p.burst
    return [
        *((ACTIVATE, ACTIVATE, *rule) for rule in [("bank", p.rc), ("group", p.rrd_l), ("channel", p.rrd_s)]),
        *((ACTIVATE, later, "bank", p.rcd) for later in (READ, WRITE)),
        (ACTIVATE, PRECHARGE, "bank", p.ras),
        (PRECHARGE, ACTIVATE, "bank", p.rp),
        (PRECHARGE, REFRESH, "channel", p.rp),
        (REFRESH, ACTIVATE, "channel", p.rfc),
        (READ, PRECHARGE, "bank", p.rtp),
        (WRITE, PRECHARGE, "bank", data + p.wr),
        *((kind, kind, *rule) for kind in (READ, WRITE) for rule in [("channel", column), ("group", p.ccd_l)]),
        (READ, WRITE, "channel", p.rtw),
        *((WRITE, READ, *rule) for rule in [("channel", data + p.wtr_s), ("group", data + p.wtr_l)]),
    ]


def violations(p, commands):
    """Return what is wrong with the commands of one channel; state and times are worked out anew."""
    found, last, open_rows, activates, free_at = [], {}, {}, [], 0
    for clock, kind, _, bank, row in commands.tolist():
        places = {"bank": bank, "group": bank // p.banks, "channel": 0}
        for earlier, later, share, least in rules(p):
            before = last.get((earlier, share, places[share]), -(10**9))
            if later == kind and clock - before < least:
                found.append(f"{clock}: {kind} comes {clock - before} after {earlier} of the {share}, not {least}")
        for share, place in places.items():
            last[kind, share, place] = clock
        if kind == ACTIVATE:
            activates.append(clock)
            if len(activates) > 4 and clock - activates[-5] < p.faw:
                found.append(f"{clock}: five activates")
            if bank in open_rows:
                found.append(f"{clock}: bank {bank} is open")
            open_rows[bank] = row
        elif kind == PRECHARGE:
            if open_rows.pop(bank, None) != row:
                found.append(f"{clock}: row {row} was not open")
        elif kind == REFRESH:
            if open_rows:
                found.append(f"{clock}: refresh of open banks")
        else:
            if open_rows.get(bank) != row:
                found.append(f"{clock}: row {row} is not open")
            begins = clock + (p.cl if kind == READ else p.cwl)
            if begins < free_at:
                found.append(f"{clock}: data meet on the bus")
            free_at = begins + p.burst
    return found


def crowded(p, commands):
    """Return the clocks with more commands of a channel than its buses carry; precharges of all banks are one."""
    columns = np.isin(commands[:, 1], (READ, WRITE))
    buses = [columns, ~columns] if p.split_commands else [np.full(len(commands), fill_value=True)]
    found = []
    for bus in buses:
        keys = {
            (int(clock), int(kind), -1 if kind == PRECHARGE else i) for i, (clock, kind) in enumerate(commands[bus, :2])
        }
        clocks, counts = np.unique([clock for clock, _, _ in keys], return_counts=True)
        found += clocks[counts > 1].tolist()
    return found


def traffic(rng, count, dram):
    """Return requests of changing pace, size, locality and direction, and how many bursts they read and write."""
    requests, clock, address, bursts = [], 0, 0, [0, 0]
    for _ in range(count):
        clock += int(rng.choice([0, 1, 50, 2000], p=[0.6, 0.3, 0.095, 0.005]))
        if rng.random() < 0.4:
            address = int(rng.integers(0, 64 if rng.random() < 0.3 else dram.capacity_bytes // 4096)) * 4096
            address += int(rng.integers(0, 4096))
        size = min(int(rng.choice([1, 16, 64, 300, 4096])), 4096 - address % 4096)
        write = int(rng.random() < (0.2 if clock // 3000 % 2 else 0.7))
        bursts[write] += (address + size - 1) // dram.burst_bytes - address // dram.burst_bytes + 1
        requests.append((clock, write, address, size))
        address += size
    return requests, bursts


def varied(rng, dram):
    """Return the DRAM with a controller of random habits."""
    write_queue = int(rng.integers(2, 64))
    high = int(rng.integers(1, write_queue + 1))
    return replace(
        dram,
        refi=int(rng.choice([0, 1500, dram.refi])),
        read_queue=int(rng.integers(1, 64)),
        write_queue=write_queue,
        drain_high=high,
        drain_low=int(rng.integers(0, high)),
        age_cap=int(rng.choice([0, 50, 1000])),
        outstanding=int(rng.choice([1, 4, 40])),
        order=tuple(rng.permutation(list(dram.order)).tolist()),
        accelerator_mhz=int(rng.choice([300, 1000, 2000])),
    )


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
@pytest.mark.parametrize("name", PRESETS)
def test_no_command_comes_too_early_and_every_request_is_answered(play, name, seed):
    rng = np.random.default_rng(seed)
    dram = PRESETS[name] if seed == 0 else varied(rng, PRESETS[name])
    requests, bursts = traffic(rng, 1500, dram)
    played = play(dram, requests)
    for channel in range(dram.channels):
        commands = played.commands[played.commands[:, 2] == channel]
        assert violations(dram, commands) == []
        assert crowded(dram, commands) == []
        refreshes = commands[commands[:, 1] == REFRESH, 0]
        late = refreshes - dram.refi * np.arange(1, len(refreshes) + 1)
        assert ((late >= 0) & (late <= dram.rc + dram.cwl + dram.burst + dram.wr + dram.rp)).all()
    counters = played.counters
    assert counters.reads + counters.forwarded == bursts[0]
    assert counters.writes + counters.merged + 64 * dram.channels >= bursts[1]  # some may still be queued
    assert counters.row_hits + counters.row_misses + counters.row_conflicts == counters.reads + counters.writes
    counted = [counters.activates, counters.precharges, counters.reads, counters.writes, counters.refreshes]
    assert np.bincount(played.commands[:, 1], minlength=5).tolist() == counted
    is_read = np.array([write == 0 for _, write, _, _ in requests])
    assert (played.latency[is_read & (played.first < played.complete)] > 0).all()
    assert (played.complete >= 0).all()


def test_commands_come_as_early_as_each_constraint_allows(play):
    """Traffic meets every constraint exactly: a checker that asks for a clock more sees a violation."""
    dram = replace(DDR4_2400, outstanding=40, refi=1500)
    commands = play(dram, traffic(np.random.default_rng(3), 1500, dram)[0]).commands
    times = ["rcd", "rp", "ras", "rc", "rrd_s", "rrd_l", "faw", "ccd_s", "ccd_l"]
    times += ["wr", "wtr_s", "wtr_l", "rtp", "rtw", "rfc"]
    assert violations(dram, commands) == []
    stricter = {name: SimpleNamespace(**{**vars(dram), name: getattr(dram, name) + 1}) for name in times}
    assert [name for name in times if not violations(stricter[name], commands)] == []


def test_row_and_column_commands_share_a_clock_only_on_buses_of_their_own(play):
    scattered = reads((np.random.default_rng(0).integers(0, 2**23, 3000) * 64).tolist())

    def shared(split):
        dram = replace(HBM2, channels=1, outstanding=32, split_commands=split)
        clocks, counts = np.unique(play(dram, scattered).clocks(ACTIVATE, READ), return_counts=True)
        return len(clocks[counts > 1])

    assert shared(split=False) == 0
    assert shared(split=True) > 100


@pytest.mark.parametrize("seed", range(3))
def test_open_clocks_are_those_with_an_open_bank(play, seed):
    rng = np.random.default_rng(seed)
    dram = replace(DDR4_2400, refi=1500)
    played = play(dram, traffic(rng, 300, dram)[0])
    total, banks, since = 0, 0, 0
    for clock, kind, *_ in played.commands.tolist():
        if kind == ACTIVATE:
            since = since if banks else clock
            banks += 1
        if kind == PRECHARGE:
            banks -= 1
            total += 0 if banks else clock - since
    last = int(played.cycles * dram.clock_ratio)
    assert played.counters.open_clocks == total + (last - since if banks else 0)


# The simple kind


def reference(simple, requests):
    """Return when each request is complete: a credit of bytes, a beat a cycle, turns of reads and writes."""
    done, left = [None] * len(requests), {}
    queues = ([], [])
    for place, (_, write, address, size) in enumerate(requests):
        queues[write].append(place)
        left[place] = (address + size - 1) // simple.beat_bytes - address // simple.beat_bytes + 1
    taken, credit, writes_turn, now = [0, 0], 0.0, False, 0
    due = {}
    while None in done:
        for write in (0, 1):
            active = [place for place in queues[write][: taken[write]] if done[place] is None or done[place] > now]
            if taken[write] < len(queues[write]) and len(active) < simple.outstanding:
                place = queues[write][taken[write]]
                if requests[place][0] <= now:
                    due[place] = now + 1 if write else now + simple.latency_cycles
                    taken[write] += 1
        now += 1
        credit = min(credit + simple.bytes_per_cycle, 2 * simple.beat_bytes)
        waiting = [[place for place in queues[write][: taken[write]] if left[place]] for write in (0, 1)]
        ready = [bool(queue) and due[queue[0]] <= now for queue in waiting]
        if credit < simple.beat_bytes or not any(ready):
            continue
        write = int(ready[1] and (writes_turn or not ready[0]))
        place = waiting[write][0]
        left[place] -= 1
        if not left[place]:
            done[place] = now
        credit, writes_turn = credit - simple.beat_bytes, not write
    return done


def test_the_simple_kind_has_a_latency_and_a_bandwidth(play):
    played = play(SimpleDram(20, 16.0, 4, 16), reads([0], size=160))
    assert (played.first[0], played.complete[0]) == (20, 29)
    slower = play(SimpleDram(20, 4.0, 4, 16), reads([0], size=160))
    assert slower.complete[0] - slower.first[0] == 4 * 9 - 4  # the credit of two beats is there at first
    assert play(SimpleDram(20, 16.0, 4, 16), reads([8], size=16)).complete[0] == 21  # touches two beats


@pytest.mark.parametrize("seed", range(5))
def test_the_simple_kind_shares_its_bandwidth_as_the_reference_does(play, seed):
    rng = np.random.default_rng(seed)
    simple = SimpleDram(int(rng.integers(1, 100)), float(rng.choice([1.5, 8, 16, 32])), int(rng.integers(1, 9)), 16)
    requests = traffic(rng, 120, DDR4_2400)[0]
    played = play(simple, requests)
    assert played.complete.tolist() == reference(simple, requests)
    assert set(vars(played.counters).values()) == {0}


# Energy


def test_energies_follow_from_currents():
    """The last line is what energydram 0.4.0, checked against Micron's calculator, says of the same currents."""
    energy = energy_of(
        [Rail(1.2, idd0=48, idd2n=34, idd3n=43, idd4r=135, idd4w=123, idd5b=250)],
        8,
        **{"clock_mhz": 1200, "ras": 39, "rc": 56, "burst": 4, "rfc": 420},
    )
    assert energy == DDR4_2400.energy
    # 8 * 1.2 V * (48 mA * 56 - 43 mA * 39 - 34 mA * 17) clocks * 0.8333 ns
    assert energy.row_pj == pytest.approx(8 * 1.2 * (2688 - 1677 - 578) / 1.2)
    assert energy.read_pj == pytest.approx(8 * 1.2 * 92 * 4 / 1.2)
    assert energy.write_pj == pytest.approx(8 * 1.2 * 80 * 4 / 1.2)
    assert energy.refresh_pj == pytest.approx(8 * 1.2 * 207 * 350)
    assert (energy.open_mw, energy.closed_mw) == pytest.approx((8 * 1.2 * 43, 8 * 1.2 * 34))
    assert list(vars(energy).values()) == pytest.approx([3464, 2944, 2560, 695_520, 412.8, 326.4])


def test_two_rails_and_shared_devices_add_up():
    rails = [Rail(1.8, 3.5, 2.0, 2.25, 2.25, 2.25, 10.0), Rail(1.1, 45.0, 27.0, 30.0, 275.0, 210.0, 90.0)]
    times = {"clock_mhz": 1600, "ras": 68, "rc": 97, "burst": 8, "rfc": 288}
    both = energy_of(rails, 1, **times)
    for field in fields(DramEnergy):
        apart = [getattr(energy_of([rail], 1, **times), field.name) for rail in rails]
        assert getattr(both, field.name) == pytest.approx(sum(apart))
        assert getattr(LPDDR4_3200.energy, field.name) == pytest.approx(sum(apart) / 2)


@pytest.mark.parametrize("name", PRESETS)
def test_energy_adds_up_over_commands_and_standby(play, name):
    dram = PRESETS[name]
    played = play(dram, traffic(np.random.default_rng(5), 400, dram)[0], cycles=20_000)
    counters, energy = played.counters, dram.energy
    causes = dram.energies_pj(counters, played.cycles)
    assert dram.energy_pj(counters, played.cycles) == pytest.approx(sum(causes.values()))
    more = replace(counters, reads=counters.reads + 7, activates=counters.activates + 3)
    added = dram.energy_pj(more, played.cycles) - dram.energy_pj(counters, played.cycles)
    assert added == pytest.approx(7 * energy.read_pj + 3 * energy.row_pj)
    more = replace(counters, writes=counters.writes + 7, refreshes=counters.refreshes + 3)
    added = dram.energy_pj(more, played.cycles) - dram.energy_pj(counters, played.cycles)
    assert added == pytest.approx(7 * energy.write_pj + 3 * energy.refresh_pj)
    nanoseconds = played.cycles * 1000 / dram.accelerator_mhz
    low, high = (dram.channels * milliwatts * nanoseconds for milliwatts in (energy.closed_mw, energy.open_mw))
    assert low < causes["standby"] < high


def test_the_energy_of_a_bit_read_is_that_of_published_parts():
    """Order of magnitude: a few pJ a bit, least for HBM2."""
    a_bit = {name: dram.energy.read_pj / dram.burst_bytes / 8 for name, dram in PRESETS.items()}
    assert 1 < a_bit["hbm2"] < a_bit["lpddr4-3200"] < a_bit["ddr4-2400"] < 10


# Sizes and errors


def test_presets_have_the_capacity_and_bandwidth_of_their_parts():
    assert [dram.capacity_bytes >> 30 for dram in PRESETS.values()] == [8, 1, 8]
    assert [dram.peak_bytes_per_cycle for dram in PRESETS.values()] == pytest.approx([19.2, 12.8, 256])
    assert replace(DDR4_2400, accelerator_mhz=500).peak_bytes_per_cycle == pytest.approx(38.4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 0}, r"channels=0 is not allowed; give an integer from 1 to 2147483647"),
        ({"refi": -1}, r"refi=-1 is not allowed; give an integer from 0"),
        ({"cl": 2.5}, r"cl=2.5 is not allowed; give an integer"),
        ({"rc": 55}, r"rc=55 is not allowed; give 56 or more \(ras \+ rp\)"),
        ({"ras": 16}, r"ras=16 is not allowed; give 17 or more \(rcd\)"),
        ({"rrd_l": 3}, r"rrd_l=3 is not allowed; give 4 or more"),
        ({"ccd_l": 3}, r"ccd_l=3 is not allowed; give 4 or more"),
        ({"wtr_l": 2}, r"wtr_l=2 is not allowed; give 3 or more"),
        ({"rtw": 8}, r"rtw=8 is not allowed; give 9 or more \(data of the read"),
        ({"refi": 488}, r"refi=488 is not allowed; give 489 or more \(a refresh"),
        ({"burst_bytes": 48}, r"burst_bytes=48 is not allowed; give a power of two up to 4096"),
        ({"burst_bytes": 8192}, r"burst_bytes=8192 is not allowed"),
        ({"banks": 32}, r"bank_groups\*banks=128 is not allowed; give at most 64"),
        ({"drain_high": 33}, r"drain_high=33 is not allowed; give at most write_queue=32"),
        ({"drain_low": 26}, r"drain_high=26 is not allowed; give 27 or more"),
        ({"order": ("row", "row", "bank", "column", "channel")}, r"order=.* give each of \['channel', 'bank_group'"),
        ({"outstanding": 0}, r"outstanding=0 is not allowed"),
    ],
)
def test_impossible_parts_are_refused(change, message):
    with pytest.raises(ArmillaryError, match=message):
        replace(DDR4_2400, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency_cycles": 0}, r"latency_cycles=0 is not allowed; give an integer from 1"),
        ({"bytes_per_cycle": 0.0}, r"bytes_per_cycle=0.0 is not allowed; give 1/1024 or more"),
        ({"bytes_per_cycle": float("nan")}, r"bytes_per_cycle=nan is not allowed"),
        ({"outstanding": 0}, r"outstanding=0 is not allowed"),
        ({"beat_bytes": True}, r"beat_bytes=True is not allowed"),
    ],
)
def test_impossible_simple_parts_are_refused(change, message):
    with pytest.raises(ArmillaryError, match=message):
        replace(SimpleDram(20, 16.0, 4, 16), **change)


def test_negative_energies_and_impossible_counters_are_refused():
    with pytest.raises(ArmillaryError, match=r"row_pj=-1.0 is not allowed; give 0 or more"):
        replace(DDR4_2400.energy, row_pj=-1.0)
    nothing = DramCounters(*[0] * 11)
    with pytest.raises(
        ArmillaryError, match=r"open_clocks=121 is not allowed; 100 cycles have at most 120 DRAM clocks"
    ):
        DDR4_2400.energy_pj(replace(nothing, open_clocks=121), 100)
