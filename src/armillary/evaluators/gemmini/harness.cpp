// Runs jobs on the simulated accelerator: feeds commands, plays the DRAM, counts cycles by what the array waits for.
//
// A job file holds 64-bit integers: commands, bytes of DRAM, bytes of DRAM given, latency in cycles, 1/1024 bytes per
// cycle, most cycles, whether the DRAM and the events are wanted; then the commands' words and the DRAM's first bytes.
// Arguments are job files, and Verilator's own options, which begin with +.
// JOB.out holds status, counters, the elaborated parameters, the number of events, events, DRAM.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "Vaccelerator.h"
#include "Vaccelerator___024root.h"
#include "verilated.h"
#ifdef TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#endif
#ifdef TRACE_SAIF
#include "verilated_saif_c.h"
using Trace = VerilatedSaifC;
#endif

// What Vaccelerator::eval() calls. Around it, eval() locks and unlocks queues of messages and of deleted objects, of
// which a design without threads and classes has none: a tenth of the time.
void Vaccelerator___024root___eval(Vaccelerator___024root* root);
// Its last two parts, which newer Verilators have: what the clock does. The first part follows the inputs, which do not
// change between the falling and the rising edge: another tenth.
bool Vaccelerator___024root___eval_phase__act(Vaccelerator___024root* root) __attribute__((weak));
bool Vaccelerator___024root___eval_phase__nba(Vaccelerator___024root* root) __attribute__((weak));

#if defined(MODEL_WEIGHT_STATIONARY) || defined(MODEL_OUTPUT_STATIONARY)
#include "svdpi.h"
namespace {
// Rows of sums on their way through the array: the hardware says when each comes out.
constexpr int kRows = 4 * DIM;
int32_t rows_of_sums[kRows][DIM];
int row_in, row_out;
}  // namespace

extern "C" void array_sums(svBitVecVal* sums) {
  std::memcpy(sums, rows_of_sums[row_out], sizeof rows_of_sums[0]);
  row_out = (row_out + 1) % kRows;
}
#endif

#if defined(MODEL_WEIGHT_STATIONARY)
namespace {
// Sums of products of bytes are exact in floating point, and four times as fast.
int8_t next_weights[DIM][DIM];
float weights[DIM][DIM];
int arrived;
}  // namespace

extern "C" void array_weights(svBit first, const svBitVecVal* row) {
  if (first) arrived = 0;
  std::memcpy(next_weights[arrived++], row, DIM);
}

extern "C" void array_multiply(svBit begins, const svBitVecVal* row) {
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
#elif defined(MODEL_OUTPUT_STATIONARY)
namespace {
int32_t sums_of[DIM][DIM], results[DIM][DIM];
int asked;
}  // namespace

extern "C" void array_outer(svBit begins, const svBitVecVal* column, const svBitVecVal* weights) {
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
  if (first) asked = 0;
  std::memcpy(rows_of_sums[row_in], results[asked++], sizeof results[0]);
  row_in = (row_in + 1) % kRows;
}
#endif

namespace {

constexpr int64_t kMagic = 0x4152544c31;
enum Counter { kCycles, kIssued, kDram, kBank, kAccumulator, kDependency, kCommand, kReadBytes, kWrittenBytes, kCounters };

struct Request {
  uint32_t address;
  int beats;
  int64_t due;
};

struct Job {
  int64_t commands, dram_bytes, given, latency, bandwidth, most_cycles, wants_dram, wants_events;
};

template <class Port>
uint8_t* bytes_of(Port& port) {
  return reinterpret_cast<uint8_t*>(&port);
}

// What keeps the array from work in a cycle in which nothing enters it.
Counter cause(const Vaccelerator& top) {
  if (top.conflicts) return kBank;
  if (top.has_next && (top.blockers & 1)) return kDram;
  if (top.has_next && (top.blockers & 4)) return kAccumulator;
  if (top.has_next || top.computes) return kDependency;
  if (top.ended || (top.stuck & 1)) return kDram;
  if (top.stuck & 4) return kAccumulator;
  return kCommand;
}

struct Simulation {
  VerilatedContext context;
  Vaccelerator top;
#if defined(TRACE_FST) || defined(TRACE_SAIF)
  Trace trace;
#endif

  // Verilator's own options are read before the model is made, whose first values they decide.
  Simulation(int argc, char** argv) : top{(context.commandArgs(argc, argv), &context)} {}

  void half(int clk) {
    top.clk = clk;
#if defined(TRACE_FST) || defined(TRACE_SAIF)
    top.eval();
    trace.dump(context.time());
    context.timeInc(1);
#else
    if (clk && Vaccelerator___024root___eval_phase__act && Vaccelerator___024root___eval_phase__nba) {
      Vaccelerator___024root___eval_phase__act(top.rootp);
      Vaccelerator___024root___eval_phase__nba(top.rootp);
    } else {
      Vaccelerator___024root___eval(top.rootp);
    }
#endif
  }

  bool run(const Job& job, const std::vector<uint64_t>& commands, std::vector<uint8_t>& dram, int64_t* counters,
           std::vector<int64_t>& events) {
    const int beat = BUS_BYTES;
    std::deque<Request> asked;
    size_t next = 0;
    int64_t credit = 0;
    const int64_t cost = int64_t{beat} << 10, most = 2 * cost;
    bool writes_turn = false;
    top.reset = 1;
    top.command_valid = top.read_valid = top.write_ready = top.read_ready = 0;
    top.eval();
    for (int i = 0; i < 4; i++) half(0), half(1);
    top.reset = 0;
    int64_t now = 0;
    for (; !top.done; now++) {
      if (now >= job.most_cycles) break;
      // All outputs follow from the state alone, so what the accelerator takes is known before its inputs are set.
      credit = std::min(credit + job.bandwidth, most);
      const bool offers = !asked.empty() && asked.front().due <= now;
      const bool reads = credit >= cost && offers && top.read_taken && !(writes_turn && top.write_valid);
      const bool writes = credit >= cost && top.write_valid && !reads;
      top.command_valid = next < commands.size();
      if (top.command_valid) top.command = commands[next];
      next += top.command_valid && top.command_ready;
      top.read_ready = 1;
      if (top.read_request) asked.push_back({top.read_address, top.read_beats, now + job.latency});
      top.read_valid = reads;
      top.write_ready = writes;
      if (reads) {
        Request& first = asked.front();
        if (int64_t{first.address} + beat > job.dram_bytes) return false;
        std::memcpy(bytes_of(top.read_data), &dram[first.address], beat);
        first.address += beat;
        if (--first.beats == 0) asked.pop_front();
        counters[kReadBytes] += beat;
      }
      if (writes) {
        if (int64_t{top.write_address} + beat > job.dram_bytes) return false;
        std::memcpy(&dram[top.write_address], bytes_of(top.write_data), beat);
        counters[kWrittenBytes] += beat;
      }
      if (reads || writes) credit -= cost, writes_turn = reads;
      half(0);
      counters[top.issues ? kIssued : cause(top)]++;
      if (job.wants_events && (top.starts || top.finishes))
        for (int unit = 0; unit < 3; unit++) {
          if (top.starts >> unit & 1) events.insert(events.end(), {now, unit, 0});
          if (top.finishes >> unit & 1) events.insert(events.end(), {now, unit, 1});
        }
      half(1);
    }
    counters[kCycles] = now;
    return true;
  }
};

void need(bool ok, const char* what, const char* path) {
  if (ok) return;
  std::fprintf(stderr, "%s: %s\n", path, what);
  std::exit(1);
}

void run_job(const char* path, const char* trace_path, int argc, char** argv) {
  std::FILE* in = std::fopen(path, "rb");
  need(in, "cannot be read", path);
  int64_t magic = 0;
  Job job;
  need(std::fread(&magic, 8, 1, in) == 1 && magic == kMagic, "is not a job", path);
  need(std::fread(&job, sizeof job, 1, in) == 1, "is cut short", path);
  std::vector<uint64_t> commands(job.commands);
  std::vector<uint8_t> dram(job.dram_bytes);
  need(std::fread(commands.data(), 8, job.commands, in) == size_t(job.commands), "is cut short", path);
  need(std::fread(dram.data(), 1, job.given, in) == size_t(job.given), "is cut short", path);
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
  const bool sound = simulation.run(job, commands, dram, counters, events);
  simulation.top.final();
#if defined(TRACE_FST) || defined(TRACE_SAIF)
  simulation.trace.close();
#endif

  const std::string out_path = std::string(path) + ".out";
  std::FILE* out = std::fopen(out_path.c_str(), "wb");
  need(out, "cannot be written", out_path.c_str());
  const int64_t status = !sound ? 2 : simulation.top.done ? 0 : 1;
  int64_t elaborated[12];
  for (int i = 0; i < 12; i++) elaborated[i] = simulation.top.elaborated[i];
  const int64_t events_n = int64_t(events.size() / 3);
  bool ok = std::fwrite(&status, 8, 1, out) == 1 && std::fwrite(counters, 8, kCounters, out) == kCounters;
  ok = ok && std::fwrite(elaborated, 8, 12, out) == 12 && std::fwrite(&events_n, 8, 1, out) == 1;
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
