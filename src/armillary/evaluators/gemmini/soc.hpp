// Plays the memory of a system on chip: one server for all requests, a last-level cache, DRAM with open rows behind it.
//
// The server takes reads and writes in the order in which they come, one after another. A request keeps it busy for its
// beats, and for every cache line that moves between the cache and DRAM on its account. The cache is write-back and
// fills a line that is written to; of a set it replaces the line that was used least recently.
// It keeps time only; the bytes stay with the caller. Nothing here depends on Verilator.
// evaluators/gemmini/soc.py writes the parameters in this order.
#ifndef ARMILLARY_SOC_HPP
#define ARMILLARY_SOC_HPP

#include <algorithm>
#include <cstdint>
#include <vector>

struct SocParameters {
  int64_t kind;  // 2, where those of dram.hpp are 0 and 1
  int64_t beat_bytes;
  int64_t ways, line_bytes, sets;               // of the cache
  int64_t row_bytes, banks;                     // of DRAM; rows lie in its banks in turn
  int64_t beat_time, row_hit_time, row_miss_time;  // 1/1024 cycles of the server, per beat and per line
};

class Soc {
 public:
  // Times are 1/1024 cycles from the start.
  static constexpr int64_t kCycle = 1024;
  static constexpr int64_t kKind = 2;

  explicit Soc(const SocParameters& parameters)
      : p_(parameters),
        lines_(parameters.ways * parameters.sets, Line{kNone, 0, false}),
        open_(parameters.banks, kNone) {}

  // Serves a request that comes now, after all before it, and returns when its first beat may move.
  int64_t serve(int64_t now, int64_t address, int64_t bytes, bool write) {
    int64_t start = std::max(free_at_, now);
    for (int64_t line = address / p_.line_bytes; line <= (address + bytes - 1) / p_.line_bytes; line++)
      start += use(line, write);
    free_at_ = start + (bytes + p_.beat_bytes - 1) / p_.beat_bytes * p_.beat_time;
    return start;
  }

  // From one beat of so many bytes to the next.
  int64_t pace(int64_t bytes) const { return bytes * p_.beat_time / p_.beat_bytes; }

 private:
  static constexpr int64_t kNone = -1;

  struct Line {
    int64_t number, used;
    bool dirty;
  };

  // Has a line in the cache, and returns the time for which DRAM is at work on that.
  int64_t use(int64_t number, bool write) {
    Line* const first = &lines_[number % p_.sets * p_.ways];
    Line* const last = first + p_.ways;
    Line* line = std::find_if(first, last, [number](const Line& other) { return other.number == number; });
    int64_t time = 0;
    if (line == last) {
      line = std::min_element(first, last, [](const Line& a, const Line& b) { return a.used < b.used; });
      time = move(number);
      if (line->dirty) time += move(line->number);
      line->number = number;
      line->dirty = false;
    }
    line->used = ++uses_;
    line->dirty |= write;
    return time;
  }

  // Moves a line from or to DRAM.
  int64_t move(int64_t number) {
    const int64_t row = number * p_.line_bytes / p_.row_bytes;
    int64_t& open = open_[row % p_.banks];
    const bool hit = open == row;
    open = row;
    return hit ? p_.row_hit_time : p_.row_miss_time;
  }

  const SocParameters p_;
  std::vector<Line> lines_;
  std::vector<int64_t> open_;  // row of each bank
  int64_t uses_ = 0, free_at_ = 0;
};

#endif
