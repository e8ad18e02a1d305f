#include "KVPlayground/trace_file.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "KVCommon/status_macros.h"
#include "KVPlayground/tokens_file.h"
#include "KVPlayground/tokens_parser.h"

namespace kvstore::playground {
namespace {

using nlohmann::json;

absl::Status Bad(const std::string& key, const std::string& what) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", key, what));
}

// An integer from `low` on. Floats without a fraction pass: some traces have timestamps so.
absl::StatusOr<int64_t> IntegerOf(const json& value, const std::string& key, int64_t low) {
  int64_t number = 0;
  const double limit = 9e15;  // up to here doubles are exact
  if (value.is_number_unsigned()) {
    const auto wide = value.get<uint64_t>();
    if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Bad(key, fmt::format("{} is too large", wide));
    }
    number = static_cast<int64_t>(wide);
  } else if (value.is_number_integer()) {
    number = value.get<int64_t>();
  } else if (value.is_number_float() && std::abs(value.get<double>()) < limit &&
             std::trunc(value.get<double>()) == value.get<double>()) {
    number = static_cast<int64_t>(value.get<double>());
  } else {
    const std::string got = value.dump(-1, ' ', true, json::error_handler_t::replace);
    return Bad(key, fmt::format("expected an integer, got {}", got.substr(0, 40)));
  }
  if (number < low) return Bad(key, fmt::format("expected {} or more, got {}", low, number));
  return number;
}

absl::StatusOr<int64_t> IntegerAt(const json& object, const char* key, int64_t low) {
  const auto found = object.find(key);
  if (found == object.end()) return Bad(key, "the key is missing");
  return IntegerOf(*found, key, low);
}

// SplitMix64's finaliser.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

absl::Status AppendIds(const json& object, Trace* trace) {
  const auto ids = object.find("hash_ids");
  if (ids == object.end()) return Bad("hash_ids", "the key is missing");
  if (!ids->is_array()) return Bad("hash_ids", "expected a list");
  if (ids->empty()) return Bad("hash_ids", "the list is empty");
  for (size_t i = 0; i < ids->size(); ++i) {
    KV_ASSIGN_OR_RETURN(const int64_t id, IntegerOf((*ids)[i], fmt::format("hash_ids[{}]", i), 0));
    trace->ids.push_back(static_cast<uint64_t>(id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseTraceLine(std::string_view text, size_t block_tokens, Trace* trace) {
  json object;
  try {
    object = json::parse(text);
  } catch (const json::exception& error) {
    // The caller knows the line; the column is what it lacks.
    std::string what = DescribeJsonError(text, 0, error.what());
    if (what.starts_with("line 1, ")) what = what.substr(8);
    return absl::InvalidArgumentError(what);
  }
  if (!object.is_object()) return absl::InvalidArgumentError("expected an object");

  TraceRequest request;
  KV_ASSIGN_OR_RETURN(request.timestamp_ms, IntegerAt(object, "timestamp", 0));
  KV_ASSIGN_OR_RETURN(const int64_t input_length, IntegerAt(object, "input_length", 1));
  if (input_length > kMaxPromptTokens) {
    return Bad("input_length", fmt::format("{} tokens are more than the {} that are allowed",
                                           input_length, kMaxPromptTokens));
  }
  if (object.contains("output_length")) {
    KV_RETURN_IF_ERROR(IntegerAt(object, "output_length", 0).status());
  }
  request.input_length = static_cast<size_t>(input_length);
  request.first_id = trace->ids.size();
  if (absl::Status status = AppendIds(object, trace); !status.ok()) {
    trace->ids.resize(request.first_id);
    return status;
  }
  request.id_count = trace->ids.size() - request.first_id;
  const size_t covered = request.id_count * block_tokens;
  if (covered < request.input_length) {
    trace->ids.resize(request.first_id);
    return Bad("hash_ids",
               fmt::format("{} ids of {} tokens cover {} tokens of an input_length of "
                           "{} (see --trace-block-tokens)",
                           request.id_count, block_tokens, covered, request.input_length));
  }
  trace->requests.push_back(request);
  return absl::OkStatus();
}

absl::StatusOr<Trace> ReadTraceFile(const std::string& path, size_t block_tokens, size_t limit) {
  KV_ASSIGN_OR_RETURN(const std::string file, ReadWholeFile(path, kMaxInputFileBytes));
  Trace trace;
  size_t number = 0;
  for (size_t start = 0; start < file.size();) {
    ++number;
    const size_t end = std::min(file.find('\n', start), file.size());
    const std::string_view line = std::string_view(file).substr(start, end - start);
    start = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    absl::Status status = absl::InvalidArgumentError("the line is too long");
    if (line.size() <= kMaxTraceLineBytes) status = ParseTraceLine(line, block_tokens, &trace);
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("{}:{}: {}", path, number, std::string(status.message())));
    }
    trace.requests.back().line = number;
    if (limit > 0 && trace.requests.size() == limit) break;
  }
  if (trace.requests.empty()) return Bad(path, "the trace has no requests");
  return trace;
}

void ExpandTokens(const Trace& trace, const TraceRequest& request, size_t block_tokens,
                  std::vector<Token>* tokens) {
  tokens->clear();
  tokens->reserve(request.input_length);
  for (const uint64_t id : trace.IdsOf(request)) {
    const size_t count = std::min(block_tokens, request.input_length - tokens->size());
    const uint64_t start = Mix(id + 1);
    // 17 bits, about a vocabulary: 128 of them tell any two blocks apart.
    for (size_t i = 0; i < count; ++i) {
      tokens->push_back(static_cast<Token>(Mix(start + i * 0x9E3779B97F4A7C15u) >> 47));
    }
  }
}

}  // namespace kvstore::playground
