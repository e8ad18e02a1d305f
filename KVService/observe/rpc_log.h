// The console metrics: one JSON line a call on standard output.
//
//   {"time":"2026-01-31T12:00:00.123Z","rpc":"Read","code":"OK","storage_latency_us":0,
//    "total_latency_us":41,"overhead_us":41,"blocks":1,"found":1,"bytes":1258291,
//    "completion_id":"chat-7","identity":"team-a","request_id":"1f0c…"}
//
// blocks: asked for or brought; found: of those, the ones that were there; bytes: of buffers and
// chunks moved; identity: who called, where the server asks (--auth); request_id: the caller's, or
// else the server's own; trace_id, beside it: of the trace that the call is part of, if any. A
// StreamingRead is one line, with the sums of its blocks.
#ifndef KVSERVICE_OBSERVE_RPC_LOG_H_
#define KVSERVICE_OBSERVE_RPC_LOG_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "KVService/observe/rpc_metrics.h"
#include "KVService/observe/rpc_record.h"
#include "KVService/observe/slow_requests.h"
#include "KVService/observe/span_exporter.h"
#include "KVService/observe/tenant_metrics.h"

namespace spdlog {
class async_logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace kvstore {

// Thread-safe. Writing never waits for the console: a thread of its own does, and where that falls
// more than kQueueLines behind, the oldest lines are dropped, counted, and the count is logged.
class RpcLog {
 public:
  static constexpr size_t kQueueLines = 8192;

  // Calls that took `slow_from` or longer are logged; 0: none.
  // Spans go to `spans`, unless it is null; it must outlive this.
  explicit RpcLog(bool enabled, std::chrono::milliseconds slow_from = {},
                  SpanExporter* spans = nullptr);
  ~RpcLog();  // writes what is queued

  // A call that has ended: counted, and written where the log is enabled.
  void Write(const RpcRecord& record);

  // A call that is over, its answer's sending included: told to whoever wants slow ones, and, where
  // it is timed, to the spans.
  void Ended(const RpcRecord& record, int64_t total_us) {
    slow_.Ended(record, total_us);
    if (record.timed) spans_->Export(record, total_us);
  }

  // A block that was read, as RpcMetrics::CountRead.
  void CountRead(ReadTier tier, int64_t us) { metrics_.CountRead(tier, us); }

  // Of all calls so far.
  MetricFamilies Metrics() const;
  SlowRequests& slow() { return slow_; }
  const SlowRequests& slow() const { return slow_; }
  SpanExporter* spans() { return spans_; }

  // Writes what is queued and ends; false where the console does not take it in time, and then the
  // process must end with _Exit. REQUIRES: no Write after it.
  bool Drain(std::chrono::milliseconds patience);

 private:
  void LogDropped() const;

  RpcMetrics metrics_;
  TenantMetrics tenants_;
  SlowRequests slow_;
  SpanExporter* const spans_;
  std::shared_ptr<spdlog::details::thread_pool> thread_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_RPC_LOG_H_
