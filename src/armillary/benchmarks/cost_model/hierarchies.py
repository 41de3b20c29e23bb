"""The hierarchies of the benchmarks: four accelerators that the field knows, in numbers of our own choice."""

from __future__ import annotations

from armillary.hardware.hierarchy import Compute, Hierarchy, Level, LoopRules


def gemmini(technology_nm: float = 22.0) -> Hierarchy:
    """Return a 16 x 16 weight-stationary array with a 256 KiB scratchpad and 64 KiB of accumulators.

    At 22 nm it is `examples/gemmini_16.yaml`. After Genc et al., DAC 2021.
    """
    levels = (
        Level(name="DRAM", kind="dram", block_words=64, shared_bandwidth=8.0),
        Level(
            name="Scratchpad",
            keeps="WI",
            capacity_words=1 << 18,
            block_words=16,
            shared_bandwidth=32.0,
            fanout=(16, 1),
            rules=LoopRules(spatial_x="K", spatial_y=""),
        ),
        Level(
            name="Accumulator",
            keeps="O",
            capacity_words=1 << 10,
            word_bits=32,
            shared_bandwidth=2.0,
            fanout=(16, 1),
            rules=LoopRules(spatial_x="C", spatial_y=""),
        ),
        Level(name="Registers", kind="regfile", keeps="W", capacity_words=1),
    )
    return Hierarchy(name="gemmini_16", levels=levels, technology_nm=technology_nm)


def eyeriss() -> Hierarchy:
    """Return 14 x 12 processing elements with a register file each for inputs, weights and partial sums, five levels.

    After Chen et al., ISCA 2016: output rows or output channels lie along X, filter rows or input channels along Y;
    weights pass the global buffer of 100 KiB by.
    """
    levels = (
        Level(name="DRAM", kind="dram", word_bits=16, block_words=4, shared_bandwidth=4.0),
        Level(
            name="GlobalBuffer",
            keeps="IO",
            capacity_words=50 << 10,
            word_bits=16,
            block_words=4,
            shared_bandwidth=32.0,
            fanout=(14, 12),
            rules=LoopRules(spatial_x="PK", spatial_y="RC"),
        ),
        _register_file("Inputs", "I", 12),
        _register_file("Weights", "W", 224),
        _register_file("PartialSums", "O", 24),
    )
    return Hierarchy(name="eyeriss_like", levels=levels, compute=Compute(bits=16), technology_nm=45.0)


def tpu() -> Hierarchy:
    """Return a 128 x 128 weight-stationary array below a unified buffer of 8 MiB, weights straight from DRAM.

    After Jouppi et al., ISCA 2017, scaled down: activations lie in the unified buffer, partial sums in 4,096
    accumulators per column; every processing element holds one weight and loads the next meanwhile.
    """
    levels = (
        Level(name="DRAM", kind="dram", block_words=64, shared_bandwidth=64.0),
        Level(
            name="UnifiedBuffer",
            keeps="IO",
            capacity_words=1 << 23,
            block_words=128,
            shared_bandwidth=512.0,
            fanout=(128, 1),
            rules=LoopRules(spatial_x="K", spatial_y=""),
        ),
        Level(
            name="Accumulators",
            keeps="O",
            capacity_words=1 << 12,
            word_bits=32,
            shared_bandwidth=2.0,
            fanout=(128, 1),
            rules=LoopRules(spatial_x="C", spatial_y=""),
        ),
        Level(name="Registers", kind="regfile", keeps="W", capacity_words=2, buffers=2),
    )
    return Hierarchy(name="tpu_like", levels=levels, technology_nm=28.0)


def nvdla() -> Hierarchy:
    """Return 16 output channels by 64 input channels of multipliers below one accumulator memory.

    After NVIDIA's NVDLA, `nv_large`: a convolution buffer of 512 KiB holds weights and inputs; both fan-outs belong to
    one level, and partial sums are added over the input channels on their way.
    """
    levels = (
        Level(name="DRAM", kind="dram", block_words=32, shared_bandwidth=32.0),
        Level(name="ConvBuffer", keeps="WI", capacity_words=1 << 19, block_words=64, shared_bandwidth=128.0),
        Level(
            name="Accumulator",
            keeps="O",
            capacity_words=1 << 13,
            word_bits=32,
            block_words=16,
            shared_bandwidth=32.0,
            fanout=(16, 64),
            rules=LoopRules(spatial_x="K", spatial_y="C"),
        ),
        Level(name="Registers", kind="regfile", keeps="W", capacity_words=1),
    )
    return Hierarchy(name="nvdla_like", levels=levels, technology_nm=28.0)


def uneven(hierarchy: Hierarchy) -> Hierarchy:
    """Return a hierarchy whose buffers that several tensors share may hold them at two places among their loops."""
    outermost, *inner = hierarchy.levels
    free = [level.model_copy(update={"uneven": len(level.keeps) > 1}) for level in inner]
    return Hierarchy.model_validate({**dict(hierarchy), "levels": (outermost, *free)})


def _register_file(name: str, tensor: str, words: int) -> Level:
    """Return a register file of 16-bit words that holds one tensor of a processing element."""
    return Level(name=name, kind="regfile", keeps=tensor, capacity_words=words, word_bits=16)
