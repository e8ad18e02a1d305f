#include <spdlog/fmt/fmt.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "KVCommon/status_macros.h"
#include "KVPlayground/report.h"

namespace kvstore::playground {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

void AddTimes(ordered_json& into, const std::string& prefix, const Histogram& times) {
  into[prefix + "p50_us"] = times.Percentile(50);
  into[prefix + "p90_us"] = times.Percentile(90);
  into[prefix + "p99_us"] = times.Percentile(99);
  into[prefix + "max_us"] = times.max();
}

ordered_json Operation(const OperationStats& operation) {
  ordered_json json;
  json["count"] = operation.count;
  json["errors"] = operation.errors;
  AddTimes(json, "", operation.end_to_end);
  AddTimes(json, "server_", operation.server);
  AddTimes(json, "network_", operation.network);
  return json;
}

double PerSecond(uint64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
}

ordered_json Configuration(const Report& report) {
  const Options& o = report.options;
  ordered_json json;
  if (o.trace_file.empty()) {
    json["tokens_file"] = o.tokens_file;
    json["shared_partition"] = o.shared_partition;
  } else {
    json["trace"] = o.trace_file;
    json["speed"] = o.speed;
    json["trace_block_tokens"] = o.trace_block_tokens;
  }
  json["prompts"] = report.prompts;
  json["iterations"] = o.iterations;
  json["concurrency"] = o.concurrency;
  json["buffer_bytes"] = o.buffer_bytes;
  json["server"] = o.server;
  json["storage"] = o.storage;
  json["container"] = o.container;
  json["partition"] = o.partition;
  json["timeout_seconds"] = o.timeout_seconds;
  return json;
}

ordered_json Iterations(const RunStats& stats) {
  ordered_json list = ordered_json::array();
  for (const IterationStats& one : stats.iterations) {
    list.push_back({{"hit_ratio", HitRatio(one)},
                    {"requests", one.requests},
                    {"blocks", one.blocks},
                    {"found", one.found}});
  }
  return list;
}

ordered_json Servers(const ClientStats& client) {
  ordered_json list = ordered_json::array();
  for (const ServerStats& one : client.servers) {
    list.push_back({{"name", one.name},
                    {"up", one.up},
                    {"calls", one.calls},
                    {"blocks_read", one.blocks_read},
                    {"failures", one.failures},
                    {"retries", one.retries},
                    {"times_left", one.times_left},
                    {"overflowed", one.overflowed},
                    {"further_home", one.further_home},
                    {"hedges_sent", one.hedges_sent},
                    {"hedges_won", one.hedges_won},
                    {"p50_us", one.latency_p50.count()},
                    {"p95_us", one.latency_p95.count()}});
  }
  return list;
}

std::string TemporaryBeside(const std::string& path) {
  return fmt::format("{}.{:08x}.tmp", path, std::random_device()());
}

absl::Status WriteError(const std::string& path) {
  return absl::InvalidArgumentError(
      fmt::format("{}: cannot be written: {}", path, errno ? std::strerror(errno) : "unknown"));
}

absl::Status WriteWhole(const std::string& path, const std::string& content) {
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  return file ? absl::OkStatus() : WriteError(path);
}

}  // namespace

std::string ReportJson(const Report& report) {
  const RunStats& stats = report.stats;
  const IterationStats total = stats.Total();
  ordered_json json;
  json["blocks_validated"] = stats.blocks_validated;
  json["mismatches"] = report.mismatches;
  json["errors"] = report.errors;
  json["lost_blocks"] = stats.lost_blocks;
  json["hit_ratio"] = HitRatio(total);
  json["ideal_hit_ratio"] = report.ideal_hit_ratio;
  json["blocks"] = total.blocks;
  json["found"] = total.found;
  json["requests"] = total.requests;
  json["failed_requests"] = stats.failed_requests;
  json["gave_up"] = report.gave_up;
  json["elapsed_seconds"] = report.elapsed_seconds;
  json["tokens"] = stats.tokens;
  json["tokens_per_s"] = PerSecond(stats.tokens, report.elapsed_seconds);
  json["read_bytes"] = stats.read_bytes;
  json["read_bytes_per_s"] = PerSecond(stats.read_bytes, report.read_seconds);
  json["write_bytes"] = stats.written_bytes;
  json["write_bytes_per_s"] = PerSecond(stats.written_bytes, report.write_seconds);
  json["worst_lag_ms"] = report.worst_lag_ms;
  json["longest_call_us"] = stats.longest_call_us;
  json["operations"] = {{"lookup", Operation(stats.lookup)},
                        {"read", Operation(stats.read)},
                        {"write", Operation(stats.write)}};
  json["iterations"] = Iterations(stats);
  json["shared_store"] = report.servers.shared_store;
  json["servers"] = Servers(report.servers);
  json["first_mismatches"] = report.first_mismatches;
  json["first_errors"] = report.first_errors;
  json["configuration"] = Configuration(report);
  // File names need not be UTF-8; JSON must be.
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

absl::Status CheckWritable(const std::string& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    return absl::InvalidArgumentError(fmt::format("{}: is there and is no regular file", path));
  }
  const std::string temporary = TemporaryBeside(path);
  const absl::Status written = WriteWhole(temporary, "");
  fs::remove(temporary, error);
  if (!written.ok()) {
    errno = 0;
    return absl::InvalidArgumentError(
        fmt::format("{}: no file can be made there ({})", path, std::string(written.message())));
  }
  return absl::OkStatus();
}

absl::Status WriteAtomically(const std::string& path, const std::string& content) {
  const std::string temporary = TemporaryBeside(path);
  absl::Status status = WriteWhole(temporary, content);
  std::error_code error;
  if (status.ok()) {
    fs::rename(temporary, path, error);
    if (!error) return absl::OkStatus();
    status = absl::InternalError(fmt::format("{}: cannot be replaced: {}", path, error.message()));
  }
  fs::remove(temporary, error);
  return status;
}

}  // namespace kvstore::playground
