// What is told of calls that have ended: counters, the console metrics (rpc_line.h), slow requests,
// spans.
#ifndef KVSERVICE_OBSERVE_RPC_LOG_H_
#define KVSERVICE_OBSERVE_RPC_LOG_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "KVService/observe/line_writer.h"
#include "KVService/observe/rpc_metrics.h"
#include "KVService/observe/rpc_record.h"
#include "KVService/observe/slow_requests.h"
#include "KVService/observe/span_exporter.h"
#include "KVService/observe/tenant_metrics.h"

namespace kvstore {

// Thread-safe. Writing never waits for the console (line_writer.h).
class RpcLog {
 public:
  // Calls that took `slow_from` or longer are logged; 0: none.
  // Spans go to `spans`, unless it is null; it must outlive this.
  explicit RpcLog(bool enabled, std::chrono::milliseconds slow_from = {},
                  SpanExporter* spans = nullptr);
  ~RpcLog();  // as Drain, with LineWriter's patience

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
  TenantMetrics& tenants() { return tenants_; }
  SlowRequests& slow() { return slow_; }
  const SlowRequests& slow() const { return slow_; }
  SpanExporter* spans() { return spans_; }

  // Writes what is queued and ends; false where the console does not take it in time, and then the
  // process must end with _Exit. Lines that were dropped are logged. REQUIRES: no Write after it.
  bool Drain(std::chrono::milliseconds patience);

 private:
  RpcMetrics metrics_;
  TenantMetrics tenants_;
  SlowRequests slow_;
  SpanExporter* const spans_;
  std::unique_ptr<LineWriter> lines_;  // null: none are written
  bool drained_ = false;
};

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_RPC_LOG_H_
