#include "KVService/observe/rpc_metrics.h"

#include <algorithm>
#include <string>
#include <utility>

namespace kvstore {

namespace {

size_t MethodOf(std::string_view name) {
  return std::find(RpcMetrics::kMethods.begin(), RpcMetrics::kMethods.end(), name) -
         RpcMetrics::kMethods.begin();
}

// Divided, since 1e-6 is no exact factor: 0.0001 is to be shown as that.
double Seconds(uint64_t microseconds) { return static_cast<double>(microseconds) / 1e6; }

// Nobody orders anything by these numbers.
void Add(std::atomic<uint64_t>& number, int64_t value) {
  if (value > 0) number.fetch_add(static_cast<uint64_t>(value), std::memory_order_relaxed);
}

}  // namespace

void RpcMetrics::Latency::Add(int64_t us) {
  const size_t bucket = std::lower_bound(kBounds.begin(), kBounds.end(), us) - kBounds.begin();
  kvstore::Add(counts[bucket], 1);
  kvstore::Add(sum_us, us);
}

void RpcMetrics::Latency::AddTo(MetricHistogram* histogram) const {
  for (size_t i = 0; i < counts.size(); ++i) {
    histogram->counts[i] += counts[i].load(std::memory_order_relaxed);
  }
  histogram->sum += Seconds(sum_us.load(std::memory_order_relaxed));
}

RpcMetrics::Shard& RpcMetrics::MyShard() {
  static std::atomic<size_t> threads = 0;
  thread_local const size_t mine = threads.fetch_add(1, std::memory_order_relaxed) % kShards;
  return shards_[mine];
}

void RpcMetrics::Count(const RpcRecord& record) {
  const size_t index = MethodOf(record.rpc);
  if (index == kMethods.size()) return;
  Method& method = MyShard().methods[index];
  const size_t code = GrpcCodeOf(record.code);
  Add(method.codes[code], 1);
  method.total[static_cast<size_t>(record.stages.tier())].Add(record.total_us);
  method.storage.Add(record.storage_us);
  Add(method.bytes, record.bytes);
  if (code != 0) return;  // whether blocks were there is not known
  Add(method.blocks, record.blocks);
  Add(method.found, record.found);
  if (index != MethodOf("Lookup")) return;
  Prefixes& prefixes = MyShard().prefixes;
  const auto bound = std::lower_bound(kPrefixBounds.begin(), kPrefixBounds.end(), record.found);
  Add(prefixes.counts[bound - kPrefixBounds.begin()], 1);
  Add(prefixes.sum, record.found);
}

void RpcMetrics::CountRead(ReadTier tier, int64_t us) {
  MyShard().tiers[static_cast<size_t>(tier)].Add(us);
}

uint64_t RpcMetrics::Sum(size_t method, Number Method::*number) const {
  uint64_t sum = 0;
  for (const Shard& shard : shards_) {
    sum += (shard.methods[method].*number).load(std::memory_order_relaxed);
  }
  return sum;
}

MetricFamily RpcMetrics::Calls() const {
  MetricFamily family{"kvstore_rpc_requests_total",
                      "Calls that ended, by method and status code.",
                      MetricType::kCounter,
                      {},
                      {}};
  for (size_t method = 0; method < kMethods.size(); ++method) {
    for (size_t code = 0; code < kCodes; ++code) {
      uint64_t sum = 0;
      for (const Shard& shard : shards_) {
        sum += shard.methods[method].codes[code].load(std::memory_order_relaxed);
      }
      // A success that has not happened is shown, so that rates begin at zero.
      if (sum == 0 && code != 0) continue;
      family.samples.push_back(
          {{{"method", std::string(kMethods[method])}, {"code", std::string(kGrpcCodes[code])}},
           static_cast<double>(sum)});
    }
  }
  return family;
}

MetricHistogram RpcMetrics::Histogram(MetricLabels labels) {
  MetricHistogram histogram;
  histogram.labels = std::move(labels);
  for (const int64_t bound : kBounds) {
    histogram.bounds.push_back(Seconds(static_cast<uint64_t>(bound)));
  }
  histogram.counts.resize(kBounds.size() + 1);
  return histogram;
}

MetricFamily RpcMetrics::PrefixLengths() const {
  MetricFamily family{"kvstore_lookup_prefix_blocks",
                      "Leading blocks of a prompt that a Lookup found.",
                      MetricType::kHistogram,
                      {},
                      {}};
  MetricHistogram& histogram = family.histograms.emplace_back();
  histogram.bounds.assign(kPrefixBounds.begin(), kPrefixBounds.end());
  histogram.counts.resize(kPrefixBounds.size() + 1);
  for (const Shard& shard : shards_) {
    for (size_t i = 0; i < histogram.counts.size(); ++i) {
      histogram.counts[i] += shard.prefixes.counts[i].load(std::memory_order_relaxed);
    }
    histogram.sum += static_cast<double>(shard.prefixes.sum.load(std::memory_order_relaxed));
  }
  return family;
}

MetricFamily RpcMetrics::ByMethod(
    const char* name, const char* help,
    absl::FunctionRef<void(const Method&, MetricHistogram*)> add) const {
  MetricFamily family{name, help, MetricType::kHistogram, {}, {}};
  for (size_t method = 0; method < kMethods.size(); ++method) {
    MetricHistogram& histogram =
        family.histograms.emplace_back(Histogram({{"method", std::string(kMethods[method])}}));
    for (const Shard& shard : shards_) add(shard.methods[method], &histogram);
  }
  return family;
}

MetricFamily RpcMetrics::TotalsByTier() const {
  MetricFamily family{"kvstore_rpc_tier_duration_seconds",
                      "The same by method and by the farthest tier that the call waited for; ram "
                      "where it waited for no storage.",
                      MetricType::kHistogram,
                      {},
                      {}};
  for (size_t method = 0; method < kMethods.size(); ++method) {
    for (size_t tier = 0; tier < kTierNames.size(); ++tier) {
      MetricHistogram& histogram = family.histograms.emplace_back(Histogram(
          {{"method", std::string(kMethods[method])}, {"tier", std::string(kTierNames[tier])}}));
      for (const Shard& shard : shards_) shard.methods[method].total[tier].AddTo(&histogram);
    }
  }
  return family;
}

MetricFamily RpcMetrics::TierReads() const {
  MetricFamily family{"kvstore_tier_read_duration_seconds",
                      "Time that a block which was read waited for the tier that had it.",
                      MetricType::kHistogram,
                      {},
                      {}};
  for (size_t tier = 0; tier < kTierNames.size(); ++tier) {
    MetricHistogram& histogram =
        family.histograms.emplace_back(Histogram({{"tier", std::string(kTierNames[tier])}}));
    for (const Shard& shard : shards_) shard.tiers[tier].AddTo(&histogram);
  }
  return family;
}

MetricFamily RpcMetrics::Bytes(const char* name, const char* help,
                               std::initializer_list<std::string_view> methods) const {
  MetricFamily family{name, help, MetricType::kCounter, {}, {}};
  for (const std::string_view method : methods) {
    family.samples.push_back({{{"method", std::string(method)}},
                              static_cast<double>(Sum(MethodOf(method), &Method::bytes))});
  }
  return family;
}

MetricFamily RpcMetrics::Blocks(const char* name, const char* help,
                                std::initializer_list<std::string_view> methods, const char* found,
                                const char* others) const {
  uint64_t all = 0, there = 0;
  for (const std::string_view method : methods) {
    there += Sum(MethodOf(method), &Method::found);
    all += Sum(MethodOf(method), &Method::blocks);
  }
  there = std::min(there, all);  // they are not read in one instant
  return {name,
          help,
          MetricType::kCounter,
          {{{{"result", found}}, static_cast<double>(there)},
           {{{"result", others}}, static_cast<double>(all - there)}},
          {}};
}

MetricFamilies RpcMetrics::Collect() const {
  return {
      Calls(),
      ByMethod("kvstore_rpc_duration_seconds",
               "Time from a call's arrival to its answer, by method.",
               [](const Method& method, MetricHistogram* histogram) {
                 for (const Latency& of_tier : method.total) of_tier.AddTo(histogram);
               }),
      TotalsByTier(),
      ByMethod("kvstore_rpc_storage_duration_seconds",
               "Of that, time spent waiting for the storage; 0 where RAM had the answer.",
               [](const Method& method, MetricHistogram* histogram) {
                 method.storage.AddTo(histogram);
               }),
      TierReads(),
      PrefixLengths(),
      Bytes("kvstore_received_chunk_bytes_total", "Bytes of chunks that clients sent.", {"Write"}),
      Bytes("kvstore_sent_chunk_bytes_total", "Bytes of chunks that clients were sent.",
            {"Read", "StreamingRead"}),
      Blocks("kvstore_lookup_blocks_total",
             "Blocks of the prompts that were looked up, by whether they were there.", {"Lookup"},
             "hit", "miss"),
      Blocks("kvstore_read_blocks_total", "Blocks asked for, by whether they were there.",
             {"Read", "StreamingRead"}, "hit", "miss"),
      Blocks("kvstore_written_blocks_total",
             "Blocks whose write succeeded: stored, or there before.", {"Write"}, "present",
             "stored")};
}

}  // namespace kvstore
