// Plays requests to a DRAM of the simulator and tells when each was answered; all numbers are 64-bit integers.
//
// In: parameters, cycles at least, number of requests, and for each: cycle from which it is offered, whether it writes,
// address, bytes. Reads are offered in their order, and so are writes.
// Out: cycles, counters, number of commands, for each request the cycles in which it was taken, began to arrive and was
// complete; the commands.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "dram.hpp"

struct Request {
  int64_t from, write, address, bytes;
};

struct Answer {
  int64_t taken, first, complete;
};

template <class T>
std::vector<T> read_all(size_t count) {
  std::vector<T> values(count);
  if (std::fread(values.data(), sizeof(T), count, stdin) != count) std::exit(2);
  return values;
}

int main() {
  const DramParameters parameters = read_all<DramParameters>(1)[0];
  const int64_t least = read_all<int64_t>(1)[0];
  const std::vector<Request> requests = read_all<Request>(read_all<int64_t>(1)[0]);
  std::vector<Answer> answers(requests.size(), {-1, -1, -1});
  std::vector<size_t> order[2], active;
  for (size_t i = 0; i < requests.size(); i++) order[requests[i].write].push_back(i);
  size_t next[2] = {0, 0}, complete = 0;

  Dram dram(parameters);
  std::vector<DramCommand> log;
  dram.record(log);
  int64_t now = 0;
  for (; complete < requests.size() || now < least; now++) {
    if (now > 100'000'000) return 3;
    for (size_t i = 0; i < active.size();) {
      const Request& request = requests[active[i]];
      Answer& answer = answers[active[i]];
      const int64_t arrived = request.write ? 0 : dram.arrived(active[i]);
      if (arrived && answer.first < 0) answer.first = now;
      if (request.write ? !dram.written(active[i]) : arrived < request.bytes) {
        i++;
        continue;
      }
      answer.complete = now;
      dram.forget(active[i]);
      active.erase(active.begin() + i);
      complete++;
    }
    for (int write = 0; write < 2; write++) {
      if (next[write] == order[write].size()) continue;
      const size_t i = order[write][next[write]];
      const Request& request = requests[i];
      if (request.from > now || !dram.can_take(write, request.address)) continue;
      if (write)
        dram.write(request.address, request.bytes, i);
      else
        dram.read(request.address, request.bytes, i);
      answers[i].taken = now;
      active.push_back(i);
      next[write]++;
    }
    dram.tick();
  }
  const int64_t commands = log.size();
  std::fwrite(&now, 8, 1, stdout);
  std::fwrite(&dram.counters(), sizeof(DramCounters), 1, stdout);
  std::fwrite(&commands, 8, 1, stdout);
  std::fwrite(answers.data(), sizeof(Answer), answers.size(), stdout);
  std::fwrite(log.data(), sizeof(DramCommand), log.size(), stdout);
  return 0;
}
