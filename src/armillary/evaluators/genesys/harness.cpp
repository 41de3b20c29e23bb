// Runs a program on an accelerator of the genesys template, plays its DRAM, and tells what it left there, and when.
//
// Everything but DRAM is 64-bit words. In, on standard input: address of the program, most cycles, cycles from a request
// to its answer, seed of pauses (0: none), first byte and number of bytes to give back, bytes of DRAM, bytes of those that
// follow; then these. Out, on standard output: cycles; cycles in which a beat of data came, words entered the array and the vector
// unit; instructions fetched, beats written; then the bytes of DRAM.
//
// With pauses, ports are held up and answers are late at random; their order is kept.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <vector>

#include "Vgenesys.h"
#include "verilated.h"

namespace {

struct Answer {
  int64_t cycle;
  uint32_t address;
  bool last;
};

std::vector<uint8_t> dram;
uint64_t state;
bool pauses;

bool coin() {
  if (!pauses) return true;
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state & 1;
}

template <typename Port>
void get(Port& port, uint32_t address, size_t bytes) {
  uint8_t all[sizeof(Port)] = {};
  for (size_t b = 0; b < bytes && address + b < dram.size(); b++) all[b] = dram[address + b];
  std::memcpy(&port, all, sizeof port);
}

bool read_word(int64_t& word) { return std::fread(&word, sizeof word, 1, stdin) == 1; }

}  // namespace

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  Vgenesys top;
  int64_t program, most, latency, seed, first, count, size, given;
  for (int64_t* word : {&program, &most, &latency, &seed, &first, &count, &size, &given})
    if (!read_word(*word)) return 2;
  dram.resize(size);
  if (std::fread(dram.data(), 1, given, stdin) != static_cast<size_t>(given)) return 2;
  state = seed;
  pauses = seed != 0;

  std::deque<Answer> instructions, data;
  int64_t cycle = -2, busy[3] = {}, fetched = 0, written = 0;
  top.start = 0;
  top.program_address = program;
  for (;; cycle++) {
    if (cycle == most) {
      std::fprintf(stderr, "not done after %lld cycles\n", static_cast<long long>(most));
      return 1;
    }
    top.reset = cycle < 0;
    top.start = cycle == 0;
    top.fetch_ready = coin();
    top.read_ready = coin();
    top.out_ready = coin();
    top.fetched_valid = !instructions.empty() && instructions.front().cycle <= cycle && coin();
    if (top.fetched_valid) get(top.fetched, instructions.front().address, 8);
    top.in_valid = !data.empty() && data.front().cycle <= cycle && coin();
    top.in_last = top.in_valid && data.front().last;
    if (top.in_valid) get(top.in, data.front().address, PORT_BYTES);
    top.clk = 0;
    top.eval();
    if (cycle >= 0) {
      if (top.done) break;
      if (top.fetched_valid) instructions.pop_front(), fetched++;
      if (top.in_valid) data.pop_front();
      if (top.fetch_valid && top.fetch_ready) instructions.push_back({cycle + latency, top.fetch_address, false});
      if (top.read_valid && top.read_ready)
        data.push_back({cycle + latency, top.read_address, static_cast<bool>(top.read_last)});
      if (top.out_valid && top.out_ready) {
        if (top.out_address + uint64_t{OUT_BYTES} > dram.size()) {
          std::fprintf(stderr, "wrote beyond DRAM, at %u\n", top.out_address);
          return 1;
        }
        std::memcpy(&dram[top.out_address], &top.out, OUT_BYTES);
        written++;
      }
      for (int unit = 0; unit < 3; unit++) busy[unit] += top.busy >> unit & 1;
    }
    top.clk = 1;
    top.eval();
  }
  for (int64_t word : {cycle, busy[0], busy[1], busy[2], fetched, written}) std::fwrite(&word, sizeof word, 1, stdout);
  std::fwrite(&dram[first], 1, count, stdout);
  return 0;
}
