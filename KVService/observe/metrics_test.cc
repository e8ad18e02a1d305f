// What Prometheus gets to see, over HTTP.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "KVService/http/curl_http_client.h"
#include "KVService/http/http_testing.h"
#include "KVService/observe/metrics_server.h"

namespace kvstore::testing {
namespace {

constexpr char kHost[] = "127.0.0.1";

class MetricsServerTest : public ::testing::Test {
 protected:
  std::unique_ptr<MetricsServer> Start(MetricSource source) {
    auto server = MetricsServer::Start(kHost, 0, std::move(source));
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  std::string Get(const MetricsServer& server, const std::string& path = "/metrics") {
    const auto response =
        SendNow(http_, Request(HttpMethod::kGet, "http://" + std::string(kHost) + ":" +
                                                     std::to_string(server.port()) + path));
    EXPECT_TRUE(response.ok()) << response.status();
    if (!response.ok()) return "";
    if (response->status == 200) return Body(*response);
    return std::to_string(response->status) + " " + Body(*response);
  }
  static bool Has(const std::string& text, const std::string& lines) {
    if (("\n" + text).find("\n" + lines + "\n") != std::string::npos) return true;
    ADD_FAILURE() << "no\n" << lines << "\nin\n" << text;
    return false;
  }

  CurlHttpClient http_{HttpClientOptions()};
};

TEST_F(MetricsServerTest, WritesEveryTypeAsPrometheusReadsIt) {
  const auto server = Start([] {
    MetricFamily labelled{"kvstore_calls_total", "Calls.", MetricType::kCounter, {}, {}};
    labelled.samples = {{{{"method", "Read"}, {"code", "OK"}}, 3}, {{{"method", "a\"\\\nb"}}, 4}};
    MetricFamily histogram{"kvstore_time_seconds", "Time.", MetricType::kHistogram, {}, {}};
    histogram.histograms = {{{{"method", "Read"}}, {0.001, 0.5}, {5, 0, 2}, 7.25}};
    return MetricFamilies{Gauge("kvstore_bytes", "Bytes.", 1099511627777.0),
                          Counter("kvstore_hits_total", "Hits.", 12), labelled, histogram};
  });
  const std::string text = Get(*server);
  Has(text, "# HELP kvstore_bytes Bytes.\n# TYPE kvstore_bytes gauge\nkvstore_bytes 1099511627777");
  Has(text,
      "# HELP kvstore_hits_total Hits.\n# TYPE kvstore_hits_total counter\nkvstore_hits_total 12");
  Has(text, R"(kvstore_calls_total{method="Read",code="OK"} 3)");
  Has(text, R"(kvstore_calls_total{method="a\"\\\nb"} 4)");
  Has(text, "# TYPE kvstore_time_seconds histogram");
  Has(text, R"(kvstore_time_seconds_count{method="Read"} 7)");
  Has(text, R"(kvstore_time_seconds_sum{method="Read"} 7.25)");
  Has(text, R"(kvstore_time_seconds_bucket{method="Read",le="0.001"} 5)");
  Has(text, R"(kvstore_time_seconds_bucket{method="Read",le="0.5"} 5)");
  Has(text, R"(kvstore_time_seconds_bucket{method="Read",le="+Inf"} 7)");
}

TEST_F(MetricsServerTest, AsksAnewEachTimeAndKnowsNoOtherPath) {
  std::atomic<int> asked = 0;
  const auto server =
      Start([&] { return MetricFamilies{Gauge("kvstore_asked", "Times.", ++asked)}; });
  Has(Get(*server), "kvstore_asked 1");
  Has(Get(*server), "kvstore_asked 2");
  EXPECT_TRUE(Get(*server, "/secrets").starts_with("404 "));
}

TEST_F(MetricsServerTest, TellsWhetherItIsReadyAndElseWhy) {
  absl::Status status = absl::UnavailableError("loading");
  const auto server = MetricsServer::Start(
      kHost, 0, [] { return MetricFamilies(); }, [&status] { return status; });
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(Get(**server, "/healthz"), "ok\n");
  EXPECT_EQ(Get(**server, "/readyz"), "503 loading\n");
  status = absl::OkStatus();
  EXPECT_EQ(Get(**server, "/readyz"), "ok\n");
}

TEST_F(MetricsServerTest, ManyMayAskAtOnce) {
  const auto server = Start([] { return MetricFamilies{Gauge("kvstore_up", "Up.", 1)}; });
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) Has(Get(*server), "kvstore_up 1");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(MetricsServerTest, APortThatIsTakenIsSaidToBe) {
  const auto server = Start([] { return MetricFamilies(); });
  const auto second = MetricsServer::Start(kHost, server->port(), [] { return MetricFamilies(); });
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
  EXPECT_NE(second.status().message().find(std::to_string(server->port())), std::string::npos);
  const auto elsewhere = MetricsServer::Start("192.0.2.1", 0, [] { return MetricFamilies(); });
  EXPECT_TRUE(absl::IsUnavailable(elsewhere.status())) << elsewhere.status();
}

}  // namespace
}  // namespace kvstore::testing
