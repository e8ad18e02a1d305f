#include <nlohmann/json.hpp>

#include "KVPlayground/report.h"
#include "KVPlayground/report_options.h"

namespace kvstore::playground {
namespace {

using nlohmann::ordered_json;

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

double Rate(uint64_t amount, double seconds) {
  return PerSecond(static_cast<double>(amount), seconds);
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

void AddRun(ordered_json& json, const Run& run) {
  const RunStats& stats = run.stats;
  const IterationStats total = stats.Total();
  json["concurrency"] = run.concurrency;
  json["lost_blocks"] = stats.lost_blocks;
  json["hit_ratio"] = HitRatio(total);
  json["ideal_hit_ratio"] = run.ideal_hit_ratio;
  json["blocks"] = total.blocks;
  json["found"] = total.found;
  json["requests"] = total.requests;
  json["failed_requests"] = stats.failed_requests;
  json["elapsed_seconds"] = run.elapsed_seconds;
  json["tokens"] = stats.tokens;
  json["tokens_per_s"] = Rate(stats.tokens, run.elapsed_seconds);
  json["read_bytes"] = stats.read_bytes;
  json["read_bytes_per_s"] = Rate(stats.read_bytes, run.read_seconds);
  json["write_bytes"] = stats.written_bytes;
  json["write_bytes_per_s"] = Rate(stats.written_bytes, run.write_seconds);
  json["worst_lag_ms"] = run.worst_lag_ms;
  json["longest_call_us"] = stats.longest_call_us;
  json["operations"] = {{"lookup", Operation(stats.lookup)},
                        {"read", Operation(stats.read)},
                        {"write", Operation(stats.write)}};
  json["iterations"] = Iterations(stats);
}

}  // namespace

std::string ReportJson(const Report& report) {
  ordered_json json;
  json["blocks_validated"] = report.run.stats.blocks_validated;
  json["mismatches"] = report.mismatches;
  json["errors"] = report.errors;
  json["gave_up"] = report.gave_up;
  AddRun(json, report.run);
  for (const Run& step : report.sweep) AddRun(json["sweep"].emplace_back(), step);
  json["shared_store"] = report.servers.shared_store;
  json["servers"] = Servers(report.servers);
  json["first_mismatches"] = report.first_mismatches;
  json["first_errors"] = report.first_errors;
  json["configuration"] = OptionsOf(report);
  // File names need not be UTF-8; JSON must be.
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace kvstore::playground
