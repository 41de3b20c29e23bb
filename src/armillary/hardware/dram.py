"""DRAM behind an accelerator's memory port: timing and energy of DDR4, LPDDR4 and HBM2, as numbers of data sheets.

The simulator of the RTL plays a DRAM by these numbers; the counters that it returns give the energy. Energies follow
from currents by the usual formula (Micron TN-40-07, "Calculating Memory Power for DDR4 SDRAM"): a command costs the
current above standby, times voltage, times its duration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from armillary.types import ArmillaryError

FIELDS = ("channel", "bank_group", "bank", "column", "row")
_LARGEST = 2**31 - 1
_SIMPLE, _TIMED = 0, 1


@dataclass(frozen=True)
class SimpleDram:
    """A DRAM of fixed latency and bandwidth.

    Attributes:
        latency_cycles: accelerator cycles from a read to its first beat.
        bytes_per_cycle: of reads and writes together; kept in 1/1024 bytes.
        outstanding: most reads, and most writes, at a time.
        beat_bytes: what the port moves in a cycle.
    """

    latency_cycles: int
    bytes_per_cycle: float
    outstanding: int
    beat_bytes: int

    def __post_init__(self) -> None:
        faults = [*_outside(self, {"latency_cycles": 1, "outstanding": 1, "beat_bytes": 1})]
        if not 1 / 1024 <= self.bytes_per_cycle <= _LARGEST / 1024:
            faults.append(f"bytes_per_cycle={self.bytes_per_cycle!r} is not allowed; give 1/1024 or more")
        _refuse("SimpleDram", faults)

    def packed(self) -> NDArray[np.int64]:
        """Return the parameters in the order of the simulator's struct, shape [44]."""
        values = {
            "kind": _SIMPLE,
            "outstanding": self.outstanding,
            "latency": self.latency_cycles,
            "bandwidth": round(self.bytes_per_cycle * 1024),
            "beat_bytes": self.beat_bytes,
        }
        return np.array([values.get(name, 0) for name in PACKED], dtype=np.int64)


@dataclass(frozen=True)
class DramCounters:
    """What a simulation counted, summed over channels; the order is the simulator's.

    Attributes:
        activates: rows opened.
        precharges: rows closed.
        reads: bursts read.
        writes: bursts written.
        refreshes: all-bank refreshes.
        row_hits: bursts whose row was open.
        row_misses: bursts whose bank was closed.
        row_conflicts: bursts whose bank had another row open.
        forwarded: bursts of reads answered from the write queue.
        merged: bursts of writes merged into one in the write queue.
        open_clocks: DRAM clocks in which a channel had an open bank.
    """

    activates: int
    precharges: int
    reads: int
    writes: int
    refreshes: int
    row_hits: int
    row_misses: int
    row_conflicts: int
    forwarded: int
    merged: int
    open_clocks: int

    @classmethod
    def unpacked(cls, values: Sequence[int] | NDArray[np.int64]) -> DramCounters:
        """Return the counters of the simulator's integers."""
        return cls(*(int(value) for value in values))


@dataclass(frozen=True)
class Rail:
    """Currents of one supply of one device, in mA; names are those of data sheets (JESD79-4, table of IDD).

    Attributes:
        volts: the supply.
        idd0: one bank activated and precharged every tRC.
        idd2n: standby, all banks closed.
        idd3n: standby, banks open.
        idd4r: bursts read without gap.
        idd4w: bursts written without gap.
        idd5b: refresh without gap.
    """

    volts: float
    idd0: float
    idd2n: float
    idd3n: float
    idd4r: float
    idd4w: float
    idd5b: float


@dataclass(frozen=True)
class DramEnergy:
    """Energy of one channel.

    Attributes:
        row_pj: of an activate and its precharge, above standby.
        read_pj: of a burst read, above standby.
        write_pj: of a burst written, above standby.
        refresh_pj: of an all-bank refresh, above standby.
        open_mw: standby with a bank open.
        closed_mw: standby with all banks closed.
    """

    row_pj: float
    read_pj: float
    write_pj: float
    refresh_pj: float
    open_mw: float
    closed_mw: float

    def __post_init__(self) -> None:
        _refuse(
            "DramEnergy",
            (
                f"{field.name}={getattr(self, field.name)!r} is not allowed; give 0 or more"
                for field in fields(self)
                if not getattr(self, field.name) >= 0
            ),
        )


@dataclass(frozen=True)
class DramTiming:
    """A DRAM of channels, banks and rows, its controller, and its energy. Times are DRAM clocks.

    Attributes:
        clock_mhz: the DRAM's clock; data moves twice in it.
        channels: channels side by side, each with a data bus of its own.
        bank_groups: groups of banks in a channel.
        banks: banks in a group.
        rows: rows in a bank.
        columns: columns in a row; a column is what one burst moves.
        burst_bytes: bytes of a burst.
        burst: clocks for which a burst holds the data bus.
        cl: read command to data.
        cwl: write command to data.
        rcd: activate to column command.
        rp: precharge to activate.
        ras: activate to precharge.
        rc: activate to activate of a bank.
        rrd_s: activate to activate of a channel.
        rrd_l: activate to activate of a bank group.
        faw: window of at most four activates.
        ccd_s: column command to column command of a channel.
        ccd_l: column command to column command of a bank group.
        wr: end of written data to precharge.
        wtr_s: end of written data to read command of the channel.
        wtr_l: end of written data to read command of the bank group.
        rtp: read command to precharge.
        rtw: read command to write command.
        refi: refresh to refresh; 0 for none.
        rfc: refresh to activate.
        energy: of one channel.
        split_commands: whether row and column commands have a bus each.
        controller: clocks through controller and pins, there and back.
        read_queue: bursts of reads that a channel's controller looks at.
        write_queue: bursts of writes that it holds.
        drain_high: writes held at which it begins to drain them.
        drain_low: writes held at which it returns to waiting reads.
        age_cap: clocks after which the oldest burst goes before row hits.
        order: the parts of an address above the burst, from the least significant.
        outstanding: most reads, and most writes, of the port at a time.
        accelerator_mhz: clock of the accelerator.
    """

    clock_mhz: int
    channels: int
    bank_groups: int
    banks: int
    rows: int
    columns: int
    burst_bytes: int
    burst: int
    cl: int
    cwl: int
    rcd: int
    rp: int
    ras: int
    rc: int
    rrd_s: int
    rrd_l: int
    faw: int
    ccd_s: int
    ccd_l: int
    wr: int
    wtr_s: int
    wtr_l: int
    rtp: int
    rtw: int
    refi: int
    rfc: int
    energy: DramEnergy
    split_commands: bool = False
    controller: int = 0
    read_queue: int = 32
    write_queue: int = 32
    drain_high: int = 26
    drain_low: int = 6
    age_cap: int = 1000
    order: tuple[str, ...] = ("channel", "bank_group", "column", "bank", "row")
    outstanding: int = 16
    accelerator_mhz: int = 1000

    def __post_init__(self) -> None:
        at_least_0 = ("wr", "wtr_s", "wtr_l", "refi", "rfc", "controller", "drain_low", "age_cap")
        others = [field.name for field in fields(self) if field.name not in ("energy", "split_commands", "order")]
        _refuse("DramTiming", [*_outside(self, {name: int(name not in at_least_0) for name in others})])
        _refuse("DramTiming", [*self._contradictions()])

    def _contradictions(self) -> Iterable[str]:
        if sorted(self.order) != sorted(FIELDS):
            yield f"order={self.order!r} is not allowed; give each of {list(FIELDS)} once"
        if self.bank_groups * self.banks > 64:
            yield f"bank_groups*banks={self.bank_groups * self.banks} is not allowed; give at most 64 banks a channel"
        if self.burst_bytes & (self.burst_bytes - 1) or self.burst_bytes > 4096:
            yield f"burst_bytes={self.burst_bytes} is not allowed; give a power of two up to 4096"
        for name, least, why in self._bounds():
            if getattr(self, name) < least:
                yield f"{name}={getattr(self, name)} is not allowed; give {least} or more ({why})"
        if self.drain_high > self.write_queue:
            yield f"drain_high={self.drain_high} is not allowed; give at most write_queue={self.write_queue}"

    def _bounds(self) -> Iterable[tuple[str, int, str]]:
        yield "ras", self.rcd, "rcd"
        yield "rc", self.ras + self.rp, "ras + rp"
        yield "rrd_l", self.rrd_s, "rrd_s"
        yield "ccd_l", self.ccd_s, "ccd_s"
        yield "wtr_l", self.wtr_s, "wtr_s"
        yield "rtw", self.cl + self.burst - self.cwl, "data of the read must end first: cl + burst - cwl"
        yield "drain_high", self.drain_low + 1, "drain_low + 1"
        if self.refi:
            # Closing all rows may take as long as a write's recovery or a row's life.
            closing = max(self.ras, self.rcd + self.cwl + self.burst + self.wr) + self.rp
            yield "refi", self.rfc + closing + 1, "a refresh and the closing of rows must fit"

    @property
    def clock_ratio(self) -> Fraction:
        """DRAM clocks in an accelerator cycle."""
        return Fraction(self.clock_mhz, self.accelerator_mhz)

    @property
    def capacity_bytes(self) -> int:
        """Bytes of all channels."""
        return self.channels * self.bank_groups * self.banks * self.rows * self.columns * self.burst_bytes

    @property
    def peak_bytes_per_cycle(self) -> float:
        """Bytes that the data buses move in an accelerator cycle, without any gap."""
        return float(self.channels * self.burst_bytes * self.clock_ratio / max(self.burst, self.ccd_s))

    def packed(self) -> NDArray[np.int64]:
        """Return the parameters in the order of the simulator's struct, shape [44]."""
        values = {
            "kind": _TIMED,
            "clock_numerator": self.clock_ratio.numerator,
            "clock_denominator": self.clock_ratio.denominator,
            **{f"order_{place}": FIELDS.index(field) for place, field in enumerate(self.order)},
        }
        own = {field.name for field in fields(self)}
        return np.array(
            [values[name] if name in values else int(getattr(self, name)) if name in own else 0 for name in PACKED],
            dtype=np.int64,
        )

    def energy_pj(self, counters: DramCounters, cycles: int) -> float:
        """Return the energy of a simulation: commands, and standby of all channels throughout.

        A row is charged when it is closed; rows that are still open at the end are charged, too.

        Args:
            counters: what was counted.
            cycles: accelerator cycles that the simulation took.

        Raises:
            ArmillaryError: if banks were open for longer than the simulation took.
        """
        return sum(self.energies_pj(counters, cycles).values())

    def energies_pj(self, counters: DramCounters, cycles: int) -> dict[str, float]:
        """Return the energy of a simulation by its causes: rows, reads, writes, refreshes, standby.

        Args and errors are those of `energy_pj`.
        """
        clocks = self.channels * int(cycles * self.clock_ratio)
        if not 0 <= counters.open_clocks <= clocks:
            raise ArmillaryError(
                f"open_clocks={counters.open_clocks} is not allowed; {cycles} cycles have at most {clocks} DRAM clocks"
            )
        energy, clock_ns = self.energy, 1000 / self.clock_mhz
        closed_clocks = clocks - counters.open_clocks
        return {
            "rows": counters.activates * energy.row_pj,
            "reads": counters.reads * energy.read_pj,
            "writes": counters.writes * energy.write_pj,
            "refreshes": counters.refreshes * energy.refresh_pj,
            "standby": (counters.open_clocks * energy.open_mw + closed_clocks * energy.closed_mw) * clock_ns,
        }


PACKED = (
    *("kind", "outstanding", "latency", "bandwidth", "beat_bytes", "clock_numerator", "clock_denominator"),
    *("channels", "bank_groups", "banks", "rows", "columns", "burst_bytes"),
    *(f"order_{place}" for place in range(len(FIELDS))),
    *("burst", "cl", "cwl", "rcd", "rp", "ras", "rc", "rrd_s", "rrd_l", "faw", "ccd_s", "ccd_l"),
    *("wr", "wtr_s", "wtr_l", "rtp", "rtw", "refi", "rfc", "split_commands", "controller"),
    *("read_queue", "write_queue", "drain_high", "drain_low", "age_cap"),
)
"""Names of the simulator's parameters, in the order of its struct."""


def energy_of(
    rails: Sequence[Rail], devices: float, *, clock_mhz: int, ras: int, rc: int, burst: int, rfc: int
) -> DramEnergy:
    """Return the energy of a channel by the currents of its devices.

    Args:
        rails: currents of a device, one entry for each supply.
        devices: devices in the channel; below 1 where channels share one.
        clock_mhz: the DRAM's clock.
        ras: clocks of a row's life when idd0 was measured.
        rc: clocks of that measurement's cycle.
        burst: clocks of a burst.
        rfc: clocks of a refresh.

    Source: Micron TN-40-07. mA * V * ns = pJ. Terminations and the host's side of the pins are left out.
    """
    clock_ns = 1000 / clock_mhz

    def total(charge_ma: Iterable[float], clocks: float) -> float:
        return devices * clocks * clock_ns * sum(rail.volts * ma for rail, ma in zip(rails, charge_ma, strict=True))

    return DramEnergy(
        row_pj=total((rail.idd0 * rc - rail.idd3n * ras - rail.idd2n * (rc - ras) for rail in rails), 1),
        read_pj=total((rail.idd4r - rail.idd3n for rail in rails), burst),
        write_pj=total((rail.idd4w - rail.idd3n for rail in rails), burst),
        refresh_pj=total((rail.idd5b - rail.idd3n for rail in rails), rfc),
        open_mw=devices * sum(rail.volts * rail.idd3n for rail in rails),
        closed_mw=devices * sum(rail.volts * rail.idd2n for rail in rails),
    )


def _outside(owner: object, least: dict[str, int]) -> Iterable[str]:
    """Yield a fault for each field that is no integer between its least value and 2**31 - 1."""
    for name, lowest in least.items():
        value = getattr(owner, name)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= _LARGEST:
            yield f"{name}={value!r} is not allowed; give an integer from {lowest} to {_LARGEST}"


def _refuse(what: str, faults: Iterable[str]) -> None:
    faults = list(faults)
    if faults:
        raise ArmillaryError(f"{what}: " + "; ".join(faults))


# One channel of 64 bits: eight Micron 8 Gb x8 devices MT40A1G8-083 (data sheet "8Gb: x4, x8, x16 DDR4 SDRAM").
# Speed bin 17-17-17; CWL is the first of 12 and 16; tRAS 32 ns, tFAW 21 ns and tRRD_S/L 4 and 6 clocks are those of
# 1 KiB pages; tWR 15 ns, tWTR_S/L 2.5 and 7.5 ns, tRTP 7.5 ns, tREFI 7.8 us, tRFC1 350 ns (JESD79-4).
# rtw: CL + BL/2 - CWL + 2, a clock each for the preamble and the bus. Currents as public simulators list them for this
# part (DRAMsim3, DDR4_8Gb_x8_2400). controller: 20 ns, the static latency of gem5's memory controllers.
DDR4_2400 = DramTiming(
    clock_mhz=1200,
    channels=1,
    bank_groups=4,
    banks=4,
    rows=65536,
    columns=128,
    burst_bytes=64,
    burst=4,
    cl=17,
    cwl=12,
    rcd=17,
    rp=17,
    ras=39,
    rc=56,
    rrd_s=4,
    rrd_l=6,
    faw=26,
    ccd_s=4,
    ccd_l=6,
    wr=18,
    wtr_s=3,
    wtr_l=9,
    rtp=9,
    rtw=11,
    refi=9360,
    rfc=420,
    energy=energy_of(
        [Rail(1.2, idd0=48, idd2n=34, idd3n=43, idd4r=135, idd4w=123, idd5b=250)],
        8,
        clock_mhz=1200,
        ras=39,
        rc=56,
        burst=4,
        rfc=420,
    ),
    controller=24,
)

# Both channels of 16 bits of one 8 Gb die, bursts of 16. Latencies of the speed bin (RL 28, WL 14 of set A) and times
# in ns (tRCD and tRPpb 18, tRAS 42, tRRD 10, tFAW 40, tWR 18, tWTR 10, tRTP 7.5, tREFI 3904, tRFCab 180 for 4 Gb a
# channel) are JESD209-4's. A clock of tDQSS is in wr and wtr, tDQSCK (3.5 ns at most) and the preamble in rtw.
# LPDDR4 has no bank groups. Currents are those that DRAMPower and DRAMSys list for Micron's LPDDR4-3200 die of two
# channels, without the pins' supply. controller: 20 ns and 3.5 ns of tDQSCK.
LPDDR4_3200 = DramTiming(
    clock_mhz=1600,
    channels=2,
    bank_groups=1,
    banks=8,
    rows=32768,
    columns=64,
    burst_bytes=32,
    burst=8,
    cl=28,
    cwl=14,
    rcd=29,
    rp=29,
    ras=68,
    rc=97,
    rrd_s=16,
    rrd_l=16,
    faw=64,
    ccd_s=8,
    ccd_l=8,
    wr=30,
    wtr_s=17,
    wtr_l=17,
    rtp=12,
    rtw=30,
    refi=6246,
    rfc=288,
    energy=energy_of(
        [
            Rail(1.8, idd0=3.5, idd2n=2.0, idd3n=2.25, idd4r=2.25, idd4w=2.25, idd5b=10.0),
            Rail(1.1, idd0=45.0, idd2n=27.0, idd3n=30.0, idd4r=275.0, idd4w=210.0, idd5b=90.0),
        ],
        0.5,
        clock_mhz=1600,
        ras=68,
        rc=97,
        burst=8,
        rfc=288,
    ),
    controller=38,
)

# One stack: 16 pseudo channels of 64 bits, bursts of 4, 2 Gb/s a pin, 8 GiB. Organisation by JESD235. Its times are
# vendors' secrets: those of a shipping part as DRAMSys lists them for 1 GHz (read tRCD for both directions), with
# 260 ns of tRFC for 4 Gb a pseudo channel. Currents are DRAMsim3's estimate for a channel of two pseudo channels
# (HBM2_8Gb_x128), without the pins' supply. controller: 20 ns.
HBM2 = DramTiming(
    clock_mhz=1000,
    channels=16,
    bank_groups=4,
    banks=4,
    rows=32768,
    columns=32,
    burst_bytes=32,
    burst=2,
    cl=17,
    cwl=7,
    rcd=12,
    rp=14,
    ras=28,
    rc=42,
    rrd_s=4,
    rrd_l=6,
    faw=16,
    ccd_s=2,
    ccd_l=3,
    wr=14,
    wtr_s=4,
    wtr_l=9,
    rtp=5,
    rtw=18,
    refi=3900,
    rfc=260,
    energy=energy_of(
        [Rail(1.2, idd0=65, idd2n=40, idd3n=55, idd4r=390, idd4w=500, idd5b=250)],
        0.5,
        clock_mhz=1000,
        ras=34,
        rc=48,
        burst=2,
        rfc=260,
    ),
    split_commands=True,
    controller=20,
)

PRESETS = {"ddr4-2400": DDR4_2400, "lpddr4-3200": LPDDR4_3200, "hbm2": HBM2}
