// Spans of calls, to a collector of OpenTelemetry's: OTLP over HTTP, as JSON.
// https://opentelemetry.io/docs/specs/otlp/
//
// A call is a span of kind server, and each of its stages (rpc_record.h) a child of it. What is not
// sampled costs a comparison.
#ifndef KVSERVICE_OBSERVE_SPAN_EXPORTER_H_
#define KVSERVICE_OBSERVE_SPAN_EXPORTER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "KVCommon/trace_context.h"
#include "KVService/observe/metrics.h"
#include "KVService/observe/rpc_record.h"
#include "KVService/observe/span_json.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

// Thread-safe. Nobody waits for the collector but a thread of this object: where it is slow or
// away, at most kMostSpans wait, what comes then is dropped, and both are counted.
class SpanExporter {
 public:
  static constexpr size_t kMostSpans = 8192;  // that wait; of about half a KiB
  static constexpr size_t kBatch = 512;       // spans of a request, and those of one more call
  static constexpr std::chrono::seconds kInterval{1};
  static constexpr absl::Duration kPatience = absl::Seconds(10);  // for an answer
  static constexpr absl::Duration kLastPatience = absl::Seconds(2);
  static constexpr int kAttempts = 3;  // of a batch, while the collector is away

  // Sends a body to the collector. `done` gets its answer's body, or UNAVAILABLE where it is worth
  // another try and any other code where it is not; exactly once, from any thread, by the deadline,
  // or when the exporter is gone.
  using Post = std::function<void(std::string body, absl::Time deadline,
                                  absl::AnyInvocable<void(absl::StatusOr<std::string>) &&> done)>;

  // `sampled` of the traces that begin here are kept, of those that callers began what they say.
  SpanExporter(double sampled, SpanResource resource, Post post);
  // Sends what waits, within kLastPatience.
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  // The context of a call: a span of its own in the caller's trace, or in a new one.
  TraceContext Begin(const std::optional<TraceContext>& caller) const;

  // A call that is over, and whose origin is sampled.
  void Export(const RpcRecord& record, int64_t total_us);

  MetricFamilies Metrics() const;

 private:
  void Run();
  // False where the exporter is to end.
  bool AwaitBatch();
  void Send(const std::deque<FinishedCall>& batch, size_t spans);
  absl::Status SendOnce(const std::string& body, size_t spans);
  bool Pause(std::chrono::milliseconds pause);

  const double sampled_;
  const SpanResource resource_;
  const Post post_;
  std::atomic<uint64_t> exported_ = 0;
  std::atomic<uint64_t> dropped_ = 0;
  std::atomic<int64_t> last_complaint_s_ = 0;

  // Not absl's: its timed waits follow the wall clock, which jumps.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<FinishedCall> waiting_;
  size_t waiting_spans_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_SPAN_EXPORTER_H_
