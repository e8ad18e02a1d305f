#include "KVService/observe/rpc_log.h"
#include "KVCommon/digest.h"

#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

namespace kvstore {

RpcLog::RpcLog(bool enabled, std::chrono::milliseconds slow_from, SpanExporter* spans)
    : slow_(slow_from), spans_(spans) {
  if (!enabled) return;
  thread_ = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
  logger_ = std::make_shared<spdlog::async_logger>(
      "rpc", std::make_shared<spdlog::sinks::stdout_sink_mt>(), thread_,
      spdlog::async_overflow_policy::overrun_oldest);
  logger_->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})", spdlog::pattern_time_type::utc));
}

void RpcLog::LogDropped() const {
  if (const size_t dropped = thread_->overrun_counter(); dropped > 0) {
    spdlog::error("metrics lines dropped, the console was too slow lines={}", dropped);
  }
}

bool RpcLog::Drain(std::chrono::milliseconds patience) {
  if (!logger_) return true;
  LogDropped();
  std::promise<void> ended;
  std::future<void> end = ended.get_future();
  // The pool's destructor writes what is queued, and waits for ever where nobody reads the console.
  std::thread([logger = std::move(logger_), thread = std::move(thread_),
               ended = std::move(ended)]() mutable {
    logger.reset();
    thread.reset();
    ended.set_value();
  }).detach();
  return end.wait_for(patience) == std::future_status::ready;
}

RpcLog::~RpcLog() {
  if (!logger_) return;
  LogDropped();
  logger_->flush();
}

MetricFamilies RpcLog::Metrics() const {
  MetricFamilies families = metrics_.Collect();
  for (MetricFamily& family : tenants_.Collect()) families.push_back(std::move(family));
  if (spans_ != nullptr) {
    for (MetricFamily& family : spans_->Metrics()) families.push_back(std::move(family));
  }
  return families;
}

void RpcLog::Write(const RpcRecord& record) {
  metrics_.Count(record);
  tenants_.Count(record);
  if (!logger_) return;
  std::string id;
  if (!record.completion_id.empty()) {
    // Control characters and quotes are the caller's; the dump escapes them.
    id = ",\"completion_id\":" + nlohmann::json(record.completion_id).dump();
  }
  if (!record.identity.empty()) {
    id += ",\"identity\":" + nlohmann::json(record.identity).dump();
  }
  if (record.origin != nullptr) {
    id += ",\"request_id\":" + nlohmann::json(record.origin->request_id.view()).dump();
    if (record.origin->trace.has_trace()) {
      id += ",\"trace_id\":\"" + ToHex(record.origin->trace.trace_id) + '"';
    }
  }
  logger_->info(
      R"("rpc":"{}","code":"{}","storage_latency_us":{},"total_latency_us":{},"overhead_us":{},"blocks":{},"found":{},"bytes":{}{})",
      record.rpc, record.code, record.storage_us, record.total_us,
      record.total_us - record.storage_us, record.blocks, record.found, record.bytes, id);
}

}  // namespace kvstore
