// What the status page is made of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "KVService/observe/rpc_metrics.h"
#include "KVService/observe/shown_options.h"
#include "KVService/observe/slow_requests.h"
#include "KVService/observe/status_page.h"
#include "KVService/observe/status_report.h"
#include "KVService/observe/status_samples.h"
#include "KVService/observe/tenant_metrics.h"
#include "KVService/observe/tier_health.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr const TierKind& kAzureKind = kTierKinds[2];

Durations Reads(uint64_t count, double ms) {
  return {.bounds = {}, .counts = {count}, .seconds = static_cast<double>(count) * ms / 1e3};
}

TEST(TierHealthTest, SlowIsThreeTimesThePast) {
  const std::vector<Durations> past(6, Reads(10, 50));
  EXPECT_EQ(JudgeTier(kAzureKind, Reads(10, 100), past).state, TierHealth::State::kWell);
  const TierHealth slow = JudgeTier(kAzureKind, Reads(10, 151), past);
  EXPECT_EQ(slow.state, TierHealth::State::kSlow);
  EXPECT_EQ(slow.words, "Azure is slow: 151 ms a read, 50 ms before");
}

TEST(TierHealthTest, WithoutAPastSlowIsWhatIsPlainlyMuch) {
  EXPECT_EQ(JudgeTier(kAzureKind, Reads(10, 199), {}).state, TierHealth::State::kWell);
  EXPECT_EQ(JudgeTier(kAzureKind, Reads(10, 201), {}).state, TierHealth::State::kSlow);
}

TEST(TierHealthTest, FewReadsAndSmallDifferencesSayNothing) {
  const std::vector<Durations> past(6, Reads(10, 1));
  EXPECT_EQ(JudgeTier(kAzureKind, Reads(10, 30), past).state, TierHealth::State::kWell);
  EXPECT_EQ(JudgeTier(kAzureKind, Reads(2, 900), past).state, TierHealth::State::kWell);
  EXPECT_EQ(JudgeTier(kAzureKind, Reads(0, 0), past).state, TierHealth::State::kIdle);
}

TEST(TierHealthTest, AnOutageOfMostOfThePastDoesNotBecomeItsMeasure) {
  std::vector<Durations> past(3, Reads(10, 5));
  past.resize(10, Reads(10, 300));
  EXPECT_EQ(JudgeTier(kAzureKind, Reads(10, 300), past).state, TierHealth::State::kSlow);
}

MetricFamilies Lookups(double hits, double misses) {
  return {{"kvstore_lookup_blocks_total",
           "",
           MetricType::kCounter,
           {{{{"result", "hit"}}, hits}, {{{"result", "miss"}}, misses}},
           {}}};
}

TEST(StatusSamplesTest, ASampleIsTheDifferenceToTheOneBefore) {
  StatusSamples samples;
  const absl::Time start = absl::FromUnixSeconds(1000);
  samples.Take(start, absl::Seconds(2), Lookups(100, 0));
  EXPECT_THAT(samples.Since(0).second, SizeIs(0)) << "nothing to compare with";
  samples.Take(start + absl::Seconds(2), absl::Seconds(2), Lookups(103, 1));
  samples.Take(start + absl::Seconds(4), absl::Seconds(2), Lookups(103, 1));
  const auto [first, list] = samples.Since(0);
  EXPECT_EQ(first, 0u);
  ASSERT_THAT(list, SizeIs(2));
  EXPECT_FLOAT_EQ(list[0].values[0], 0.75f);
  EXPECT_TRUE(std::isnan(list[1].values[0])) << "no lookups, no ratio";
}

TEST(StatusSamplesTest, TheOldestGoAndNumbersGoOn) {
  StatusSamples samples;
  for (size_t i = 0; i < StatusSamples::kKept + 11; ++i) {
    samples.Take(absl::FromUnixSeconds(static_cast<int64_t>(i)), absl::Seconds(1), Lookups(0, 0));
  }
  const auto [first, list] = samples.Since(0);
  EXPECT_EQ(first, 10u);
  EXPECT_THAT(list, SizeIs(StatusSamples::kKept));
  EXPECT_THAT(samples.Since(first + StatusSamples::kKept - 1).second, SizeIs(1));
  EXPECT_THAT(samples.Since(1'000'000).second, SizeIs(0));
}

TEST(StatusSamplesTest, ARestartOfTheCountersIsNoNegativeRate) {
  StatusSamples samples;
  samples.Take(absl::UnixEpoch(), absl::Seconds(2), Lookups(100, 100));
  samples.Take(absl::UnixEpoch(), absl::Seconds(2), Lookups(3, 1));
  EXPECT_TRUE(std::isnan(samples.Since(0).second[0].values[0]));
}

TEST(StatusProblemsTest, ATierThatFailsIsToldWhereCallersHearNothing) {
  StatusSamples samples;
  const auto take = [&](double errors, double damaged) {
    samples.Take(absl::UnixEpoch(), absl::Seconds(2),
                 {Counter("kvstore_disk_tier_errors_total", "", errors),
                  Counter("kvstore_scrub_errors_total", "", damaged)});
  };
  const auto problems = [&] {
    return FindProblems(absl::OkStatus(), {}, samples.Tiers(), samples.RecentFailures());
  };
  take(5, 0);
  take(5, 0);
  EXPECT_THAT(problems(), SizeIs(0)) << "what was before is no news";
  take(8, 2);
  ASSERT_THAT(problems(), SizeIs(2));
  EXPECT_TRUE(problems()[0].bad);
  EXPECT_EQ(problems()[0].text, "Disk fails: 3 reads in the last 30 s");
  EXPECT_THAT(problems()[1].text, HasSubstr("2 blocks were found damaged"));
  for (size_t i = 0; i < StatusSamples::kRecent; ++i) take(8, 2);
  EXPECT_THAT(problems(), SizeIs(0)) << "it is over";
}

TEST(StatusProblemsTest, WhatIsBadComesBeforeWhatIsSlow) {
  std::array<StatusSamples::Tier, kTiers> tiers;
  tiers[2].health = {TierHealth::State::kSlow, 214, 5, "Azure is slow"};
  StatusSamples::Failures failures;
  failures.calls = {{"RESOURCE_EXHAUSTED", 4}, {"UNAVAILABLE", 2}};
  failures.azure_requests = 10;
  failures.azure_retries = 2;
  const std::vector<StatusProblem> problems =
      FindProblems(absl::UnavailableError("loading"), {}, tiers, failures);
  ASSERT_THAT(problems, SizeIs(5));
  EXPECT_THAT(problems[0].text, HasSubstr("Not ready"));
  EXPECT_THAT(problems[1].text, HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(problems[2].text, HasSubstr("Azure fails: of 10 requests"));
  EXPECT_FALSE(problems[3].bad);
  EXPECT_THAT(problems[3].text, HasSubstr("were refused"));
  EXPECT_EQ(problems[4].text, "Azure is slow");
}

RpcRecord Call(std::string identity = "") {
  RpcRecord record;
  record.rpc = "Read";
  record.code = "OK";
  record.identity = std::move(identity);
  return record;
}

TEST(SlowRequestsTest, KeepsTheSlowestInOrder) {
  SlowRequests slow;
  for (int64_t us = 1; us <= 100; ++us) slow.Ended(Call(), us * 37 % 101);
  const std::vector<SlowRequest> list = slow.List();
  ASSERT_THAT(list, SizeIs(SlowRequests::kKept));
  for (size_t i = 0; i < list.size(); ++i) {
    EXPECT_EQ(list[i].total_us, 100 - static_cast<int64_t>(i));
  }
  EXPECT_FALSE(slow.Wants(80));
  EXPECT_TRUE(slow.Wants(82));
}

TEST(SlowRequestsTest, ForgetsWhatIsOld) {
  SlowRequests slow;
  for (size_t i = 0; i < SlowRequests::kKept; ++i) slow.Ended(Call(), 1000);
  slow.Expire(absl::Now() + SlowRequests::kRemembered + absl::Seconds(1));
  EXPECT_THAT(slow.List(), SizeIs(0));
  EXPECT_TRUE(slow.Wants(1));
}

TEST(SlowRequestsTest, KeepsNoMoreOfANameThanItSays) {
  SlowRequests slow;
  slow.Ended(Call(std::string(10'000, 'x')), 5);
  EXPECT_THAT(slow.List()[0].identity, SizeIs(SlowRequests::kMaxIdentityBytes));
}

TEST(ShownOptionsTest, SecretsAreNotShown) {
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"--tls-key", "/etc/server.key"},
           {"--token", "abc"},
           {"--blob-suffix", "DefaultEndpointsProtocol=https;AccountKey=abc="},
           {"--accounts", "https://user:secret@host/"},
           {"--host", std::string(64, 'a')},
           {"--x", "https://a.blob.core.windows.net/?sv=1&sig=abc"}}) {
    EXPECT_EQ(Masked(name, value), kMask) << name;
  }
}

TEST(ShownOptionsTest, WhatIsNoSecretIs) {
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"--data-dir", "/var/lib/kvstore/a-rather-long-name/of-a-directory/with-many-parts"},
           {"--host", "0.0.0.0"},
           {"--numa-node", "0"},
           {"--keep", "1"},
           {"--blob-suffix", "blob.core.windows.net"}}) {
    EXPECT_EQ(Masked(name, value), value) << name;
  }
}

class StatusReportTest : public ::testing::Test {
 protected:
  StatusReport::Sources Sources() {
    StatusReport::Sources sources;
    sources.version = "1.2.3";
    sources.metrics = [this] { return families_; };
    sources.ready = [this] { return ready_; };
    return sources;
  }
  nlohmann::json Json() { return nlohmann::json::parse(StatusReport(Sources()).Json(0)); }

  MetricFamilies families_;
  absl::Status ready_;
};

TEST_F(StatusReportTest, SaysWhyItIsNotReady) {
  ready_ = absl::UnavailableError("the store is being opened");
  const nlohmann::json json = Json();
  EXPECT_FALSE(json["ready"]["ok"]);
  EXPECT_THAT(json["problems"][0]["text"].get<std::string>(),
              HasSubstr("the store is being opened"));
  EXPECT_TRUE(json["problems"][0]["bad"]);
}

TEST_F(StatusReportTest, WrittenByOutsidersItIsJsonAllTheSame) {
  families_ = {{"kvstore_tenant_requests_total",
                "Calls.",
                MetricType::kCounter,
                {{{{"tenant", "\xff\xfe\"</script>\n"}}, 3}},
                {}}};
  const nlohmann::json json = Json();
  EXPECT_THAT(json["tenants"]["rows"][0]["name"].get<std::string>(), HasSubstr("\"</script>\n"));
}

TEST_F(StatusReportTest, TablesAreCutAndTheLargestComeFirst) {
  MetricFamily family{"kvstore_tenant_requests_total", "Calls.", MetricType::kCounter, {}, {}};
  for (size_t i = 0; i < StatusReport::kMostRows + 7; ++i) {
    family.samples.push_back({{{"tenant", std::to_string(i)}}, static_cast<double>(i)});
  }
  families_ = {family};
  const nlohmann::json json = Json();
  EXPECT_THAT(json["tenants"]["rows"], SizeIs(StatusReport::kMostRows));
  EXPECT_EQ(json["tenants"]["more"], 7);
  EXPECT_EQ(json["tenants"]["rows"][0]["name"], std::to_string(StatusReport::kMostRows + 6));
}

TEST_F(StatusReportTest, AnAgeWithoutEndIsToldInWords) {
  families_ = {Gauge("kvstore_log_age_seconds", "", std::numeric_limits<double>::infinity())};
  EXPECT_THAT(Json()["problems"][0]["text"].get<std::string>(), HasSubstr("could not be read"));
}

TEST(StatusPageTest, AsksNobodyElse) {
  const StatusPage& page = TheStatusPage();
  EXPECT_THAT(page.policy, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page.policy, Not(HasSubstr("unsafe")));
  for (const char* outside : {"https://", "@import", "url(", " onclick", " style=\""}) {
    EXPECT_THAT(page.html, Not(HasSubstr(outside)));
  }
}

double Of(const MetricFamilies& families, std::string_view name, const std::string& tenant) {
  return FindValue(families, name, {{"tenant", tenant}}).value_or(-1);
}

TEST(TenantMetricsTest, CountsByWhoCalled) {
  TenantMetrics metrics;
  EXPECT_THAT(metrics.Collect(), SizeIs(0)) << "nobody is asked who they are";
  RpcRecord call = Call("a");
  call.bytes = 100;
  metrics.Count(call);
  call.rpc = "Write";
  call.code = "RESOURCE_EXHAUSTED";
  metrics.Count(call);
  metrics.Count(Call());
  const MetricFamilies families = metrics.Collect();
  EXPECT_EQ(Of(families, "kvstore_tenant_requests_total", "a"), 2);
  EXPECT_EQ(Of(families, "kvstore_tenant_failed_requests_total", "a"), 1);
  EXPECT_EQ(Of(families, "kvstore_tenant_sent_chunk_bytes_total", "a"), 100);
  EXPECT_EQ(Of(families, "kvstore_tenant_received_chunk_bytes_total", "a"), 100);
}

TEST(TenantMetricsTest, WhatIsStoredCountsForThoseWhoMayWriteThere) {
  TenantMetrics metrics;
  std::map<TenantMetrics::Space, uint64_t> stored;
  const auto bytes_of = [&](const TenantMetrics::Space& space) { return stored[space]; };
  EXPECT_THAT(metrics.Stored(bytes_of), SizeIs(0)) << "nobody is asked who they are";
  for (const char* tenant : {"a", "b", "reader"}) metrics.Count(Call(tenant));
  const TenantMetrics::Space one{1}, two{2}, empty{3};
  metrics.AddUse(11, "a", one);
  metrics.AddUse(12, "a", two);
  metrics.AddUse(22, "b", two);
  metrics.AddUse(13, "a", empty);
  metrics.AddUse(31, "reader", std::nullopt);
  stored = {{one, 100}, {two, 20}};
  EXPECT_TRUE(metrics.KnowsUse(13));
  EXPECT_TRUE(metrics.KnowsUse(31));
  const auto of = [&](const char* tenant) {
    return Of(metrics.Stored(bytes_of), "kvstore_tenant_stored_bytes", tenant);
  };
  EXPECT_EQ(of("a"), 120);
  EXPECT_EQ(of("b"), 20);
  EXPECT_EQ(of("reader"), 0);
  EXPECT_TRUE(metrics.KnowsUse(11));
  EXPECT_FALSE(metrics.KnowsUse(13)) << "asked for anew at the next call";
  EXPECT_FALSE(metrics.KnowsUse(31));
}

TEST(TenantMetricsTest, RemembersSoManyUsesAndNoMore) {
  TenantMetrics metrics;
  for (size_t i = 0; i < TenantMetrics::kMostUses + 3; ++i) {
    metrics.AddUse(i, "a", TenantMetrics::Space{});
  }
  EXPECT_TRUE(metrics.KnowsUse(TenantMetrics::kMostUses - 1));
  EXPECT_FALSE(metrics.KnowsUse(TenantMetrics::kMostUses));
}

TEST(TenantMetricsTest, BeyondSoManyTheyAreOther) {
  TenantMetrics metrics;
  for (size_t i = 0; i < TenantMetrics::kMostNamed + 5; ++i) {
    metrics.Count(Call("tenant " + std::to_string(i)));
    metrics.Count(Call("tenant " + std::to_string(i)));
  }
  const MetricFamilies families = metrics.Collect();
  EXPECT_THAT(families[0].samples, SizeIs(TenantMetrics::kMostNamed + 1));
  EXPECT_EQ(Of(families, "kvstore_tenant_requests_total", "other"), 10);
  EXPECT_EQ(Of(families, "kvstore_tenant_requests_total", "tenant 0"), 2);
}

TEST(RpcMetricsTest, ReadsAreTimedByTier) {
  RpcMetrics metrics;
  metrics.CountRead(ReadTier::kRam, 0);
  metrics.CountRead(ReadTier::kAzure, 200'000);
  metrics.CountRead(ReadTier::kAzure, 210'000);
  const Durations azure =
      FindDurations(metrics.Collect(), "kvstore_tier_read_duration_seconds", {{"tier", "azure"}});
  EXPECT_EQ(azure.count(), 2u);
  EXPECT_NEAR(azure.mean_ms(), 205, 1e-6);
  EXPECT_NEAR(azure.quantile_ms(1), 250, 1e-6);
}

}  // namespace
}  // namespace kvstore
