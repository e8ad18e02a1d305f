#include "KVService/observe/rpc_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "KVCommon/digest.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace kvstore {
namespace {

void AppendNumber(int64_t number, std::string* line) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  line->append(digits.data(), end);
}

void AppendText(std::string_view text, std::string* line) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c >= ' ' && c < '\x7f' && c != '"' && c != '\\';
  });
  if (!plain) {
    // Control characters and quotes are the caller's, who may also send what is no UTF-8.
    *line += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return;
  }
  *line += '"';
  *line += text;
  *line += '"';
}

// "2026-01-31T12:00:00.": the same for all lines of a second, on each thread.
const std::string& Second(int64_t seconds) {
  thread_local int64_t last = -1;
  thread_local std::string text;
  if (seconds == last) return text;
  const absl::CivilSecond civil =
      absl::ToCivilSecond(absl::FromUnixSeconds(seconds), absl::UTCTimeZone());
  text = absl::FormatCivilTime(civil) + ".";
  last = seconds;
  return text;
}

void AppendTime(std::chrono::system_clock::time_point time, std::string* line) {
  const int64_t ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  *line += Second(ms / 1000);
  const auto fraction = static_cast<int>(ms % 1000);
  *line += static_cast<char>('0' + fraction / 100);
  *line += static_cast<char>('0' + fraction / 10 % 10);
  *line += static_cast<char>('0' + fraction % 10);
  *line += 'Z';
}

}  // namespace

void AppendRpcLine(const RpcRecord& record, std::chrono::system_clock::time_point time,
                   std::string* line) {
  *line += R"({"time":")";
  AppendTime(time, line);
  *line += R"(","rpc":")";
  *line += record.rpc;
  *line += R"(","code":")";
  *line += record.code;
  *line += '"';
  const auto number = [line](std::string_view name, int64_t value) {
    *line += name;
    AppendNumber(value, line);
  };
  number(R"(,"storage_latency_us":)", record.storage_us);
  number(R"(,"total_latency_us":)", record.total_us);
  number(R"(,"overhead_us":)", record.total_us - record.storage_us);
  number(R"(,"blocks":)", record.blocks);
  number(R"(,"found":)", record.found);
  number(R"(,"bytes":)", record.bytes);
  const auto text = [line](std::string_view name, std::string_view value) {
    *line += name;
    AppendText(value, line);
  };
  if (!record.completion_id.empty()) text(R"(,"completion_id":)", record.completion_id);
  if (!record.identity.empty()) text(R"(,"identity":)", record.identity);
  if (record.origin != nullptr) {
    text(R"(,"request_id":)", record.origin->request_id.view());
    if (record.origin->trace.has_trace()) {
      text(R"(,"trace_id":)", ToHex(record.origin->trace.trace_id));
    }
  }
  *line += "}\n";
}

}  // namespace kvstore
