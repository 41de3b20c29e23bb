// Streams operands through a lane of the vector unit, one pair a cycle, and writes every value. In, as 64-bit words: op,
// shift, relu, reduce, operands that are reduced to a value, number of pairs; then the pairs.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "Vlane.h"
#include "verilated.h"

int main() {
  std::vector<int64_t> job;
  for (int64_t word; std::fread(&word, sizeof word, 1, stdin) == 1;) job.push_back(word);
  Vlane top;
  top.op = job[0], top.shift = job[1], top.relu = job[2], top.reduce = job[3];
  const int64_t every = job[4], pairs = job[5];
  for (int64_t cycle = 0; cycle < pairs + 6; cycle++) {
    top.a_in = cycle < pairs ? job[6 + 2 * cycle] : 0;
    top.b_in = cycle < pairs ? job[7 + 2 * cycle] : 0;
    top.there = cycle >= 5;
    top.first = (cycle - 5) % every == 0;
    for (int level : {0, 1}) {
      top.clk = level;
      top.eval();
    }
    const int64_t value = static_cast<int32_t>(top.value);  // of the pair of five cycles ago
    if (cycle >= 5 && cycle - 5 < pairs && (cycle - 5) % every == every - 1) std::fwrite(&value, sizeof value, 1, stdout);
  }
}
