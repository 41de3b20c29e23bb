// Runs phases on an accelerator of the tabla template and tells what left it, and when.
//
// Everything is 64-bit words. In, on standard input: seed of pauses (0: none), most cycles of a phase, number of phases;
// then of each phase
//   number of writes by the host; of each its kind, element, address and content, CONFIG_WORDS words
//   steps, number of words of inputs; of each its content, IN_WORDS words
// Out, on standard output: of each phase the cycles in which its steps were done, the number of values that left, and of each
// its cycle and the value. Cycles count from the first word of inputs that was taken.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "Vtabla.h"
#include "verilated.h"

using Words = std::vector<int64_t>;

constexpr int DRAIN = 4;  // cycles after the last instruction in which a value may still leave

template <typename Port>
void give(Port& port, const int64_t* words) {
  std::memcpy(&port, words, sizeof port);
}

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  Vtabla top;
  Words job, told;
  int64_t word;
  while (std::fread(&word, sizeof word, 1, stdin) == 1) job.push_back(word);
  const int64_t* next = job.data();
  uint64_t random = *next++;
  const bool pauses = random != 0;
  const int64_t most = *next++;
  int64_t phases = *next++;
  auto edge = [&] {
    for (int level : {0, 1}) {
      top.clk = level;
      top.eval();
    }
  };
  top.reset = 1;
  top.config_write = 0;
  top.in_valid = 0;
  edge();
  top.reset = 0;

  for (; phases > 0; phases--) {
    top.config_write = 1;
    for (int64_t writes = *next++; writes > 0; writes--) {
      top.config_kind = *next++;
      top.config_element = *next++;
      top.config_address = *next++;
      give(top.config_data, next);
      next += CONFIG_WORDS;
      edge();
    }
    top.config_write = 0;
    const int64_t steps = *next++, words = *next++;
    int64_t given = 0, first = 0, done = 0, drained = 0;
    Words left;
    for (int64_t cycle = 0; drained < DRAIN; cycle++) {
      if (cycle == most) {
        std::fprintf(stderr, "not done after %lld cycles\n", static_cast<long long>(most));
        return 1;
      }
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      top.in_valid = given < words && !(pauses && (random & 1));
      if (given < words) give(top.in_data, next + given * IN_WORDS);
      top.clk = 0;
      top.eval();
      if (top.in_valid && top.in_ready && given++ == 0) first = cycle;
      if (top.step_done) {
        told.push_back(cycle - first);
        done++;
      }
      if (top.out_valid) {
        left.push_back(cycle - first);
        left.push_back(static_cast<int64_t>(top.out));
      }
      if (done == steps && top.idle) drained++;
      top.clk = 1;
      top.eval();
    }
    top.in_valid = 0;
    next += words * IN_WORDS;
    told.push_back(left.size() / 2);
    told.insert(told.end(), left.begin(), left.end());
  }
  std::fwrite(told.data(), sizeof(int64_t), told.size(), stdout);
  return 0;
}
