// Runs a program on an accelerator of the vta template and plays the DRAM behind its port.
//
// The DRAM takes every request at once and serves the bursts in the order of their requests, a beat every `pace` cycles,
// none before `latency` cycles after its request, whether it reads or writes.
//
// In, on standard input, 64-bit words: bytes of DRAM, latency, pace, most cycles, the program's address, a seed; then the
// DRAM. With a seed other than 0 beats come later at random. Out, on standard output: status, cycles, cycles in which a
// tile was multiplied, beats moved, of these beats of commands, the modules that wait; then the DRAM.
// Status: 0 done, 1 too many cycles, 2 deadlock, 3 a burst left the DRAM.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <vector>

#include "Vvta.h"
#include "verilated.h"

struct Burst {
  uint64_t address;
  int64_t beats, due;  // still to come; the first cycle of the first
  bool write;
  uint8_t client;
};

template <typename Port>
uint8_t* bytes_of(Port& port) {
  return reinterpret_cast<uint8_t*>(&port);
}

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  Vvta top;
  int64_t head[6];
  if (std::fread(head, sizeof head, 1, stdin) != 1) return 2;
  const auto [bytes, latency, pace, most, program, seed] = head;
  std::vector<uint8_t> dram(bytes);
  if (std::fread(dram.data(), 1, bytes, stdin) != size_t(bytes)) return 2;
  uint64_t random = seed;
  constexpr int kStill = 64;  // cycles without any work after which there will never be any

  top.request_taken = 1;
  top.read_beat = top.write_taken = 0;
  top.program_address = program;
  top.reset = 1;
  for (int level : {0, 1, 0, 1}) {
    top.clk = level;
    top.eval();
  }
  top.reset = 0;

  std::deque<Burst> bursts;
  int64_t status = 0, cycle = 0, multiplied = 0, moved = 0, fetched = 0, next_free = 0;
  int still = 0;
  for (;; cycle++) {
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    Burst* first = bursts.empty() ? nullptr : &bursts.front();
    const bool ready = first && cycle >= first->due && cycle >= next_free && !(random & 1);
    top.read_beat = ready && !first->write;
    top.write_taken = 0;
    if (top.read_beat) {
      top.read_client = first->client;
      std::memcpy(bytes_of(top.read_data), &dram[first->address], BUS);
    }
    top.clk = 0;
    top.eval();
    if (ready && first->write && top.write_beat) {
      top.write_taken = 1;
      top.eval();
      std::memcpy(&dram[first->address], bytes_of(top.write_data), BUS);
    }
    if (top.done) break;
    still = top.active || first || top.request ? 0 : still + 1;
    if (still == kStill) status = 2;
    if (cycle == most) status = 1;
    multiplied += top.multiplies;
    if (top.read_beat || top.write_taken) {
      moved++;
      fetched += first->client == 0;
      next_free = cycle + pace;
      first->address += BUS;
      if (--first->beats == 0) bursts.pop_front();
    }
    if (top.request) {
      const Burst burst = {top.request_address, top.request_length + 1, cycle + latency, bool(top.request_write),
                           uint8_t(top.request_client)};
      if (burst.address % BUS || burst.address + burst.beats * BUS > uint64_t(bytes)) status = 3;
      bursts.push_back(burst);
    }
    if (status) break;
    top.clk = 1;
    top.eval();
  }
  const int64_t out[] = {status, cycle, multiplied, moved, fetched, top.waits};
  std::fwrite(out, sizeof out, 1, stdout);
  std::fwrite(dram.data(), 1, bytes, stdout);
  return 0;
}
