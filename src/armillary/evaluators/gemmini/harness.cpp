// Runs jobs on the simulated accelerator: plays the DRAM behind the port, counts cycles by what the array waits for.
//
// A job file holds 64-bit integers, those of `Job` in their order and of `DramParameters` or `SocParameters`, which begin
// with their kind; then the commands' words and the DRAM's first bytes. dram.hpp and soc.hpp stand before this file.
// Arguments are job files, and Verilator's own options, which begin with +.
// JOB.out holds status, counters, the elaborated parameters, the DRAM's counters, the number of events, events, DRAM.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "Vcore.h"
#include "Vcore___024root.h"
#include "verilated.h"
#ifdef TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#endif
#ifdef TRACE_SAIF
#include "verilated_saif_c.h"
using Trace = VerilatedSaifC;
#endif

// What Vcore::eval() calls. Around it, eval() locks and unlocks queues of messages and of deleted objects, of
// which a design without threads and classes has none: a tenth of the time.
void Vcore___024root___eval(Vcore___024root* root);
// Its last two parts, which newer Verilators have: what the clock does. The first part follows the inputs; while those
// stay as they are, it changes nothing: another tenth.
bool Vcore___024root___eval_phase__act(Vcore___024root* root) __attribute__((weak));
bool Vcore___024root___eval_phase__nba(Vcore___024root* root) __attribute__((weak));

namespace {
int64_t model_calls;  // of the C++ models, which keep a state of their own
}  // namespace

#ifdef MODEL
#include "svdpi.h"
namespace {
// Rows on their way through the conversion, which holds nine at most.
int32_t rows_to_convert[16][DIM];
unsigned taken, given;

int8_t converted(int32_t sum, bool floating, uint32_t scale, int shift, int8_t low, int8_t high) {
  if (!floating) {
    const int64_t rounded = (sum * int64_t(scale & 0xffff) + int64_t(uint64_t{1} << shift >> 1)) >> shift;
    return std::clamp<int64_t>(rounded, low, high);
  }
  float factor;
  std::memcpy(&factor, &scale, sizeof factor);
  return std::clamp<float>(std::nearbyint(float(sum) * factor), low, high);
}
}  // namespace

extern "C" void convert_take(const svBitVecVal* sums) {
  model_calls++;
  std::memcpy(rows_to_convert[taken++ % 16], sums, sizeof rows_to_convert[0]);
}

extern "C" void convert_give(svBit floating, const svBitVecVal* scale, char shift, char low, char high, svBitVecVal* bytes) {
  model_calls++;
  int8_t out[DIM];
  for (int d = 0; d < DIM; d++) out[d] = converted(rows_to_convert[given % 16][d], floating, *scale, shift, low, high);
  given++;
  std::memcpy(bytes, out, DIM);
}

namespace {
// Rows of sums on their way through the array: the hardware says when each comes out.
constexpr int kRows = 4 * DIM;
int32_t rows_of_sums[kRows][DIM];
int row_in, row_out;
}  // namespace

extern "C" void array_sums(svBitVecVal* sums) {
  model_calls++;
  std::memcpy(sums, rows_of_sums[row_out], sizeof rows_of_sums[0]);
  row_out = (row_out + 1) % kRows;
}

namespace {
// Of the array that holds weights.
// Sums of products of bytes are exact in floating point, and four times as fast.
int8_t next_weights[DIM][DIM];
float weights[DIM][DIM];
int arrived;
}  // namespace

extern "C" void array_weights(svBit first, const svBitVecVal* row) {
  model_calls++;
  if (first) arrived = 0;
  std::memcpy(next_weights[arrived++], row, DIM);
}

extern "C" void array_multiply(svBit begins, const svBitVecVal* row) {
  model_calls++;
  if (begins)
    for (int r = 0; r < DIM; r++)
      for (int c = 0; c < DIM; c++) weights[r][c] = next_weights[r][c];
  int8_t in[DIM];
  float out[DIM] = {0};
  std::memcpy(in, row, DIM);
  for (int r = 0; r < DIM; r++)
    for (int c = 0; c < DIM; c++) out[c] += in[r] * weights[r][c];
  for (int c = 0; c < DIM; c++) rows_of_sums[row_in][c] = static_cast<int32_t>(out[c]);
  row_in = (row_in + 1) % kRows;
}

namespace {
// Of the array that holds sums.
int32_t sums_of[DIM][DIM], results[DIM][DIM];
int asked;
}  // namespace

extern "C" void array_outer(svBit begins, const svBitVecVal* column, const svBitVecVal* weights) {
  model_calls++;
  if (begins) {
    std::memcpy(results, sums_of, sizeof results);
    std::memset(sums_of, 0, sizeof sums_of);
  }
  int8_t in[DIM], by[DIM];
  std::memcpy(in, column, DIM);
  std::memcpy(by, weights, DIM);
  for (int r = 0; r < DIM; r++)
    for (int c = 0; c < DIM; c++) sums_of[r][c] += in[r] * by[c];
}

extern "C" void array_result(svBit first) {
  model_calls++;
  if (first) asked = 0;
  std::memcpy(rows_of_sums[row_in], results[asked++], sizeof results[0]);
  row_in = (row_in + 1) % kRows;
}
#endif

namespace {

constexpr int64_t kMagic = 0x4152544c31;
enum Counter { kCycles, kIssued, kDram, kBank, kAccumulator, kDependency, kCommand, kReadBytes, kWrittenBytes, kCommandBytes, kCounters };

struct Burst {
  uint32_t address;  // of the next beat
  int beats;         // still to come
  int64_t due;       // when the next beat may move, in 1/1024 cycles, but where the timed DRAM says so
  int64_t pace;      // from that to the one after, likewise
  uint64_t tag;      // of the timed one
  uint32_t done;     // bytes that have gone
};

struct Job {
  int64_t commands;         // words
  int64_t program_address;  // of the first one in DRAM
  int64_t dram_bytes;
  int64_t given;  // bytes of DRAM that the file holds
  int64_t burst_rows, outstanding, queue_depth, scratchpad_banks, accumulator_banks, least_run;  // straps
  int64_t latency;       // cycles, of a read's first beat and of a write's answer
  int64_t bandwidth;     // 1/1024 bytes per cycle
  int64_t backpressure;  // 0: none; else a seed: every channel is held up at random, and reads of both ids mix
  int64_t most_cycles, wants_dram, wants_events;
};

// Random bits; a linear congruential generator will do.
struct Coin {
  uint64_t state;
  bool toss() {
    if (state == 0) return true;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 63;
  }
};

template <class Port>
uint8_t* bytes_of(Port& port) {
  return reinterpret_cast<uint8_t*>(&port);
}

// What keeps the array from work in a cycle in which nothing enters it.
Counter cause(const Vcore& top) {
  if (top.conflicts) return kBank;
  if (top.has_next && (top.blockers & 1)) return kDram;
  if (top.has_next && (top.blockers & 4)) return kAccumulator;
  if (top.has_next || top.computes) return kDependency;
  if (top.ended || (top.stuck & 1)) return kDram;
  if (top.stuck & 4) return kAccumulator;
  return kCommand;
}

#if !defined(TRACE_FST) && !defined(TRACE_SAIF)
// Finds out when the hardware stands still, so that its next cycles need no simulation.
//
// Its state is all that the model holds: registers, wires, memories, and what the C++ models keep. Where the inputs stay
// as they are and two cycles in a row change nothing but, maybe, words of memories, all later ones are the same: the
// second wrote what the first had written, so that the third would begin as the second did. Calls of the C++ models
// count as change. Looking costs a part of a cycle, so after each vain look more cycles pass before the next.
class Stillness {
 public:
  explicit Stillness(const Vcore___024root& root) {
    const char* first = reinterpret_cast<const char*>(&root);
    std::vector<std::pair<const char*, size_t>> memories = {
#define MEMORY(name) {reinterpret_cast<const char*>(&root.name), sizeof root.name},
#include "memories.h"
    };
    std::sort(memories.begin(), memories.end());
    memories.push_back({first + sizeof root, 0});
    for (const auto& [begin, bytes] : memories) {
      if (begin > first) parts_.push_back({first, size_t(begin - first)}), bytes_ += begin - first;
      first = begin + bytes;
    }
    copy_.resize(bytes_);
  }

  bool still() const { return same_ == 2; }
  void stir() { same_ = kUnknown; }

  // After a cycle in which the inputs were those of the cycle before.
  void look() {
    if (same_ == kUnknown) {
      if (--patience_ > 0) return;
      remember();
    } else if (is_same()) {
      same_++;
      pause_ = 1;
    } else {
      same_ = kUnknown;
      patience_ = pause_ = std::min(2 * pause_, kLongest);
    }
  }

 private:
  static constexpr int kUnknown = -1, kLongest = 16;

  void remember() {
    char* to = copy_.data();
    for (const auto& [from, bytes] : parts_) std::memcpy(to, from, bytes), to += bytes;
    calls_ = model_calls;
    same_ = 0;
  }

  bool is_same() const {
    if (calls_ != model_calls) return false;
    const char* old = copy_.data();
    for (const auto& [now, bytes] : parts_) {
      if (std::memcmp(old, now, bytes)) return false;
      old += bytes;
    }
    return true;
  }

  std::vector<std::pair<const char*, size_t>> parts_;  // of the model, between its memories
  size_t bytes_ = 0;
  std::vector<char> copy_;
  int64_t calls_ = 0;
  int same_ = kUnknown;  // cycles in a row that changed nothing, 2 at most
  int patience_ = 1, pause_ = 1;
};
#endif

struct Simulation {
  VerilatedContext context;
  Vcore top;
#if defined(TRACE_FST) || defined(TRACE_SAIF)
  Trace trace;
#else
  Stillness stillness{*top.rootp};
#endif
  bool stirred = false;  // an input has changed since the falling edge before

  // Verilator's own options are read before the model is made, whose first values they decide.
  Simulation(int argc, char** argv) : top{(context.commandArgs(argc, argv), &context)} {}

  template <class Port>
  void set(Port& port, Port value) {
    if (port == value) return;
    port = value;
    stirred = true;
  }

  void set_data(const uint8_t* beat) {
    if (std::memcmp(bytes_of(top.rdata), beat, BUS_BYTES) == 0) return;
    std::memcpy(bytes_of(top.rdata), beat, BUS_BYTES);
    stirred = true;
  }

  void half(int clk) {
    top.clk = clk;
#if defined(TRACE_FST) || defined(TRACE_SAIF)
    top.eval();
    trace.dump(context.time());
    context.timeInc(1);
#else
    if (Vcore___024root___eval_phase__act && Vcore___024root___eval_phase__nba && (clk || !stirred)) {
      Vcore___024root___eval_phase__act(top.rootp);
      if (clk) Vcore___024root___eval_phase__nba(top.rootp);
    } else {
      Vcore___024root___eval(top.rootp);
    }
#endif
  }

  // The outputs of a cycle are those between its two halves.
  void first_half() {
#if !defined(TRACE_FST) && !defined(TRACE_SAIF)
    if (stirred) stillness.stir();
    if (stillness.still()) return;
#endif
    half(0);
  }

  void second_half() {
#if !defined(TRACE_FST) && !defined(TRACE_SAIF)
    if (stillness.still()) return;
    half(1);
    if (!stirred && !top.issues) stillness.look();
#else
    half(1);
#endif
    stirred = false;
  }

  // Whether a burst is one that AXI4 allows and lies within the DRAM.
  static bool is_legal(uint32_t address, int beats, int64_t bytes) {
    const int64_t end = int64_t{address} + int64_t{beats} * BUS_BYTES;
    return address % BUS_BYTES == 0 && address / 4096 == (end - 1) / 4096 && end <= bytes;
  }

  enum Status { kDone, kTooLong, kOutside, kFault };

  // Plays the timed DRAM or the system's memory, if given, else a fixed latency and bandwidth.
  Status run(const Job& job, Dram* timed, Soc* soc, std::vector<uint8_t>& dram, int64_t* counters, std::vector<int64_t>& events) {
    const int beat = BUS_BYTES;
    std::deque<Burst> asked[2], written, answers;
    const int64_t cost = int64_t{beat} << 10, most = 2 * cost;
    const bool fixed = !timed && !soc;
    int64_t credit = 0;  // of the fixed bandwidth, for reads and writes together
    bool writes_turn = false;
    int turn = 0;  // id of the read that is under way; reads of both ids go beat by beat if they mix
    Coin coin{uint64_t(job.backpressure)};
    const bool mixes = job.backpressure != 0;
    top.reset = 1;
    top.program_address = job.program_address;
    top.burst_rows = job.burst_rows;
    top.outstanding = job.outstanding;
    top.queue_depth = job.queue_depth;
    top.scratchpad_banks = job.scratchpad_banks;
    top.accumulator_banks = job.accumulator_banks;
    top.least_run = job.least_run;
    top.arready = top.rvalid = top.awready = top.wready = top.bvalid = 0;
    top.rresp = top.bresp = top.bid = 0;
    top.eval();
    for (int i = 0; i < 4; i++) half(0), half(1);
    top.reset = 0;
    int64_t now = 0;
    uint64_t tag = 0;
    bool reading = false;  // a beat has been offered and not taken
    // Whether a read's next beat may be offered, and whether a write's next beat may be taken.
    auto may_read = [&](const Burst& burst) {
      return timed ? timed->arrived(burst.tag) >= burst.done + beat : burst.due <= now * Soc::kCycle;
    };
    auto may_write = [&](const Burst& burst) {
      // The timed DRAM takes a burst once all of it is there.
      if (timed) return burst.beats > 1 || timed->can_take(true, burst.address - burst.done);
      return burst.due <= now * Soc::kCycle;
    };
    // A burst that is asked for now. The system's memory serves tensors; commands do not wait for it.
    auto burst_of = [&](uint32_t address, int beats, bool tensor, bool write) {
      const int64_t time = now * Soc::kCycle;
      if (!soc || !tensor) return Burst{address, beats, time, 0, tag++, 0};
      return Burst{address, beats, soc->serve(time, address, beats * beat, write), soc->pace(beat), tag++, 0};
    };
    for (; !top.done; now++) {
      if (now >= job.most_cycles) return kTooLong;
      if (top.fault) return kFault;
      // All outputs follow from the state alone, so what the accelerator takes is known before its inputs are set.
      credit = fixed ? std::min(credit + job.bandwidth, most) : most;
      set(top.arready, CData(coin.toss() && (!timed || timed->can_take(false, top.araddr))));
      if (top.arvalid && top.arready) {
        if (!is_legal(top.araddr, top.arlen + 1, job.dram_bytes)) return kOutside;
        Burst burst = burst_of(top.araddr, top.arlen + 1, top.arid == 0, false);
        burst.due += job.latency * Soc::kCycle;
        if (timed) timed->read(burst.address, burst.beats * beat, burst.tag);
        asked[top.arid].push_back(burst);
      }
      set(top.awready, CData(coin.toss()));
      if (top.awvalid && top.awready) {
        if (!is_legal(top.awaddr, top.awlen + 1, job.dram_bytes)) return kOutside;
        written.push_back(burst_of(top.awaddr, top.awlen + 1, true, true));
      }
      if (!reading) {
        auto is_due = [&](int id) { return !asked[id].empty() && may_read(asked[id].front()); };
        const bool other_first = is_due(1 - turn) && (!is_due(turn) || asked[1 - turn].front().due < asked[turn].front().due);
        if (mixes && is_due(0) && is_due(1) ? coin.toss() : other_first) turn = 1 - turn;
        reading = is_due(turn) && coin.toss();
      }
      const bool read_taken = turn == 1 || top.takes_rows;
      const bool wants_to_write = top.wvalid && !written.empty() && may_write(written.front());
      // With backpressure, a beat that is offered stays so until it is taken. A repeated row is taken after its last use.
      const bool reads = reading && read_taken && (mixes || !fixed || (credit >= cost && !(writes_turn && wants_to_write)));
      const bool writes = credit >= cost && wants_to_write && (!fixed || !reads) && coin.toss();
      set(top.rvalid, CData(mixes ? reading : reads || (reading && !read_taken)));
      set(top.rid, CData(turn));
      set(top.wready, CData(writes));
      if (top.rvalid) set_data(&dram[asked[turn].front().address]);
      if (reads) {
        Burst& first = asked[turn].front();
        first.address += beat;
        first.done += beat;
        first.due += first.pace;
        set(top.rlast, CData(--first.beats == 0));
        if (top.rlast) {
          if (timed) timed->forget(first.tag);
          asked[turn].pop_front();
        }
        counters[turn == 0 ? kReadBytes : kCommandBytes] += beat;
        reading = false;
      }
      set(top.bvalid, CData(!answers.empty() && coin.toss() &&
          (timed ? timed->written(answers.front().tag) : answers.front().due <= now * Soc::kCycle)));
      if (top.bvalid) {
        if (timed) timed->forget(answers.front().tag);
        answers.pop_front();
      }
      if (writes) {
        Burst& first = written.front();
        if (top.wlast != (first.beats == 1)) return kOutside;
        std::memcpy(&dram[first.address], bytes_of(top.wdata), beat);
        first.address += beat;
        first.done += beat;
        first.due += first.pace;
        if (--first.beats == 0) {
          if (timed) timed->write(first.address - first.done, first.done, first.tag);
          answers.push_back({0, 0, (now + 1 + job.latency) * Soc::kCycle, 0, first.tag, 0});
          written.pop_front();
        }
        counters[kWrittenBytes] += beat;
      }
      if (reads || writes) credit -= cost, writes_turn = reads;
      if (timed) timed->tick();
      first_half();
      counters[top.issues ? kIssued : cause(top)]++;
      if (job.wants_events && (top.starts || top.finishes))
        for (int unit = 0; unit < 3; unit++) {
          if (top.starts >> unit & 1) events.insert(events.end(), {now, unit, 0});
          if (top.finishes >> unit & 1) events.insert(events.end(), {now, unit, 1});
        }
      second_half();
    }
    counters[kCycles] = now;
    return kDone;
  }
};

void need(bool ok, const char* what, const char* path) {
  if (ok) return;
  std::fprintf(stderr, "%s: %s\n", path, what);
  std::exit(1);
}

union Memory {
  int64_t kind;  // the first member of both
  DramParameters dram;
  SocParameters soc;
};

void run_job(const char* path, const char* trace_path, int argc, char** argv) {
  std::FILE* in = std::fopen(path, "rb");
  need(in, "cannot be read", path);
  int64_t magic = 0;
  Job job;
  need(std::fread(&magic, 8, 1, in) == 1 && magic == kMagic, "is not a job", path);
  need(std::fread(&job, sizeof job, 1, in) == 1, "is cut short", path);
  Memory memory;
  need(std::fread(&memory.kind, sizeof memory.kind, 1, in) == 1, "is cut short", path);
  const bool is_soc = memory.kind == Soc::kKind;
  std::fseek(in, -long{sizeof memory.kind}, SEEK_CUR);
  const size_t bytes = is_soc ? sizeof memory.soc : sizeof memory.dram;
  need(std::fread(&memory, 1, bytes, in) == bytes, "is cut short", path);
  std::vector<uint8_t> dram(job.dram_bytes), commands(8 * job.commands);
  need(std::fread(commands.data(), 8, job.commands, in) == size_t(job.commands), "is cut short", path);
  need(std::fread(dram.data(), 1, job.given, in) == size_t(job.given), "is cut short", path);
  need(job.program_address + int64_t(commands.size()) <= job.dram_bytes, "has commands beyond its DRAM", path);
  std::memcpy(&dram[job.program_address], commands.data(), commands.size());
  std::fclose(in);

  Simulation simulation(argc, argv);
#if defined(TRACE_FST) || defined(TRACE_SAIF)
  simulation.context.traceEverOn(true);
  simulation.top.trace(&simulation.trace, 99);
  simulation.trace.open(trace_path);
#else
  (void)trace_path;
#endif
  int64_t counters[kCounters] = {0};
  std::vector<int64_t> events;
  Dram timed(is_soc ? DramParameters{} : memory.dram);
  Soc soc(is_soc ? memory.soc : SocParameters{});
  const bool is_timed = !is_soc && memory.kind != 0;
  const int64_t status =
      simulation.run(job, is_timed ? &timed : nullptr, is_soc ? &soc : nullptr, dram, counters, events);
  simulation.top.final();
#if defined(TRACE_FST) || defined(TRACE_SAIF)
  simulation.trace.close();
#endif

  const std::string out_path = std::string(path) + ".out";
  std::FILE* out = std::fopen(out_path.c_str(), "wb");
  need(out, "cannot be written", out_path.c_str());
  int64_t elaborated[13];
  for (int i = 0; i < 13; i++) elaborated[i] = simulation.top.elaborated[i];
  const int64_t events_n = int64_t(events.size() / 3);
  bool ok = std::fwrite(&status, 8, 1, out) == 1 && std::fwrite(counters, 8, kCounters, out) == kCounters;
  ok = ok && std::fwrite(elaborated, 8, 13, out) == 13 && std::fwrite(&timed.counters(), sizeof(DramCounters), 1, out) == 1;
  ok = ok && std::fwrite(&events_n, 8, 1, out) == 1;
  ok = ok && std::fwrite(events.data(), 8, events.size(), out) == events.size();
  if (job.wants_dram) ok = ok && std::fwrite(dram.data(), 1, dram.size(), out) == dram.size();
  need(std::fclose(out) == 0 && ok, "cannot be written", out_path.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++)
    if (argv[i][0] != '+') run_job(argv[i], std::getenv("ARMILLARY_TRACE"), argc, argv);
  return 0;
}
