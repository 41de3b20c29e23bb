// Gives `convert` its inputs cycle by cycle and prints what it shows before each clock edge.
//
// In: floating, scale, shift, low, high and the number of cycles; then, per cycle: advance, valid, tag, DIM sums.
// Out: a line per cycle: busy, valid and, if valid, the tag and DIM bytes.
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "Vconvert.h"
#include "verilated.h"

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  Vconvert top;
  int floating, shift, low, high, cycles;
  unsigned scale;
  if (std::scanf("%d %u %d %d %d %d", &floating, &scale, &shift, &low, &high, &cycles) != 6) return 1;
  auto edge = [&] {
    for (int level : {0, 1}) {
      top.clk = level;
      top.eval();
    }
  };
  top.floating = floating;
  top.scale = scale;
  top.shift = shift;
  top.low = low;
  top.high = high;
  top.reset = 1;
  edge();
  top.reset = 0;
  for (int c = 0; c < cycles; c++) {
    int advance, valid;
    unsigned long long tag;
    int32_t sums[DIM];
    if (std::scanf("%d %d %llu", &advance, &valid, &tag) != 3) return 1;
    for (int32_t& sum : sums)
      if (std::scanf("%d", &sum) != 1) return 1;
    top.advance = advance;
    top.valid_in = valid;
    top.tag_in = tag;
    std::memcpy(&top.sums, sums, sizeof sums);
    top.eval();
    std::printf("%d %d", top.busy, top.valid_out);
    if (top.valid_out) {
      int8_t bytes[DIM];
      std::memcpy(bytes, &top.bytes, sizeof bytes);
      std::printf(" %llu", static_cast<unsigned long long>(top.tag_out));
      for (int8_t byte : bytes) std::printf(" %d", byte);
    }
    std::printf("\n");
    edge();
  }
  return 0;
}
