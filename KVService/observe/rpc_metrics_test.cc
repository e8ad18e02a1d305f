#include "KVService/observe/rpc_metrics.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "KVService/observe/rpc_log.h"

namespace kvstore {
namespace {

RpcRecord Record(std::string_view rpc, int64_t total_us, int64_t blocks = 0, int64_t found = 0,
                 int64_t bytes = 0, std::string_view code = "OK") {
  RpcRecord record;
  record.rpc = rpc;
  record.code = code;
  record.total_us = total_us;
  record.blocks = blocks;
  record.found = found;
  record.bytes = bytes;
  return record;
}

const MetricFamily& Family(const MetricFamilies& families, const std::string& name) {
  for (const MetricFamily& family : families) {
    if (family.name == name) return family;
  }
  ADD_FAILURE() << name;
  return families.front();
}

// -1 where there is none.
double Value(const MetricFamilies& families, const std::string& name, const MetricLabels& labels) {
  for (const MetricSample& sample : Family(families, name).samples) {
    if (sample.labels == labels) return sample.value;
  }
  return -1;
}

TEST(RpcMetricsTest, CountsByMethodAndCode) {
  RpcMetrics metrics;
  const auto calls = [&](const char* method, const char* code) {
    return Value(metrics.Collect(), "kvstore_rpc_requests_total",
                 {{"method", method}, {"code", code}});
  };
  for (const std::string_view method : RpcMetrics::kMethods) {
    EXPECT_EQ(calls(std::string(method).c_str(), "OK"), 0) << "there from the start";
  }
  metrics.Count(Record("Read", 1));
  metrics.Count(Record("Read", 1));
  metrics.Count(Record("Read", 1, 1, 0, 0, "UNAVAILABLE"));
  metrics.Count(Record("Write", 1, 1, 0, 0, "no code of gRPC's"));
  metrics.Count(Record("Nothing", 1));
  EXPECT_EQ(calls("Read", "OK"), 2);
  EXPECT_EQ(calls("Read", "UNAVAILABLE"), 1);
  EXPECT_EQ(calls("Write", "UNKNOWN"), 1);
  EXPECT_EQ(calls("Read", "INTERNAL"), -1);
}

TEST(RpcMetricsTest, ABlockIsAHitOrAMissOfACallThatWentWell) {
  RpcMetrics metrics;
  metrics.Count(Record("Lookup", 1, 10, 7));
  metrics.Count(Record("Lookup", 1, 5, 0));
  metrics.Count(Record("Lookup", 1, 100, 0, 0, "UNAVAILABLE"));
  metrics.Count(Record("StreamingRead", 1, 4, 3, 3000));
  metrics.Count(Record("Read", 1, 1, 1, 500));
  metrics.Count(Record("Write", 1, 1, 1, 70));
  metrics.Count(Record("Write", 1, 1, 0, 70));
  metrics.Count(Record("Write", 1, 1, 0, 70, "RESOURCE_EXHAUSTED"));
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_lookup_blocks_total", {{"result", "hit"}}), 7);
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_lookup_blocks_total", {{"result", "miss"}}), 8);
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_read_blocks_total", {{"result", "hit"}}), 4);
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_read_blocks_total", {{"result", "miss"}}), 1);
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_written_blocks_total", {{"result", "stored"}}), 1);
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_written_blocks_total", {{"result", "present"}}), 1);
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_received_chunk_bytes_total", {{"method", "Write"}}),
            210);
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_sent_chunk_bytes_total", {{"method", "Read"}}), 500);
  EXPECT_EQ(
      Value(metrics.Collect(), "kvstore_sent_chunk_bytes_total", {{"method", "StreamingRead"}}),
      3000);
}

TEST(RpcMetricsTest, LatenciesFallIntoTheirBuckets) {
  RpcMetrics metrics;
  constexpr int64_t kAboveAll = 60'000'000;
  for (const int64_t us : {int64_t{0}, int64_t{50}, int64_t{51}, kAboveAll}) {
    metrics.Count(Record("Read", us));
  }
  const MetricFamilies families = metrics.Collect();
  const MetricHistogram& read = Family(families, "kvstore_rpc_duration_seconds").histograms[1];
  EXPECT_EQ(read.labels, (MetricLabels{{"method", "Read"}}));
  ASSERT_EQ(read.counts.size(), read.bounds.size() + 1);
  EXPECT_EQ(read.bounds[0], 5e-5);
  EXPECT_EQ(read.counts[0], 2u);
  EXPECT_EQ(read.counts[1], 1u);
  EXPECT_EQ(read.counts.back(), 1u);
  EXPECT_DOUBLE_EQ(read.sum, 60.000101);
}

TEST(RpcMetricsTest, ACallCountsForTheFarthestTierThatItWaitedFor) {
  RpcMetrics metrics;
  metrics.Count(Record("Read", 10));
  RpcRecord disk = Record("Read", 20);
  disk.stages.AtStorage(/*azure=*/false, 15);
  metrics.Count(disk);
  RpcRecord both = Record("StreamingRead", 40);
  both.stages.AtStorageOf(disk.stages);
  RpcStages azure;
  azure.AtStorage(/*azure=*/true, 1);
  both.stages.AtStorageOf(azure);
  metrics.Count(both);
  const MetricFamilies families = metrics.Collect();
  const MetricFamily& by_tier = Family(families, "kvstore_rpc_tier_duration_seconds");
  const auto sum = [&](const char* method, const char* tier) {
    for (const MetricHistogram& each : by_tier.histograms) {
      if (each.labels == MetricLabels{{"method", method}, {"tier", tier}}) return each.sum;
    }
    return -1.0;
  };
  EXPECT_DOUBLE_EQ(sum("Read", "ram"), 10e-6);
  EXPECT_DOUBLE_EQ(sum("Read", "disk"), 20e-6);
  EXPECT_DOUBLE_EQ(sum("Read", "azure"), 0);
  EXPECT_DOUBLE_EQ(sum("StreamingRead", "azure"), 40e-6);
  EXPECT_DOUBLE_EQ(sum("StreamingRead", "disk"), 0);
  const MetricHistogram& read = Family(families, "kvstore_rpc_duration_seconds").histograms[1];
  EXPECT_DOUBLE_EQ(read.sum, 30e-6) << "all tiers together";
}

TEST(RpcMetricsTest, LosesNothingToThreadsThatCountAtOnce) {
  RpcMetrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 24; ++t) {  // more than there are shards
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) metrics.Count(Record("Lookup", i, 3, 2));
    });
  }
  while (metrics.Collect().empty()) {
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_lookup_blocks_total", {{"result", "hit"}}), 48000);
  EXPECT_EQ(Value(metrics.Collect(), "kvstore_lookup_blocks_total", {{"result", "miss"}}), 24000);
}

// The endpoint counts whether or not lines are printed.
TEST(RpcMetricsTest, ALogThatIsOffCountsAllTheSame) {
  RpcLog log(false);
  log.Write(Record("Read", 1));
  EXPECT_EQ(
      Value(log.Metrics(), "kvstore_rpc_requests_total", {{"method", "Read"}, {"code", "OK"}}), 1);
}

}  // namespace
}  // namespace kvstore
