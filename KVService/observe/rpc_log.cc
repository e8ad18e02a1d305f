#include "KVService/observe/rpc_log.h"

#include <spdlog/async.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <nlohmann/json.hpp>

namespace kvstore {

RpcLog::RpcLog(bool enabled) {
  if (!enabled) return;
  thread_ = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
  logger_ = std::make_shared<spdlog::async_logger>(
      "rpc", std::make_shared<spdlog::sinks::stdout_sink_mt>(), thread_,
      spdlog::async_overflow_policy::overrun_oldest);
  logger_->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})", spdlog::pattern_time_type::utc));
}

RpcLog::~RpcLog() {
  if (!logger_) return;
  if (const size_t dropped = thread_->overrun_counter(); dropped > 0) {
    spdlog::error("metrics lines dropped, the console was too slow lines={}", dropped);
  }
  logger_->flush();
}

void RpcLog::Write(const RpcRecord& record) {
  if (!logger_) return;
  std::string id;
  if (!record.completion_id.empty()) {
    // Control characters and quotes are the caller's; the dump escapes them.
    id = ",\"completion_id\":" + nlohmann::json(record.completion_id).dump();
  }
  logger_->info(
      R"("rpc":"{}","code":"{}","storage_latency_us":{},"total_latency_us":{},"overhead_us":{},"blocks":{},"found":{},"bytes":{}{})",
      record.rpc, record.code, record.storage_us, record.total_us,
      record.total_us - record.storage_us, record.blocks, record.found, record.bytes, id);
}

}  // namespace kvstore
