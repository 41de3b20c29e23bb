"""The compiler and timing model of the Edge TPU template, as one tensor function.

Axes: D designs, L layers, M spatial mappings. Every layer is tried with every spatial mapping;
the fastest legal one wins, the first of equals, so that the compiler is deterministic.

How a layer runs. The array columns (X), rows (Y) and cores each unroll either output positions or
output channels; a core's lanes unroll output channels. A lane keeps one output in its accumulator
and reduces four input values per cycle: along the filter row and the input channels, which lie
next to each other in memory, or, in grouped layers, along the channels of the group alone. So a
core needs the complete weights of one output channel per lane at once, and as much again for the
next ones unless the layer has no more.

How data moves. Inputs and outputs cross the array on one 32-bit bus per row (Y), and the
controller's activation memory reads or writes two entries per cycle at most, which limits a tall
array. Before a layer computes, its inputs are broadcast. The activation memory must hold the window
of inputs of one output position twice. If it holds the input rows of a window twice, every input
row is sent once; if not, each is sent again for every output row that reads it. Meanwhile
parameters come in, one entry per cycle and PE; the parameter memory must hold the weights that the
lanes of a core need at once. DRAM streams pass through these two memories. Computing overlaps with
parameters and DRAM, the slowest sets the delay. The broadcast comes on top, as it waits for the
layer before, and so does the way back: a core reads out one output value per cycle, and the outputs
cross the buses. Then all PEs synchronise.

How a program runs. The controller issues the program of an operator entry by entry before the
array starts on it. The program stays in the instruction memory; what exceeds it is fetched in every
inference, line by line, and the array waits for it.

What stays on chip. Activations have half of every PE memory, and at most 1 MiB of it; parameters
have the rest. If the parameters of the whole workload fit into their share of all PEs they stay
there between inferences; if not, all of them stream from DRAM in every inference: they are read in
the same order each time, so a cache smaller than the whole would always miss. A layer whose inputs
and outputs fit into the activations' share of all PEs runs on chip. A larger one streams them,
strip by strip of output rows; then the activation memory is its line buffer and must hold the input
rows of a window twice, and the compiler either reads the weights again for every strip or the
inputs again for every part of the weights that fits into the core memories.

What published figures say of these rules (PRIME, in its unit):

- Two designs of the published tables have the same 32 MiB of PE memory and do not hold t-RNN Dec,
  19 MB: the Edge TPU (1384) and Table 12's evolutionary design (862). That of 48 MiB holds t-RNN
  Enc, 21.62 MB (185). So weights get 45% to 59% of PE memories of 1 and 2 MiB. Table 14 has
  designs of 14.82 and 19.87 mm2 that hold them; by our law of area there is one of each size only
  if the activations' share of a larger PE memory is not half of it.
- Streams are whole: t-RNN Enc takes 1.14 times as long as t-RNN Dec above the least latency, on
  both designs, and has 1.14 times the parameters. With a part of them pinned it would be more.
- t-RNN Dec and Enc have the same least latency, 128, and the same size of program, though their
  parameters differ by 14%: what is left when nothing streams goes with the program.
- The Edge TPU takes 1.8 to 2.1 times the least latency on seven convolutional networks of 0.2 to
  3.5 billion operations, which its peak rate of 26 TOPS cannot explain, but its buses can.

Constants calibrated to the published figures, for all applications alike, and rounded:
`ISSUE_CYCLES`, `DRAM_LATENCY_S`, `ACTIVATION_PORT_BYTES`, `OUTPUT_CYCLES`, `SYNC_CYCLES_PER_PE`,
`ACTIVATION_SHARE_BYTES`. `armillary bench edge-tpu-sanity` holds the result against the figures.

Assumptions without a source: `INVOCATION_S` (a doorbell and an interrupt; the figures are met as
well with anything up to 0.1 ms), `INSTRUCTION_LINE_BYTES`, `ROW_BUS_BYTES`, `LAYER_SETUP_CYCLES`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from armillary.hardware.templates.edge_tpu import CLOCK_HZ, ENTRY_BYTES, MACS_PER_LANE, EdgeTpuChips
from armillary.workloads.context import issued_instruction_bytes, layer_context
from armillary.workloads.layer import Workload

INVOCATION_S = 10e-6
ISSUE_CYCLES = 10  # per entry of the program
DRAM_LATENCY_S = 75e-9
INSTRUCTION_LINE_BYTES = 64
ROW_BUS_BYTES = 4  # per cycle and row
ACTIVATION_PORT_BYTES = 2 * ENTRY_BYTES  # per cycle
OUTPUT_CYCLES = 1  # per output value and core
LAYER_SETUP_CYCLES = 200
SYNC_CYCLES_PER_PE = 2  # per layer
ACTIVATION_SHARE_BYTES = 2**20  # of a PE memory, at most

# Which of columns, rows and cores unroll output channels; the others unroll output positions.
MAPPINGS = torch.tensor([[x, y, c] for x in (0, 1) for y in (0, 1) for c in (0, 1)], dtype=torch.bool)


@dataclass(frozen=True)
class LayerTensors:
    """The layers of a workload as tensors of shape [1, L, 1]; sizes in elements, which are bytes here."""

    rows: Tensor  # N * P
    Q: Tensor
    K: Tensor
    window: Tensor  # weights of one output channel
    window_rows: Tensor  # inputs of the rows that one output row reads
    inputs_by_rows: Tensor  # inputs, sent again for every output row that reads them
    reduction_cycles: Tensor  # cycles of one lane for one output
    C: Tensor
    input_share: Tensor  # input channels per output channel in grouped layers, else 0
    strip_step: Tensor  # input values per channel of one output row: per output column ...
    strip_halo: Tensor  # ... and once
    weights: Tensor
    inputs: Tensor
    outputs: Tensor
    io_bytes: Tensor  # network input and output: they come from and go to DRAM in any case
    macs: Tensor
    count: Tensor
    parameters: Tensor  # of the whole workload, shape [1, 1, 1]; likewise its program ...
    program_bytes: Tensor
    issued_bytes: Tensor  # ... and what of it is issued per inference, steps of a recurrent layer one by one

    @staticmethod
    def of(workload: Workload, device: torch.device) -> LayerTensors:
        """Return the tensors of a workload."""
        layers = [use.layer for use in workload.layers]

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64, device=device).reshape(1, -1, 1)

        io_bytes = [0.0] * len(layers)
        io_bytes[0] += layers[0].inputs
        io_bytes[-1] += layers[-1].outputs
        return LayerTensors(
            rows=column([x.N * x.P for x in layers]),
            Q=column([x.Q for x in layers]),
            K=column([x.K for x in layers]),
            window=column([x.channels_per_group * x.R * x.S for x in layers]),
            window_rows=column([x.C * x.input_width * x.R for x in layers]),
            inputs_by_rows=column([max(x.inputs, x.N * x.P * x.C * x.input_width * x.R) for x in layers]),
            reduction_cycles=column(
                [
                    x.R * x.S * -(-x.channels_per_group // MACS_PER_LANE)
                    if x.groups > 1
                    else x.R * -(-x.S * x.C // MACS_PER_LANE)
                    for x in layers
                ]
            ),
            C=column([x.C for x in layers]),
            input_share=column([x.C / x.K if x.groups > 1 else 0 for x in layers]),
            strip_step=column([x.R * x.stride_w for x in layers]),
            strip_halo=column([x.R * max((x.S - 1) * x.dilation_w + 1 - x.stride_w, 0) for x in layers]),
            weights=column([x.weights for x in layers]),
            inputs=column([x.inputs for x in layers]),
            outputs=column([x.outputs for x in layers]),
            io_bytes=column(io_bytes),
            macs=column([x.macs for x in layers]),
            count=column([use.count for use in workload.layers]),
            parameters=column([workload.parameters]),
            program_bytes=column([layer_context(workload).instruction_bytes]),
            issued_bytes=column([issued_instruction_bytes(workload)]),
        )


@dataclass(frozen=True)
class ChipTensors:
    """Designs as tensors of shape [D, 1, 1]."""

    pes_x: Tensor
    pes_y: Tensor
    cores: Tensor
    lanes: Tensor
    activation_share_bytes: Tensor  # of a PE memory; the parameters have the rest
    parameter_share_bytes: Tensor
    core_memory_bytes: Tensor
    activation_memory_bytes: Tensor
    instruction_memory_bytes: Tensor
    parameter_memory_bytes: Tensor
    dram_bytes_per_cycle: Tensor

    @staticmethod
    def of(chip: EdgeTpuChips, device: torch.device) -> ChipTensors:
        """Return the tensors of designs."""

        def column(name: str, scale: float = 1.0) -> Tensor:
            return (torch.as_tensor(chip.columns[name], dtype=torch.float64, device=device) * scale).reshape(-1, 1, 1)

        pe_memory_bytes = column("pe_memory_bytes")
        activation_share_bytes = (pe_memory_bytes / 2).clamp(max=ACTIVATION_SHARE_BYTES)
        return ChipTensors(
            pes_x=column("pes_x"),
            pes_y=column("pes_y"),
            cores=column("cores"),
            lanes=column("lanes"),
            activation_share_bytes=activation_share_bytes,
            parameter_share_bytes=pe_memory_bytes - activation_share_bytes,
            core_memory_bytes=column("core_memory_bytes"),
            activation_memory_bytes=column("activation_memory_entries", ENTRY_BYTES),
            instruction_memory_bytes=column("instruction_memory_entries", ENTRY_BYTES),
            parameter_memory_bytes=column("parameter_memory_entries", ENTRY_BYTES),
            dram_bytes_per_cycle=column("dram_bandwidth_gbps", 1e9 / 8 / CLOCK_HZ),
        )

    @property
    def pes(self) -> Tensor:
        """Processing elements, shape [D, 1, 1]."""
        return self.pes_x * self.pes_y

    @property
    def bus_bytes_per_cycle(self) -> Tensor:
        """Activations that cross the array per cycle, shape [D, 1, 1]."""
        return (ROW_BUS_BYTES * self.pes_y).clamp(max=ACTIVATION_PORT_BYTES)

    def dram_cycles_per_byte(self, request_bytes: Tensor | float) -> Tensor:
        """Return the cycles per byte of DRAM reads of a size, each of which waits once, shape [D, 1, 1]."""
        return 1 / self.dram_bytes_per_cycle + DRAM_LATENCY_S * CLOCK_HZ / request_bytes


@dataclass(frozen=True)
class Tiling:
    """A layer on a spatial mapping; shape [D, L, M]."""

    compute_cycles: Tensor
    core_outputs: Tensor  # output values that one core computes
    pe_weights: Tensor  # bytes of weights that one PE uses
    core_weights: Tensor  # bytes of weights that one core uses
    pass_weights: Tensor  # bytes of weights that its lanes need at once
    buffered_weights: Tensor  # bytes of weights that a core holds at least
    strip_bytes: Tensor  # activations that one PE needs at once


@dataclass(frozen=True)
class Legality:
    """Which memory has no legal mapping: needed bytes, shape [D, L], against the memory's size [D, 1]."""

    activation_needed: Tensor
    parameter_needed: Tensor
    core_needed: Tensor
    pe_needed: Tensor


@dataclass(frozen=True)
class Compiled:
    """The chosen mapping of every layer; per use of the layer, shape [D, L] unless stated."""

    mapping: Tensor
    legal: Tensor
    cycles: Tensor
    compute_cycles: Tensor
    dram_cycles: Tensor
    network_cycles: Tensor
    dram_bytes: Tensor
    network_bytes: Tensor
    instruction_cycles: Tensor  # shape [D], per inference
    instruction_bytes: Tensor  # shape [D], per inference
    legality: Legality


def tile(chips: ChipTensors, layers: LayerTensors) -> Tiling:
    """Return every layer on every spatial mapping."""
    roles = MAPPINGS.to(layers.K.device)
    x_channels, y_channels, core_channels = (roles[:, i].reshape(1, 1, -1) for i in range(3))
    one = torch.ones_like(chips.pes_x)

    def split(unrolled: Tensor, extent: Tensor, factor: Tensor) -> Tensor:
        return torch.ceil(extent / torch.where(unrolled, factor, one))

    pe_rows = split(~x_channels, layers.rows, chips.pes_x)
    columns = split(~y_channels, layers.Q, chips.pes_y)
    rows = split(~core_channels, pe_rows, chips.cores)
    pe_channels = split(
        x_channels | y_channels,
        layers.K,
        torch.where(x_channels, chips.pes_x, one) * torch.where(y_channels, chips.pes_y, one),
    )
    channels = split(core_channels, pe_channels, chips.cores)
    passes = torch.ceil(channels / chips.lanes)
    inputs = torch.where(layers.input_share > 0, pe_channels * layers.input_share, layers.C)
    return Tiling(
        compute_cycles=rows * columns * passes * layers.reduction_cycles,
        core_outputs=rows * columns * channels,
        pe_weights=pe_channels * layers.window,
        core_weights=channels * layers.window,
        pass_weights=torch.minimum(channels, chips.lanes) * layers.window,
        buffered_weights=torch.minimum(channels, 2 * chips.lanes) * layers.window,
        strip_bytes=inputs * (columns * layers.strip_step + layers.strip_halo) + columns * pe_channels,
    )


@dataclass(frozen=True)
class Traffic:
    """Transfers of a layer; shape [D, L, M]."""

    dram_cycles: Tensor
    bus_cycles: Tensor  # activations, in and out
    parameter_cycles: Tensor
    dram_bytes: Tensor
    network_bytes: Tensor

    @property
    def overlapped_cycles(self) -> Tensor:
        """What goes on while the array computes."""
        return torch.maximum(self.dram_cycles, self.parameter_cycles)

    @property
    def cycles(self) -> Tensor:
        """The transfers alone."""
        return self.bus_cycles + self.overlapped_cycles

    @property
    def network_cycles(self) -> Tensor:
        """The on-chip transfers alone."""
        return self.bus_cycles + self.parameter_cycles

    @staticmethod
    def where(condition: Tensor, a: Traffic, b: Traffic) -> Traffic:
        """Return a where the condition holds, else b."""
        return Traffic(**{f.name: torch.where(condition, getattr(a, f.name), getattr(b, f.name)) for f in fields(a)})


def orders(
    chips: ChipTensors, layers: LayerTensors, tiling: Tiling, strips: Tensor, resident: Tensor
) -> tuple[Traffic, Traffic]:
    """Return the transfers of every layer in two orders: weights again per strip, inputs again per part.

    The two are the same for a layer whose activations stay on chip. One half of a controller
    memory fills while the other drains.
    """
    on_chip = strips <= 1
    parts = torch.ceil(tiling.core_weights / chips.core_memory_bytes)
    once = torch.ones_like(parts)
    parameter_cost = chips.dram_cycles_per_byte(chips.parameter_memory_bytes / 2)
    activation_cost = chips.dram_cycles_per_byte(chips.activation_memory_bytes / 2)
    keeps_rows = 2 * layers.window_rows <= chips.activation_memory_bytes
    sent = torch.where(keeps_rows, layers.inputs, layers.inputs_by_rows)

    def order(weight_reads: Tensor, input_reads: Tensor) -> Traffic:
        streamed_weights = torch.where(resident, 0.0, layers.weights * weight_reads)
        inputs, moved = layers.inputs * input_reads, sent * input_reads
        streamed = torch.where(on_chip, layers.io_bytes, inputs + layers.outputs)
        return Traffic(
            dram_cycles=streamed_weights * parameter_cost + streamed * activation_cost,
            bus_cycles=(moved + layers.outputs) / chips.bus_bytes_per_cycle,
            parameter_cycles=tiling.pe_weights * weight_reads / ENTRY_BYTES,
            dram_bytes=streamed_weights + streamed,
            network_bytes=moved + layers.outputs + layers.weights * weight_reads,
        )

    return (
        order(torch.where(parts > 1, strips, once), once),
        order(once, torch.where(on_chip, once, parts)),
    )


def weights_stay(chips: ChipTensors, layers: LayerTensors) -> Tensor:
    """Return whether a workload's parameters stay on chip from one inference to the next, shape [D, 1, 1]."""
    return layers.parameters <= chips.pes * chips.parameter_share_bytes


def issue_cycles(layers: LayerTensors) -> Tensor:
    """Return the cycles in which the controller issues the program, the same on every design, shape [1]."""
    return (ISSUE_CYCLES / ENTRY_BYTES * layers.issued_bytes).reshape(-1)


def compile_workload(chips: ChipTensors, layers: LayerTensors) -> Compiled:
    """Map every layer of a workload onto every design.

    Args:
        chips: the designs.
        layers: the layers of the workload.

    Returns:
        The fastest legal mapping of each layer; where none is legal, the legality tells why.

    Source: our model of the organisation in Yazdanbakhsh et al., arXiv 2102.10423, see the module.
    """
    tiling = tile(chips, layers)
    strips = torch.ceil((layers.inputs + layers.outputs) / (chips.pes * chips.activation_share_bytes))
    on_chip = strips <= 1
    line_buffer = 2 * torch.where(on_chip, layers.window, layers.window_rows)
    fits_controller = (line_buffer <= chips.activation_memory_bytes) & (
        tiling.pass_weights <= chips.parameter_memory_bytes
    )
    fits_core = tiling.buffered_weights <= chips.core_memory_bytes
    fits_pe = tiling.strip_bytes <= chips.activation_share_bytes
    legal = fits_controller & fits_core & fits_pe

    resident = weights_stay(chips, layers)
    by_strip, by_part = orders(chips, layers, tiling, strips, resident)
    traffic = Traffic.where(by_strip.cycles <= by_part.cycles, by_strip, by_part)
    cycles = LAYER_SETUP_CYCLES + SYNC_CYCLES_PER_PE * chips.pes + traffic.bus_cycles
    cycles = cycles + torch.maximum(tiling.compute_cycles, traffic.overlapped_cycles)
    cycles = cycles + OUTPUT_CYCLES * tiling.core_outputs
    cycles, mapping = torch.where(legal, cycles, torch.inf).min(dim=2)

    def chosen(values: Tensor) -> Tensor:
        return values.expand(legal.shape).gather(2, mapping.unsqueeze(2)).squeeze(2)

    missing_program = (layers.program_bytes - chips.instruction_memory_bytes).clamp(min=0).reshape(-1)
    infinite = torch.full_like(tiling.strip_bytes, torch.inf)
    return Compiled(
        mapping=mapping,
        legal=legal.any(dim=2),
        cycles=cycles,
        compute_cycles=chosen(tiling.compute_cycles),
        dram_cycles=chosen(traffic.dram_cycles),
        network_cycles=chosen(traffic.network_cycles),
        dram_bytes=chosen(traffic.dram_bytes),
        network_bytes=chosen(traffic.network_bytes),
        instruction_cycles=missing_program * chips.dram_cycles_per_byte(INSTRUCTION_LINE_BYTES).reshape(-1),
        instruction_bytes=missing_program,
        legality=Legality(
            activation_needed=line_buffer.squeeze(2),
            parameter_needed=tiling.pass_weights.min(dim=2).values,
            core_needed=tiling.buffered_weights.min(dim=2).values,
            pe_needed=torch.where(fits_controller & fits_core, tiling.strip_bytes, infinite).min(dim=2).values,
        ),
    )
