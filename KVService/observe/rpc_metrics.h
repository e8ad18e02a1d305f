// Counts calls: how many, how they ended, how long they took, what they moved.
#ifndef KVSERVICE_OBSERVE_RPC_METRICS_H_
#define KVSERVICE_OBSERVE_RPC_METRICS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "KVService/observe/metrics.h"
#include "KVService/observe/rpc_record.h"
#include "absl/functional/function_ref.h"

namespace kvstore {

// Thread-safe, without a lock: a thread adds to one of some shards, which Collect sums up. What is
// counted while it does may be in some of the families and not yet in others.
class RpcMetrics {
 public:
  // A call that has ended. A method that is none of KVStoreService's is not counted.
  void Count(const RpcRecord& record);

  // A block that was read, of whichever method, and how long it waited for the tier that had it.
  void CountRead(ReadTier tier, int64_t us);

  MetricFamilies Collect() const;

  static constexpr std::array<std::string_view, 4> kMethods = {"Lookup", "Read", "StreamingRead",
                                                               "Write"};
  static constexpr size_t kCodes = kGrpcCodes.size();
  // Upper bounds of latency, in microseconds.
  static constexpr std::array<int64_t, 18> kBounds = {
      50,     100,     250,     500,     1'000,     2'500,     5'000,     10'000,     25'000,
      50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000, 30'000'000};
  // Upper bounds of the length of the prefix that was found, in blocks.
  static constexpr std::array<int64_t, 12> kPrefixBounds = {0,  1,  2,   4,   8,   16,
                                                            32, 64, 128, 256, 512, 1024};

 private:
  using Number = std::atomic<uint64_t>;
  struct Latency {
    std::array<Number, kBounds.size() + 1> counts{};
    Number sum_us = 0;

    void Add(int64_t us);
    void AddTo(MetricHistogram* histogram) const;
  };
  // How many blocks a Lookup found.
  struct Prefixes {
    std::array<Number, kPrefixBounds.size() + 1> counts{};
    Number sum = 0;
  };
  struct Method {
    std::array<Number, kCodes> codes{};
    std::array<Latency, kTierNames.size()> total;  // by RpcStages::tier
    Latency storage;
    Number blocks = 0;  // of calls that went well
    Number found = 0;   // of those
    Number bytes = 0;
  };
  struct alignas(64) Shard {
    std::array<Method, kMethods.size()> methods{};
    std::array<Latency, kTierNames.size()> tiers{};
    Prefixes prefixes;
  };
  static constexpr size_t kShards = 16;

  Shard& MyShard();
  uint64_t Sum(size_t method, Number Method::*number) const;
  MetricFamily Calls() const;
  static MetricHistogram Histogram(MetricLabels labels);
  MetricFamily TierReads() const;
  MetricFamily PrefixLengths() const;
  // What `add` takes of each method.
  MetricFamily ByMethod(const char* name, const char* help,
                        absl::FunctionRef<void(const Method&, MetricHistogram*)> add) const;
  MetricFamily TotalsByTier() const;
  MetricFamily Bytes(const char* name, const char* help,
                     std::initializer_list<std::string_view> methods) const;
  MetricFamily Blocks(const char* name, const char* help,
                      std::initializer_list<std::string_view> methods, const char* found,
                      const char* others) const;

  std::array<Shard, kShards> shards_;
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_RPC_METRICS_H_
