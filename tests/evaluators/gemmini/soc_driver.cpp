// Tells when the memory of a system on chip serves requests; all numbers are 64-bit integers.
//
// In: parameters, bytes of a beat, number of requests, and for each: when it comes, whether it writes, address, bytes.
// Out: the parameters as the members of the struct, the time between beats, and when each request's first beat may move.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "soc.hpp"

struct Request {
  int64_t now, write, address, bytes;
};

template <class T>
std::vector<T> read_all(size_t count) {
  std::vector<T> values(count);
  if (std::fread(values.data(), sizeof(T), count, stdin) != count) std::exit(2);
  return values;
}

int main() {
  const SocParameters p = read_all<SocParameters>(1)[0];
  const int64_t beat = read_all<int64_t>(1)[0];
  Soc soc(p);
  std::vector<int64_t> out = {p.kind, p.beat_bytes, p.ways, p.line_bytes, p.sets, p.row_bytes, p.banks,
                              p.beat_time, p.row_hit_time, p.row_miss_time, soc.pace(beat)};
  for (const Request& r : read_all<Request>(read_all<int64_t>(1)[0]))
    out.push_back(soc.serve(r.now, r.address, r.bytes, r.write != 0));
  return std::fwrite(out.data(), 8, out.size(), stdout) == out.size() ? 0 : 1;
}
