#include "KVPlayground/figures.h"

#include <spdlog/fmt/chrono.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "KVPlayground/report_options.h"

namespace kvstore::playground {
namespace {

using Row = std::vector<std::string>;

// Latencies are kept to the microsecond, and shown so.
std::string Ms(int64_t us) { return fmt::format("{:.3f}", static_cast<double>(us) / 1e3); }

std::string Gb(double bytes) { return fmt::format("{:.4f}", bytes / 1e9); }

std::string Ratio(uint64_t found, uint64_t blocks) {
  return blocks == 0 ? "" : fmt::format("{:.6f}", HitRatio({0, blocks, found}));
}

std::string GbPerSecond(uint64_t bytes, double seconds) {
  return Gb(PerSecond(static_cast<double>(bytes), seconds));
}

std::string Seconds(double seconds) { return fmt::format("{:.3f}", seconds); }

void AddPercentiles(Row& row, const Histogram& times) {
  for (const double percent : kPercentiles) row.push_back(Ms(times.Percentile(percent)));
}

void AddOperation(Table& table, const std::string& name, const OperationStats& operation) {
  const std::pair<const char*, const Histogram*> parts[] = {{"end-to-end", &operation.end_to_end},
                                                            {"server", &operation.server},
                                                            {"network", &operation.network}};
  for (const auto& [part, times] : parts) {
    Row row = {fmt::format("{} {}", name, part), std::to_string(times->count()),
               std::to_string(operation.errors)};
    if (times->count() > 0) {
      AddPercentiles(row, *times);
    } else {
      row.resize(row.size() + std::size(kPercentiles));
    }
    table.rows.push_back(std::move(row));
  }
}

// p50, p99 and the longest.
void AddShort(Row& row, const Histogram& times) {
  for (const double percent : {50.0, 99.0, 100.0}) {
    row.push_back(times.count() == 0 ? "" : Ms(times.Percentile(percent)));
  }
}

Row SweepRow(const std::string& name, const Run& run) {
  const IterationStats total = run.stats.Total();
  Row row = {
      name,
      std::to_string(total.requests),
      fmt::format("{:.1f}", PerSecond(static_cast<double>(total.requests), run.elapsed_seconds)),
      GbPerSecond(run.stats.read_bytes, run.elapsed_seconds),
      GbPerSecond(run.stats.written_bytes, run.elapsed_seconds),
      Ratio(total.found, total.blocks)};
  AddShort(row, run.stats.lookup.end_to_end);
  AddShort(row, run.stats.read.end_to_end);
  return row;
}

}  // namespace

Table RunTable(const Report& report) {
  const RunStats& stats = report.run.stats;
  const IterationStats total = stats.Total();
  const Run& run = report.run;
  Table table{"run", {"", "value"}, {}};
  const auto add = [&](const char* name, std::string value) {
    table.rows.push_back({name, std::move(value)});
  };
  add("requests", std::to_string(total.requests));
  add("failed requests", std::to_string(stats.failed_requests));
  add("elapsed s", Seconds(run.elapsed_seconds));
  add("tokens/s",
      fmt::format("{:.0f}", PerSecond(static_cast<double>(stats.tokens), run.elapsed_seconds)));
  add("read GB", Gb(static_cast<double>(stats.read_bytes)));
  add("read s, with one under way", Seconds(run.read_seconds));
  add("read GB/s, with one under way", GbPerSecond(stats.read_bytes, run.read_seconds));
  add("written GB", Gb(static_cast<double>(stats.written_bytes)));
  add("write s, with one under way", Seconds(run.write_seconds));
  add("write GB/s, with one under way", GbPerSecond(stats.written_bytes, run.write_seconds));
  add("full blocks", std::to_string(total.blocks));
  add("blocks found", std::to_string(total.found));
  add("hit ratio", Ratio(total.found, total.blocks));
  add("ideal hit ratio", fmt::format("{:.6f}", run.ideal_hit_ratio));
  if (report.sweep.empty() && stats.iterations.size() > 1) {
    const IterationStats& first = stats.iterations.front();
    add("hit ratio, iteration 1", Ratio(first.found, first.blocks));
    add("hit ratio, later ones", Ratio(total.found - first.found, total.blocks - first.blocks));
  }
  if (report.options.speed > 0) add("worst lag s", Ms(run.worst_lag_ms));
  add("blocks validated", std::to_string(stats.blocks_validated));
  add("mismatches", std::to_string(report.mismatches));
  add("errors", std::to_string(report.errors));
  add("lost blocks", std::to_string(stats.lost_blocks));
  return table;
}

Table LatencyTable(const Report& report) {
  Table table{"latency", {"", "count", "errors"}, {}};
  for (const double percent : kPercentiles) {
    table.columns.push_back(percent == 100 ? "max ms" : fmt::format("p{} ms", percent));
  }
  AddOperation(table, "lookup", report.run.stats.lookup);
  AddOperation(table, "read", report.run.stats.read);
  AddOperation(table, "write", report.run.stats.write);
  return table;
}

Table SweepTable(const Report& report) {
  Table table{"sweep",
              {"at a time", "requests", "requests/s", "read GB/s", "write GB/s", "hit ratio",
               "lookup p50 ms", "lookup p99 ms", "lookup max ms", "read p50 ms", "read p99 ms",
               "read max ms"},
              {}};
  for (const Run& step : report.sweep) {
    const bool fill = &step == &report.sweep.front();
    table.rows.push_back(SweepRow(fill ? "storing" : std::to_string(step.concurrency), step));
  }
  return table;
}

Table TimeTable(const Report& report) {
  Table table{
      "time",
      {"from s", "requests/s", "failed", "read GB/s", "write GB/s", "hit ratio", "longest call ms"},
      {}};
  const Series& series = report.run.stats.series;
  const double width = std::chrono::duration<double>(series.width()).count();
  const double end = report.run.start_seconds + report.run.elapsed_seconds;
  for (size_t i = 0; i < series.buckets().size(); ++i) {
    const Series::Bucket& bucket = series.buckets()[i];
    const double from = static_cast<double>(i) * width;
    // The run ended within the last one.
    const double seconds = end > from ? std::min(width, end - from) : width;
    table.rows.push_back(
        {fmt::format("{:.1f}", from),
         fmt::format("{:.1f}", PerSecond(static_cast<double>(bucket.requests), seconds)),
         std::to_string(bucket.failed), GbPerSecond(bucket.read_bytes, seconds),
         GbPerSecond(bucket.written_bytes, seconds), Ratio(bucket.found, bucket.blocks),
         bucket.longest_call_us == 0 ? "" : Ms(bucket.longest_call_us)});
  }
  return table;
}

Table ServerTable(const Report& report) {
  Table table{"server",
              {"server", "calls", "blocks read", "failures", "retries", "times left", "p50 ms",
               "p95 ms", "state"},
              {}};
  for (const ServerStats& one : report.servers.servers) {
    table.rows.push_back({one.name, std::to_string(one.calls), std::to_string(one.blocks_read),
                          std::to_string(one.failures), std::to_string(one.retries),
                          std::to_string(one.times_left), Ms(one.latency_p50.count()),
                          Ms(one.latency_p95.count()), one.up ? "up" : "down"});
  }
  return table;
}

Table OptionsTable(const Report& report) {
  const nlohmann::ordered_json options = OptionsOf(report);
  Table table{"options", {"", "value"}, {}};
  for (const auto& [name, value] : options.items()) {
    table.rows.push_back({name, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  return table;
}

Table MachineTable(const Report& report) {
  Table table{"machine", {"", "value"}, {}};
  table.rows.push_back(
      {"started", fmt::format("{:%Y-%m-%d %H:%M:%S} UTC",
                              fmt::gmtime(std::chrono::system_clock::to_time_t(report.started)))});
  table.rows.push_back({"KVPlayground", KVSTORE_VERSION});
  for (const auto& [name, value] : report.machine) table.rows.push_back({name, value});
  return table;
}

}  // namespace kvstore::playground
