// What the bare servers are asked: each request begins with it, in the machine's byte order.
#ifndef BENCHMARKS_DATAPLANE_BENCH_REQUEST_H_
#define BENCHMARKS_DATAPLANE_BENCH_REQUEST_H_

#include <cstddef>
#include <cstdint>

namespace kvstore::bench {

struct BenchRequest {
  uint64_t send_bytes = 0;    // that follow
  uint64_t answer_bytes = 0;  // to be answered with
  uint64_t index = 0;         // which of the server's blocks of that size
};

// What such a server holds in memory: blocks lie in it side by side.
inline constexpr size_t kArenaBytes = size_t{192} << 20;

// Of a block in the arena. REQUIRES: answer_bytes is at most the arena's size.
inline size_t ArenaOffset(const BenchRequest& request) {
  if (request.answer_bytes == 0) return 0;
  return request.index % (kArenaBytes / request.answer_bytes) * request.answer_bytes;
}

}  // namespace kvstore::bench

#endif  // BENCHMARKS_DATAPLANE_BENCH_REQUEST_H_
