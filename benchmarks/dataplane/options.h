// One measurement: what is done to whom, how often at a time, and for how long.
#ifndef BENCHMARKS_DATAPLANE_OPTIONS_H_
#define BENCHMARKS_DATAPLANE_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace kvstore::bench {

enum class Op { kRead, kWrite, kStream, kLookup };

struct Options {
  std::string contender;
  Op op = Op::kRead;
  std::string target;             // host:port; of the file loop a directory
  std::string storage = "bench";  // ours: the account, by name or URL
  size_t bytes = 1258291;         // of a block
  size_t blocks = 64;    // different ones read in turn; of a stream or Lookup, those of one call
  size_t prompts = 1;    // that Prepare stores, of so many blocks each
  int in_flight = 8;     // operations at a time
  int sync_every = 8;    // of the file loop: records to an fdatasync, 0 for none
  double seconds = 1;    // measured
  double warmup = 0.2;   // seconds before that
  uint64_t max_ops = 0;  // measured at most; 0: as many as the time allows
  int server_pid = 0;    // whose CPU time is measured too
  bool prepare = false;  // store what the reads want, and measure nothing
};

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_OPTIONS_H_
