// Plays the DRAM behind the accelerator's memory port: a fixed latency and bandwidth, or channels, banks and rows.
//
// The timed kind issues commands cycle by cycle as a controller with open pages does: row hits first, then oldest first
// (FR-FCFS, Rixner et al. 2000), writes collected and drained in turns, all banks of a channel refreshed together.
// It keeps time only; the bytes stay with the caller. Nothing here depends on Verilator.
// All times inside the timed kind are DRAM clocks. armillary/hardware/dram.py writes the parameters in this order.
#ifndef ARMILLARY_DRAM_HPP
#define ARMILLARY_DRAM_HPP

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

struct DramParameters {
  int64_t kind;         // 0: latency and bandwidth; 1: channels, banks, rows
  int64_t outstanding;  // most reads, and most writes, between being taken and being forgotten
  // Kind 0: accelerator cycles to the first beat, 1/1024 bytes per cycle for reads and writes together, bytes per beat.
  int64_t latency, bandwidth, beat_bytes;
  // Kind 1: DRAM clocks per accelerator cycle, as a fraction.
  int64_t clock_numerator, clock_denominator;
  // Banks in each bank group, rows in each bank, columns in each row; a column is what one burst moves.
  int64_t channels, bank_groups, banks, rows, columns, burst_bytes;
  // The address, in bursts, is cut into fields from the least significant: 0 channel, 1 bank group, 2 bank, 3 column,
  // 4 row.
  int64_t order[5];
  int64_t burst;                  // clocks for which a burst holds the data bus
  int64_t cl, cwl;                // column command to data
  int64_t rcd, rp, ras, rc;       // of one bank: activate, precharge
  int64_t rrd_s, rrd_l, faw;      // between activates of a channel, of a bank group; of any four
  int64_t ccd_s, ccd_l;           // between column commands of a channel, of a bank group
  int64_t wr, wtr_s, wtr_l, rtp;  // end of written data to precharge and to read; read to precharge
  int64_t rtw;                    // read command to write command
  int64_t refi, rfc;              // between refreshes (0: none), and how long one takes
  int64_t split_commands;         // 1: row and column commands have a bus each (HBM)
  int64_t controller;             // clocks through controller and pins, there and back
  // Of each channel, in bursts: room, and when writes begin to be drained and when they stop for waiting reads.
  int64_t read_queue, write_queue, drain_high, drain_low;
  int64_t age_cap;  // clocks after which the oldest burst goes before row hits
};

struct DramCounters {
  int64_t activates, precharges, reads, writes, refreshes;
  int64_t row_hits, row_misses, row_conflicts;  // bursts: row open, bank closed, another row open
  int64_t forwarded, merged;  // reads answered from, and writes merged into, the write queue
  int64_t open_clocks;        // DRAM clocks in which a channel has an open bank, summed over channels
};

// A command as it goes to the DRAM; the log of these is what a checker of timing reads.
struct DramCommand {
  enum Kind : int64_t { kActivate, kPrecharge, kRead, kWrite, kRefresh };
  int64_t clock, kind, channel, bank, row;
};

class Dram {
 public:
  explicit Dram(const DramParameters& parameters) : p_(parameters) {
    if (!timed()) return;
    channels_.resize(p_.channels);
    for (Channel& channel : channels_) {
      channel.banks.resize(p_.bank_groups * p_.banks);
      channel.groups.resize(p_.bank_groups);
      // All channels at once: a stream over all of them, answered in order, waits for each that stands still.
      channel.wake = channel.refresh_due = p_.refi ? p_.refi : kNever;
    }
    wake_ = channels_[0].wake;
  }

  // Whether there is room for one more request that begins at the address.
  bool can_take(bool write, uint64_t address) const {
    if (active_[write] >= p_.outstanding) return false;
    if (!timed()) return true;
    const Place place = place_of(address / p_.burst_bytes);
    return int64_t(channels_[place.channel].queue[write].size()) < room(write);
  }

  // Bytes within one AXI burst: at most 4 KiB, in one 4 KiB page. The tag is the caller's, below 2**64 - 1, and in use
  // once at a time.
  void read(uint64_t address, uint32_t bytes, uint64_t tag) { take(false, address, bytes, tag); }
  void write(uint64_t address, uint32_t bytes, uint64_t tag) { take(true, address, bytes, tag); }

  // One cycle of the accelerator.
  void tick() {
    if (!timed()) return tick_simple();
    phase_ += p_.clock_numerator;
    while (phase_ >= p_.clock_denominator) {
      phase_ -= p_.clock_denominator;
      if (!waiting_[1].empty()) admit(true);
      if (!waiting_[0].empty()) admit(false);
      if (now_ >= wake_) clock();
      now_++;
    }
  }

  // Bytes of a read that are here, counted from its start.
  uint32_t arrived(uint64_t tag) const {
    const Transfer& transfer = transfers_[slot_of(tag)];
    while (transfer.ready < transfer.done.size() && transfer.done[transfer.ready] <= now_) transfer.ready++;
    return bytes_in(transfer, transfer.ready);
  }

  // Whether a write may be answered: whatever is read from now on sees it.
  bool written(uint64_t tag) const {
    const Transfer& transfer = transfers_[slot_of(tag)];
    return arrived(tag) == transfer.bytes;
  }

  // Gives up the tag of a read that has arrived or a write that is written.
  void forget(uint64_t tag) {
    const size_t slot = slot_of(tag);
    active_[transfers_[slot].write]--;
    tags_[slot] = kFree;
    free_.push_back(slot);
  }

  const DramCounters& counters() const {
    reported_ = counters_;
    for (const Channel& channel : channels_)
      if (channel.open) reported_.open_clocks += now_ - channel.open_since;
    return reported_;
  }

  // From now on, appends each command to the log.
  void record(std::vector<DramCommand>& log) { log_ = &log; }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  static constexpr uint64_t kFree = std::numeric_limits<uint64_t>::max();

  struct Place {
    int64_t channel, bank, row;
  };

  // A request of the accelerator, in pieces: bursts, or beats of kind 0.
  struct Transfer {
    bool write;
    uint64_t address;
    uint32_t bytes;
    std::vector<int64_t> done;   // when each piece is here or safe; kNever while that is open
    mutable size_t ready;        // pieces done, from the start
    size_t admitted;             // pieces in the queues
    int64_t due;                 // kind 0: cycle of the first piece
  };

  // A piece in a channel's queue.
  struct Burst {
    int32_t group, bank, row;  // the bank counts within the channel
    int64_t arrival;
    uint64_t burst;  // address in bursts
    size_t slot, piece;
    bool activated, precharged;  // what it needed so far
  };

  // Places in the queue of what could be done next.
  struct Wishes {
    size_t column = kNone;
    int rows = 0;
    size_t row[64];
  };

  struct Bank {
    int64_t row = -1, activate = 0, precharge = 0, column = 0;  // earliest clocks
  };

  // Earliest clocks of a channel's, or a bank group's, next commands.
  struct Spacing {
    int64_t activate = 0, read = 0, write = 0;
  };

  struct Channel {
    std::vector<Bank> banks;
    std::vector<Spacing> groups;
    Spacing all;
    std::vector<Burst> queue[2];  // reads, writes; oldest first
    int64_t four[4] = {-(1 << 30), -(1 << 30), -(1 << 30), -(1 << 30)};  // last activates, the oldest at `fourth`
    int fourth = 0;
    bool draining = false;
    int64_t turn = 0;  // bursts before the other direction may ask for its turn
    int64_t refresh_due = kNever, wake = kNever, open_since = 0;
    int open = 0;  // banks
  };

  bool timed() const { return p_.kind != 0; }
  int64_t room(bool write) const { return write ? p_.write_queue : p_.read_queue; }
  uint64_t piece_bytes() const { return timed() ? p_.burst_bytes : p_.beat_bytes; }

  Place place_of(uint64_t burst) const {
    const int64_t sizes[5] = {p_.channels, p_.bank_groups, p_.banks, p_.columns, p_.rows};
    int64_t parts[5];
    for (int64_t field : p_.order) {
      parts[field] = burst % sizes[field];
      burst /= sizes[field];
    }
    return {parts[0], parts[1] * p_.banks + parts[2], parts[4]};
  }

  size_t slot_of(uint64_t tag) const {
    for (size_t step = 0; step < tags_.size(); step++) {
      if (tags_[last_] == tag) return last_;
      last_ = last_ + 1 < tags_.size() ? last_ + 1 : 0;
    }
    assert(!"a tag in use");
    return 0;
  }

  // Bytes in the first pieces: the first one may begin in the middle, the last one end there.
  uint32_t bytes_in(const Transfer& transfer, size_t pieces) const {
    if (pieces == 0) return 0;
    const uint64_t end = (transfer.address / piece_bytes() + pieces) * piece_bytes() - transfer.address;
    return std::min<uint64_t>(end, transfer.bytes);
  }

  void take(bool write, uint64_t address, uint32_t bytes, uint64_t tag) {
    if (free_.empty()) {
      free_.push_back(transfers_.size());
      transfers_.emplace_back();
      tags_.push_back(kFree);
    }
    const size_t slot = free_.back();
    free_.pop_back();
    tags_[slot] = tag;
    Transfer& transfer = transfers_[slot];
    transfer.write = write;
    transfer.address = address;
    transfer.bytes = bytes;
    transfer.ready = transfer.admitted = 0;
    transfer.due = now_ + (write ? 0 : p_.latency);
    const uint64_t pieces = (address + bytes + piece_bytes() - 1) / piece_bytes() - address / piece_bytes();
    transfer.done.assign(pieces, kNever);
    active_[write]++;
    waiting_[write].push_back(slot);
  }

  // Kind 0: a beat costs its bytes of a credit that grows each cycle; reads and writes take turns.
  void tick_simple() {
    now_++;
    const int64_t cost = p_.beat_bytes << 10;
    credit_ = std::min(credit_ + p_.bandwidth, 2 * cost);
    if (credit_ < cost) return;
    const bool reads = !waiting_[0].empty() && transfers_[waiting_[0].front()].due <= now_;
    const bool writes = !waiting_[1].empty();
    if (!reads && !writes) return;
    const bool write = writes && (!reads || writes_turn_);
    Transfer& transfer = transfers_[waiting_[write].front()];
    transfer.done[transfer.admitted++] = now_;
    if (transfer.admitted == transfer.done.size()) waiting_[write].pop_front();
    credit_ -= cost;
    writes_turn_ = !write;
  }

  // Moves bursts of waiting transfers, in order, into the queues that have room. Writes come first, so that a read that
  // was taken after a write finds it.
  void admit(bool write) {
    if (blocking_[write] && int64_t(blocking_[write]->size()) >= room(write)) return;
    for (std::deque<size_t>& waiting = waiting_[write]; !waiting.empty(); waiting.pop_front()) {
      Transfer& transfer = transfers_[waiting.front()];
      for (; transfer.admitted < transfer.done.size(); transfer.admitted++)
        if (!enter(waiting.front(), transfer)) return;
    }
    blocking_[write] = nullptr;
  }

  // Puts a transfer's next burst into its channel's queue; false if that is full.
  bool enter(size_t slot, Transfer& transfer) {
    const uint64_t burst = transfer.address / p_.burst_bytes + transfer.admitted;
    const Place place = place_of(burst);
    Channel& channel = channels_[place.channel];
    std::vector<Burst>& queue = channel.queue[transfer.write];
    const bool queued = std::any_of(channel.queue[1].begin(), channel.queue[1].end(),
                                    [burst](const Burst& other) { return other.burst == burst; });
    if (!queued && int64_t(queue.size()) >= room(transfer.write)) {
      blocking_[transfer.write] = &queue;
      return false;
    }
    // The write queue answers reads of what it holds, and writes are safe once they are in it.
    if (queued || transfer.write) transfer.done[transfer.admitted] = now_ + p_.controller;
    if (queued) {
      (transfer.write ? counters_.merged : counters_.forwarded)++;
      return true;
    }
    queue.push_back({int32_t(place.bank / p_.banks), int32_t(place.bank), int32_t(place.row), now_, burst, slot,
                     transfer.admitted, false, false});
    channel.wake = wake_ = now_;
    return true;
  }

  void clock() {
    wake_ = kNever;
    for (int64_t c = 0; c < p_.channels; c++) {
      Channel& channel = channels_[c];
      if (channel.wake <= now_) {
        channel.wake = kNever;
        if (channel.refresh_due <= now_) {
          refresh(c);
        } else {
          channel.wake = channel.refresh_due;
          schedule(c);
        }
      }
      wake_ = std::min(wake_, channel.wake);
    }
  }

  // Closes all banks, waits, refreshes.
  void refresh(int64_t c) {
    Channel& channel = channels_[c];
    int64_t ready = 0;
    for (const Bank& bank : channel.banks) ready = std::max(ready, bank.row >= 0 ? bank.precharge : bank.activate);
    channel.wake = std::max(ready, now_ + 1);
    if (ready > now_) return;
    if (channel.open) {
      for (size_t bank = 0; bank < channel.banks.size(); bank++)
        if (channel.banks[bank].row >= 0) precharge(c, bank);
      return;
    }
    for (Bank& bank : channel.banks) bank.activate = now_ + p_.rfc;
    channel.refresh_due += p_.refi;
    counters_.refreshes++;
    note(DramCommand::kRefresh, c, -1, -1);
  }

  // Issues at most one command, or one for each bus where row and column commands have their own.
  void schedule(int64_t c) {
    Channel& channel = channels_[c];
    choose_direction(channel);
    const std::vector<Burst>& queue = channel.queue[channel.draining];
    if (queue.empty()) return;
    const Burst& oldest = queue.front();
    const bool aged = now_ - oldest.arrival >= p_.age_cap;
    if (!aged) wait(channel, oldest.arrival + p_.age_cap);
    // A burst past its age takes its bank from row hits, and goes before all others.
    const int32_t claimed = aged && channel.banks[oldest.bank].row != oldest.row ? oldest.bank : -1;
    const bool urgent = claimed >= 0 && row_command(c, 0);
    if (urgent && !p_.split_commands) return wait(channel, now_ + 1);
    const Wishes wishes = wishes_of(channel, claimed);
    bool issued = urgent;
    if (!urgent && (wishes.column == kNone || p_.split_commands))
      for (int i = 0; i < wishes.rows && !issued; i++) issued = row_command(c, wishes.row[i]);
    if (wishes.column != kNone) column(c, wishes.column);
    if (issued || wishes.column != kNone) wait(channel, now_ + 1);
  }

  // Looks for the oldest column command that is ready and, for each bank whose open row nobody wants, its oldest burst.
  Wishes wishes_of(Channel& channel, int32_t claimed) const {
    const bool write = channel.draining;
    const std::vector<Burst>& queue = channel.queue[write];
    const int64_t all = write ? channel.all.write : channel.all.read;
    Wishes wishes;
    uint64_t hits = 0, misses = 0;
    for (size_t i = 0; i < queue.size(); i++) {
      const Burst& burst = queue[i];
      const Bank& bank = channel.banks[burst.bank];
      const uint64_t bit = uint64_t{1} << burst.bank;
      if (bank.row != burst.row || burst.bank == claimed) {
        if (!(misses & bit)) wishes.row[wishes.rows++] = i;
        misses |= bit;
        continue;
      }
      hits |= bit;
      if (wishes.column != kNone) continue;
      const Spacing& group = channel.groups[burst.group];
      const int64_t ready = std::max({all, bank.column, write ? group.write : group.read});
      if (ready > now_) {
        wait(channel, ready);
        continue;
      }
      wishes.column = i;
      if (!p_.split_commands) break;  // the bus is taken
    }
    const auto unwanted = [&](size_t i) { return (hits >> queue[i].bank & 1) != 0; };
    wishes.rows = std::remove_if(wishes.row, wishes.row + wishes.rows, unwanted) - wishes.row;
    return wishes;
  }

  static void wait(Channel& channel, int64_t clock) { channel.wake = std::min(channel.wake, clock); }

  // Writes are drained from the high mark down to the low one, or while there is nothing to read. Each direction keeps
  // its turn for some bursts, so that neither waits for ever.
  void choose_direction(Channel& channel) const {
    const int64_t reads = channel.queue[0].size(), writes = channel.queue[1].size();
    const bool done = channel.turn <= 0;
    const bool leave = channel.draining ? reads > 0 && (writes <= p_.drain_low || done)
                                        : writes > 0 && (reads == 0 || (writes >= p_.drain_high && done));
    if (!leave) return;
    channel.draining = !channel.draining;
    channel.turn = std::max<int64_t>(1, p_.drain_high - p_.drain_low);
  }

  // Reads or writes a burst of the queue in turn.
  void column(int64_t c, size_t place) {
    Channel& channel = channels_[c];
    const bool write = channel.draining;
    const Burst burst = channel.queue[write][place];
    channel.queue[write].erase(channel.queue[write].begin() + place);
    Bank& bank = channel.banks[burst.bank];
    Spacing& group = channel.groups[burst.group];
    const int64_t apart = std::max(p_.ccd_s, p_.burst);
    const auto later = [](int64_t& earliest, int64_t clock) { earliest = std::max(earliest, clock); };
    later(channel.all.read, now_ + apart);
    later(channel.all.write, now_ + apart);
    later(group.read, now_ + p_.ccd_l);
    later(group.write, now_ + p_.ccd_l);
    if (write) {
      const int64_t end = now_ + p_.cwl + p_.burst;
      later(channel.all.read, end + p_.wtr_s);
      later(group.read, end + p_.wtr_l);
      later(bank.precharge, end + p_.wr);
      counters_.writes++;
    } else {
      later(channel.all.write, now_ + p_.rtw);
      later(bank.precharge, now_ + p_.rtp);
      transfers_[burst.slot].done[burst.piece] = now_ + p_.cl + p_.burst + p_.controller;
      counters_.reads++;
    }
    (burst.precharged ? counters_.row_conflicts : burst.activated ? counters_.row_misses : counters_.row_hits)++;
    channel.turn--;
    note(write ? DramCommand::kWrite : DramCommand::kRead, c, burst.bank, burst.row);
  }

  // Opens the row of a burst of the queue in turn, or closes the row in its way, if that may be done now.
  bool row_command(int64_t c, size_t place) {
    Channel& channel = channels_[c];
    Burst& burst = channel.queue[channel.draining][place];
    Bank& bank = channel.banks[burst.bank];
    const bool close = bank.row >= 0;
    const int64_t ready = close ? bank.precharge
                                : std::max({bank.activate, channel.groups[burst.group].activate, channel.all.activate,
                                            channel.four[channel.fourth] + p_.faw});
    if (ready > now_) {
      wait(channel, ready);
      return false;
    }
    if (close) {
      burst.precharged = true;
      precharge(c, burst.bank);
    } else {
      burst.activated = true;
      activate(c, burst.bank, burst.row);
    }
    return true;
  }

  void activate(int64_t c, int64_t b, int64_t row) {
    Channel& channel = channels_[c];
    Bank& bank = channel.banks[b];
    bank.row = row;
    bank.column = now_ + p_.rcd;
    bank.precharge = now_ + p_.ras;
    bank.activate = now_ + p_.rc;
    channel.groups[b / p_.banks].activate = now_ + p_.rrd_l;
    channel.all.activate = now_ + p_.rrd_s;
    channel.four[channel.fourth] = now_;
    channel.fourth = (channel.fourth + 1) % 4;
    if (channel.open++ == 0) channel.open_since = now_;
    counters_.activates++;
    note(DramCommand::kActivate, c, b, row);
  }

  void precharge(int64_t c, int64_t b) {
    Channel& channel = channels_[c];
    Bank& bank = channel.banks[b];
    note(DramCommand::kPrecharge, c, b, bank.row);
    bank.row = -1;
    bank.activate = std::max(bank.activate, now_ + p_.rp);
    if (--channel.open == 0) counters_.open_clocks += now_ - channel.open_since;
    counters_.precharges++;
  }

  void note(DramCommand::Kind kind, int64_t channel, int64_t bank, int64_t row) {
    if (log_) log_->push_back({now_, kind, channel, bank, row});
  }

  const DramParameters p_;
  int64_t now_ = 0;  // accelerator cycles of kind 0, DRAM clocks of kind 1
  int64_t phase_ = 0, wake_ = kNever, credit_ = 0;
  bool writes_turn_ = false;
  int64_t active_[2] = {0, 0};
  std::vector<Transfer> transfers_;
  std::vector<uint64_t> tags_;  // of the transfers
  std::vector<size_t> free_;
  mutable size_t last_ = 0;      // where a tag was last found
  std::deque<size_t> waiting_[2];  // transfers not yet wholly in the queues; kind 0: not yet wholly served
  std::vector<Channel> channels_;
  std::vector<Burst>* blocking_[2] = {nullptr, nullptr};  // the full queue that a waiting transfer needs
  DramCounters counters_ = {};
  mutable DramCounters reported_ = {};
  std::vector<DramCommand>* log_ = nullptr;
};

#endif
