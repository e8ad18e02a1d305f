// How long a server's answers took of late: quantiles of a histogram that forgets.
#ifndef KVCLIENT_SRC_RECENT_LATENCY_H_
#define KVCLIENT_SRC_RECENT_LATENCY_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace kvstore::client {

// Thread-safe, without locks. Exact to an eighth.
class RecentLatency {
 public:
  void Add(std::chrono::nanoseconds latency);

  // The latency that `share` of the answers stayed within; 0 without any.
  std::chrono::nanoseconds Quantile(double share) const;

  // Of what is remembered.
  uint32_t samples() const { return total_.load(std::memory_order_relaxed); }

 private:
  // Buckets of microseconds: 0 to 7 one each, then eight to each power of two, up to 2^30 (18 min).
  static constexpr size_t kBuckets = 8 + 27 * 8;
  // As many samples halve what came before them.
  static constexpr uint32_t kRemembered = 2048;

  std::array<std::atomic<uint32_t>, kBuckets> counts_{};
  std::atomic<uint32_t> total_{0};
};

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_RECENT_LATENCY_H_
