#include "KVService/observe/slow_requests.h"
#include "KVCommon/digest.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"

namespace kvstore {

namespace {

// A caller's bytes, in quotes and on one line.
std::string Quoted(const std::string& text) {
  return nlohmann::json(text.substr(0, SlowRequests::kMaxIdentityBytes))
      .dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

std::string RequestIdOf(const RpcRecord& record) {
  return record.origin == nullptr ? "" : std::string(record.origin->request_id.view());
}

std::string TraceIdOf(const RpcRecord& record) {
  if (record.origin == nullptr || !record.origin->trace.has_trace()) return "";
  return ToHex(record.origin->trace.trace_id);
}

double Ms(int64_t us) { return static_cast<double>(us) / 1e3; }

}  // namespace

void SlowRequests::SetLeast() {
  least_us_.store(list_.size() < kKept ? -1 : list_.back().total_us, std::memory_order_relaxed);
}

void SlowRequests::Keep(const RpcRecord& record, int64_t total_us) {
  SlowRequest request{
      absl::Now(),        record.rpc,    record.code,  total_us,
      record.stages,      record.blocks, record.bytes, record.identity.substr(0, kMaxIdentityBytes),
      RequestIdOf(record)};
  absl::MutexLock lock(&mutex_);
  if (list_.size() == kKept) {
    if (list_.back().total_us >= total_us) return;  // another was quicker to come in
    list_.pop_back();
  }
  const auto at = std::find_if(list_.begin(), list_.end(),
                               [&](const SlowRequest& other) { return other.total_us < total_us; });
  list_.insert(at, std::move(request));
  SetLeast();
}

void SlowRequests::Log(const RpcRecord& record, int64_t total_us) {
  const int64_t second = absl::ToUnixSeconds(absl::Now());
  if (lines_second_.exchange(second, std::memory_order_relaxed) != second) {
    lines_ = 0;
    LogUnlogged();
  }
  if (lines_.fetch_add(1, std::memory_order_relaxed) >= kLinesASecond) {
    unlogged_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const RpcStages& stages = record.stages;
  spdlog::warn(
      "slow request rpc={} code={} total_ms={:.1f} admission_ms={:.1f} receiving_ms={:.1f} "
      "disk_ms={:.1f} azure_ms={:.1f} sending_ms={:.1f} blocks={} bytes={}{}{}{}{}",
      record.rpc, record.code, Ms(total_us), Ms(stages.admission_us), Ms(stages.receiving_us),
      Ms(stages.disk_us), Ms(stages.azure_us), Ms(stages.sending_us), record.blocks, record.bytes,
      record.completion_id.empty() ? "" : " completion_id=" + Quoted(record.completion_id),
      record.identity.empty() ? "" : " identity=" + Quoted(record.identity),
      record.origin == nullptr ? "" : " request_id=" + Quoted(RequestIdOf(record)),
      TraceIdOf(record).empty() ? "" : " trace_id=" + TraceIdOf(record));
}

void SlowRequests::Expire(absl::Time now) {
  {
    absl::MutexLock lock(&mutex_);
    std::erase_if(list_,
                  [&](const SlowRequest& request) { return now - request.ended > kRemembered; });
    SetLeast();
  }
  LogUnlogged();
}

void SlowRequests::LogUnlogged() {
  if (const int64_t unlogged = unlogged_.exchange(0); unlogged > 0) {
    spdlog::warn("slow requests not logged, there were too many count={}", unlogged);
  }
}

std::vector<SlowRequest> SlowRequests::List() const {
  absl::MutexLock lock(&mutex_);
  return list_;
}

}  // namespace kvstore
