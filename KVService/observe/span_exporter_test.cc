#include "KVService/observe/span_exporter.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

using Json = nlohmann::json;
using PostDone = absl::AnyInvocable<void(absl::StatusOr<std::string>) &&>;

constexpr char kTrace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

RpcRecord Record(std::string_view rpc = "Read") {
  RpcRecord record;
  record.rpc = rpc;
  record.code = "OK";
  record.timed = true;
  auto origin = std::make_shared<Origin>();
  origin->trace = {NewTraceId(), NewSpanId(), true};
  record.origin = std::move(origin);
  return record;
}

double Value(const SpanExporter& exporter, const std::string& name) {
  for (const MetricFamily& family : exporter.Metrics()) {
    if (family.name == name) return family.samples[0].value;
  }
  ADD_FAILURE() << name;
  return -1;
}

// What was posted; answers as the test says, or keeps `done` for ever.
class Posts {
 public:
  std::function<absl::StatusOr<std::string>()> answer = [] { return "{}"; };
  bool silent = false;

  SpanExporter::Post post() {
    return [this](std::string body, absl::Time deadline, PostDone done) {
      EXPECT_GT(deadline, absl::Now());
      {
        absl::MutexLock lock(&mutex_);
        bodies_.push_back(std::move(body));
        if (silent) return held_.push_back(std::move(done));
      }
      std::move(done)(answer());
    };
  }
  std::vector<std::string> Await(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return bodies_.size() >= count;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(30)));
    return bodies_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> bodies_ ABSL_GUARDED_BY(mutex_);
  std::vector<PostDone> held_ ABSL_GUARDED_BY(mutex_);
};

Json SpansOf(const std::string& body) {
  return Json::parse(body).at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans");
}

TEST(SpanJson, IsWhatOtlpSays) {
  FinishedCall call{Record(), absl::FromUnixNanos(1'700'000'000'123'456'789), 1500, {}};
  auto origin = std::make_shared<Origin>();
  origin->trace = *ParseTraceparent(kTrace);
  origin->caller_span = {1, 2, 3, 4, 5, 6, 7, 8};
  call.record.origin = origin;
  call.record.completion_id = "no\xffUTF-8";
  call.record.Time("azure", 100, 1400);
  call.record.Time("nothing", 5, 5);
  const std::string body = EncodeSpans({"1.2", "host", "id"}, {call});
  const Json spans = SpansOf(body);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0]["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(spans[0]["spanId"], "00f067aa0ba902b7");
  EXPECT_EQ(spans[0]["parentSpanId"], "0102030405060708");
  EXPECT_EQ(spans[0]["name"], "kvstore.KVStoreService/Read");
  EXPECT_EQ(spans[0]["startTimeUnixNano"], "1700000000121956789");
  EXPECT_EQ(spans[0]["endTimeUnixNano"], "1700000000123456789");
  EXPECT_EQ(spans[1]["parentSpanId"], spans[0]["spanId"]);
  EXPECT_EQ(spans[1]["name"], "azure");
  EXPECT_EQ(spans[1]["startTimeUnixNano"], "1700000000122056789");
  EXPECT_EQ(spans[1]["endTimeUnixNano"], "1700000000123356789");
  EXPECT_NE(body.find("no\xef\xbf\xbdUTF-8"), std::string::npos);
  const Json resource = Json::parse(body).at("resourceSpans").at(0).at("resource");
  EXPECT_EQ(resource["attributes"][0]["value"]["stringValue"], "kvstore");
}

TEST(SpanJson, RequestsElsewhereAreSpansOfAClient) {
  FinishedCall call{Record(), absl::Now(), 1500, {}};
  auto origin = std::make_shared<Origin>();
  origin->trace = *ParseTraceparent(kTrace);
  origin->tracestate = "congo=t61,rojo=00f";
  call.record.origin = origin;
  call.requests = {{{1}, "GET", "host", 10'000, 503, 1, 10, 200},
                   {{2}, "GET", "host", 10'000, 200, 2, 300, 400},
                   {{3}, "PUT", "host", 443, 0, 1, 500, 99'999}};
  EXPECT_EQ(call.spans(), 4u);
  const Json spans = SpansOf(EncodeSpans({}, {call}));
  ASSERT_EQ(spans.size(), 4u);
  for (const Json& span : spans) EXPECT_EQ(span["traceState"], "congo=t61,rojo=00f");
  EXPECT_EQ(spans[1]["spanId"], "0100000000000000") << "what the asked one was told";
  EXPECT_EQ(spans[1]["parentSpanId"], spans[0]["spanId"]);
  EXPECT_EQ(spans[1]["name"], "GET");
  EXPECT_EQ(spans[1]["kind"], 3);
  EXPECT_EQ(spans[1]["attributes"].dump(),
            R"([{"key":"http.request.method","value":{"stringValue":"GET"}},)"
            R"({"key":"server.address","value":{"stringValue":"host"}},)"
            R"({"key":"server.port","value":{"intValue":"10000"}},)"
            R"({"key":"http.response.status_code","value":{"intValue":"503"}}])");
  EXPECT_TRUE(spans[1].contains("status"));
  EXPECT_FALSE(spans[2].contains("status"));
  EXPECT_NE(spans[2]["attributes"].dump().find("resend_count"), std::string::npos);
  EXPECT_TRUE(spans[3].contains("status")) << "no answer";
  EXPECT_EQ(spans[3]["endTimeUnixNano"], spans[0]["endTimeUnixNano"]) << "within its call";
}

TEST(TracedRequests, AreBounded) {
  TracedRequests requests;
  for (size_t i = 0; i < TracedRequests::kMost + 7; ++i) requests.Add({});
  EXPECT_EQ(requests.requests().size(), TracedRequests::kMost);
  EXPECT_EQ(requests.left_out(), 7);
}

TEST(SpanJson, TellsTheServersErrorsFromItsCallers) {
  for (const auto& [code, error] :
       std::vector<std::pair<std::string_view, bool>>{{"OK", false},
                                                      {"INVALID_ARGUMENT", false},
                                                      {"RESOURCE_EXHAUSTED", false},
                                                      {"UNAVAILABLE", true},
                                                      {"INTERNAL", true},
                                                      {"DEADLINE_EXCEEDED", true}}) {
    FinishedCall call{Record(), absl::Now(), 1, {}};
    call.record.code = code;
    EXPECT_EQ(SpansOf(EncodeSpans({}, {call}))[0].contains("status"), error) << code;
  }
}

TEST(SpanJson, AStreamsStagesAreBounded) {
  FinishedCall call{Record("StreamingRead"), absl::Now(), 100, {}};
  for (int i = 0; i < 1000; ++i) call.record.Time("disk", i, i + 1);
  EXPECT_EQ(call.spans(), RpcRecord::kMostTimed + 1);
  const std::string body = EncodeSpans({}, {call});
  EXPECT_NE(body.find(R"({"key":"kvstore.stages_left_out","value":{"intValue":"872"}})"),
            std::string::npos);
}

TEST(RejectedSpans, AreReadOfWhateverCollectorsAnswer) {
  EXPECT_EQ(RejectedSpans(R"({"partialSuccess":{"rejectedSpans":"7","errorMessage":"x"}})"), 7u);
  EXPECT_EQ(RejectedSpans(R"({"partialSuccess":{"rejectedSpans":7}})"), 7u);
  for (const char* none : {"", "{}", "[]", "null", "<html>", R"({"partialSuccess":null})",
                           R"({"partialSuccess":{}})", R"({"partialSuccess":{"rejectedSpans":-1}})",
                           R"({"partialSuccess":{"rejectedSpans":"many"}})"}) {
    EXPECT_EQ(RejectedSpans(none), 0u) << none;
  }
}

TEST(SpanExporter, TheCallersTraceGoesOnAndItsFlagCounts) {
  Posts posts;
  const SpanExporter none(0, {}, posts.post()), all(1, {}, posts.post());
  const auto caller = ParseTraceparent(kTrace);
  for (const SpanExporter* exporter : {&none, &all}) {
    const TraceContext context = exporter->Begin(caller);
    EXPECT_EQ(context.trace_id, caller->trace_id);
    EXPECT_NE(context.span_id, caller->span_id);
    EXPECT_TRUE(context.sampled);
    TraceContext unsampled = *caller;
    unsampled.sampled = false;
    EXPECT_FALSE(exporter->Begin(unsampled).sampled);
  }
  EXPECT_FALSE(none.Begin(std::nullopt).sampled);
  EXPECT_TRUE(none.Begin(std::nullopt).has_trace());
  EXPECT_TRUE(all.Begin(std::nullopt).sampled);
}

TEST(SpanExporter, SendsInBatchesAndWhatWaitsAtTheEnd) {
  Posts posts;
  {
    SpanExporter exporter(1, {}, posts.post());
    for (size_t i = 0; i < SpanExporter::kBatch + 3; ++i) exporter.Export(Record(), 1);
  }
  size_t spans = 0;
  for (const std::string& body : posts.Await(2)) {
    spans += SpansOf(body).size();
    EXPECT_LE(SpansOf(body).size(), SpanExporter::kBatch);
  }
  EXPECT_EQ(spans, SpanExporter::kBatch + 3);
}

TEST(SpanExporter, TriesAgainWhatPassesAndNothingElse) {
  Posts posts;
  posts.answer = [count = 0]() mutable -> absl::StatusOr<std::string> {
    if (++count <= 2) return absl::UnavailableError("503");
    if (count == 3) return R"({"partialSuccess":{"rejectedSpans":"1"}})";
    return absl::FailedPreconditionError("404");
  };
  {
    SpanExporter exporter(1, {}, posts.post());
    exporter.Export(Record(), 1);
    exporter.Export(Record(), 1);
    posts.Await(3);
    while (Value(exporter, "kvstore_spans_exported_total") == 0)
      absl::SleepFor(absl::Milliseconds(5));
    EXPECT_EQ(Value(exporter, "kvstore_spans_exported_total"), 1);
    while (Value(exporter, "kvstore_spans_dropped_total") == 0)
      absl::SleepFor(absl::Milliseconds(5));
    exporter.Export(Record(), 1);
    posts.Await(4);
    while (Value(exporter, "kvstore_spans_dropped_total") == 1)
      absl::SleepFor(absl::Milliseconds(5));
    EXPECT_EQ(Value(exporter, "kvstore_spans_dropped_total"), 2);
  }
  EXPECT_EQ(posts.Await(4).size(), 4u);
}

TEST(SpanExporter, DropsWhatASilentCollectorDoesNotTakeAndEnds) {
  Posts posts;
  posts.silent = true;
  {
    SpanExporter exporter(1, {}, posts.post());
    exporter.Export(Record(), 1);
    posts.Await(1);
    for (size_t i = 0; i < 2 * SpanExporter::kMostSpans; ++i) exporter.Export(Record(), 1);
    EXPECT_EQ(Value(exporter, "kvstore_spans_dropped_total"), SpanExporter::kMostSpans);
  }
}

}  // namespace
}  // namespace kvstore
