"""Models of today beside what their authors publish, and beside MACs counted from their shapes alone."""

from __future__ import annotations

import pytest

from armillary.workloads import zoo
from armillary.workloads.layer import Workload


def fixed(workload: Workload) -> int:
    """MACs with weights: what tools count that overlook attention's own products."""
    return sum(use.macs for use in workload.layers if not use.layer.dynamic)


# Parameters as the authors' checkpoints count them, less those of normalisations, of position and class embeddings, and
# of embeddings that are look-ups alone.
@pytest.mark.parametrize(
    ("name", "total", "beside"),
    [
        ("gpt2", 124_439_808, 25 * 2 * 768 + 1024 * 768),
        ("llama3_8b", 8_030_261_248, 65 * 4096 + 128_256 * 4096),
        ("vit_b", 86_567_656, 25 * 2 * 768 + 768 + 197 * 768),
        ("whisper_base", 72_593_920, (1500 + 448) * 512 + (6 * 2 + 6 * 3 + 2) * 2 * 512),
        ("sam_vit_b", 89_670_912, 24 * 2 * 768 + 64 * 64 * 768 + 2 * 2 * 256),
        ("diffusion_unet", 859_520_964, 12_480 * (6 + 2) + 2 * 49_920 + 2 * 320),
    ],
)
def test_parameters_are_those_of_the_checkpoints(name: str, total: int, beside: int) -> None:
    assert zoo.build(name).parameters == total - beside


def test_a_block_of_mixtral_is_a_thirty_second_of_it() -> None:
    embeddings, norms = 2 * 32_000 * 4096, 65 * 4096
    assert 32 * zoo.build("mixtral_block").parameters + embeddings + norms == 46_702_792_704


def test_vit_b_has_the_published_macs() -> None:
    """17.56 G in torchvision's table; 17.58 G in other counts, which add what is not a product of matrices."""
    assert zoo.build("vit_b").macs == pytest.approx(17.56e9, rel=0.001)


def test_the_diffusion_unet_has_the_published_macs_of_its_weights() -> None:
    """338.7 G in Kim et al. 2023 (BK-SDM), counted by hooks on modules, which attention's own products do not reach."""
    assert fixed(zoo.build("diffusion_unet")) == pytest.approx(338.7e9, rel=0.001)


@pytest.mark.parametrize(("batch", "seq", "past"), [(1, 1024, 0), (1, 1, 1023), (8, 1, 100), (2, 7, 3)])
def test_gpt2_from_its_shapes(batch: int, seq: int, past: int) -> None:
    tokens, width = batch * seq, 768
    attention = 2 * tokens * (past + seq) * width
    expected = 12 * (tokens * 12 * width**2 + attention) + batch * width * 50_257
    assert zoo.build("gpt2", {"batch": batch, "seq": seq, "past": past}).macs == expected


@pytest.mark.parametrize(("batch", "seq", "past"), [(1, 2048, 0), (8, 1, 2048)])
def test_llama_from_its_shapes(batch: int, seq: int, past: int) -> None:
    tokens, width = batch * seq, 4096
    weights = 2 * width**2 + 2 * width * 1024 + 3 * width * 14_336
    block = tokens * weights + 2 * tokens * (past + seq) * width
    dims = {"batch": batch, "seq": seq, "past": past}
    assert zoo.build("llama3_8b_block", dims).macs == block
    assert zoo.build("llama3_8b", dims).macs == 32 * block + batch * width * 128_256


@pytest.mark.parametrize(("seq", "past"), [(2048, 0), (1, 2048)])
def test_two_of_eight_experts_of_mixtral_run(seq: int, past: int) -> None:
    width = 4096
    weights = 2 * width**2 + 2 * width * 1024 + width * 8 + 2 * 3 * width * 14_336
    workload = zoo.build("mixtral_block", {"seq": seq, "past": past})
    assert workload.macs == seq * weights + 2 * seq * (past + seq) * width


def test_conformer_from_its_shapes() -> None:
    """10.3 million parameters in Table 1 of Gulati et al. are with the decoder, one LSTM of 320 and its matrices."""
    tokens, width, distances = 250, 144, 499
    front = 9 * width * 500 * 40 + 9 * width**2 * tokens * 20 + tokens * 20 * width**2
    feed_forward = 2 * 2 * 4 * width**2 * tokens
    attention = 4 * tokens * width**2 + distances * width**2 + tokens * width * (2 * tokens + distances)
    convolution = tokens * (3 * width**2 + 32 * width)
    assert zoo.build("conformer_s").macs == front + 16 * (feed_forward + attention + convolution)
    assert 10.3e6 - 1.7e6 < zoo.build("conformer_s").parameters < 10.3e6 - 1.3e6


def test_whisper_from_its_shapes() -> None:
    width, frames, tokens = 512, 1500, 4
    convolutions = 3000 * width * 80 * 3 + frames * width * width * 3
    encoder = 6 * (frames * 12 * width**2 + 2 * frames * frames * width)
    cross = 2 * tokens * width**2 + 2 * frames * width**2 + 2 * tokens * frames * width
    decoder = 6 * (tokens * (4 + 8) * width**2 + 2 * tokens * tokens * width + cross) + width * 51_865
    assert zoo.build("whisper_base", {"seq": tokens}).macs == convolutions + encoder + decoder
    later = 6 * (14 * width**2 + 2 * 11 * width + 2 * frames * width) + width * 51_865
    assert zoo.build("whisper_base", {"seq": 1, "past": 10}).macs == later


def test_the_sam_encoder_from_its_shapes() -> None:
    width, side, window = 768, 64, 14
    places, padded = side**2, 25 * window**2
    everywhere = places * 4 * width**2 + 2 * places**2 * width + 2 * places * side * width
    windows = padded * 4 * width**2 + 2 * padded * window**2 * width + 2 * padded * window * width
    blocks = 4 * everywhere + 8 * windows + 12 * places * 8 * width**2
    neck = places * (width * 256 + 9 * 256**2)
    assert zoo.build("sam_vit_b").macs == places * 3 * 256 * width + blocks + neck


@pytest.mark.parametrize("name", ["vit_b", "sam_vit_b", "diffusion_unet", "gpt2", "llama3_8b_block"])
def test_a_batch_multiplies_the_work_and_learns_nothing_more(name: str) -> None:
    one, three = zoo.build(name), zoo.build(name, {"batch": 3})
    assert (three.macs, three.parameters) == (3 * one.macs, one.parameters)
