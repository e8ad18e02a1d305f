#include "KVService/observe/rpc_log.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <string>
#include <utility>

#include "KVService/observe/rpc_line.h"

namespace kvstore {

RpcLog::RpcLog(bool enabled, std::chrono::milliseconds slow_from, SpanExporter* spans)
    : slow_(slow_from), spans_(spans) {
  if (enabled) lines_ = std::make_unique<LineWriter>(StandardOutput());
}

RpcLog::~RpcLog() { Drain(LineWriter::kPatience); }

bool RpcLog::Drain(std::chrono::milliseconds patience) {
  if (lines_ == nullptr || std::exchange(drained_, true)) return true;
  const bool written = lines_->Stop(patience);
  if (const uint64_t dropped = lines_->dropped(); dropped > 0) {
    spdlog::error("metrics lines dropped, the console was too slow lines={}", dropped);
  }
  return written;
}

MetricFamilies RpcLog::Metrics() const {
  MetricFamilies families = metrics_.Collect();
  for (MetricFamily& family : tenants_.Collect()) families.push_back(std::move(family));
  if (spans_ != nullptr) {
    for (MetricFamily& family : spans_->Metrics()) families.push_back(std::move(family));
  }
  families.push_back(
      Counter("kvstore_console_lines_dropped_total",
              "Lines of calls that were dropped, since the console was too slow or gone.",
              lines_ != nullptr ? static_cast<double>(lines_->dropped()) : 0));
  return families;
}

void RpcLog::Write(const RpcRecord& record) {
  metrics_.Count(record);
  tenants_.Count(record);
  if (lines_ == nullptr) return;
  thread_local std::string line;
  line.clear();
  AppendRpcLine(record, std::chrono::system_clock::now(), &line);
  lines_->Write(line);
}

}  // namespace kvstore
