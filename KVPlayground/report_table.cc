#include <spdlog/fmt/fmt.h>

#include "KVPlayground/report.h"

namespace kvstore::playground {
namespace {

std::string Duration(int64_t us) {
  if (us < 1000) return fmt::format("{} us", us);
  if (us < 1'000'000) return fmt::format("{:.2f} ms", static_cast<double>(us) / 1e3);
  return fmt::format("{:.2f} s", static_cast<double>(us) / 1e6);
}

std::string Row(const std::string& name, const std::string& count, const std::string& errors,
                const char* kind, const Histogram& times) {
  return fmt::format("{:<9}{:>10}{:>9}   {:<11}{:>12}{:>12}{:>12}{:>12}\n", name, count, errors,
                     kind, Duration(times.Percentile(50)), Duration(times.Percentile(90)),
                     Duration(times.Percentile(99)), Duration(times.max()));
}

std::string Rows(const char* name, const OperationStats& operation) {
  return Row(name, std::to_string(operation.count), std::to_string(operation.errors), "end-to-end",
             operation.end_to_end) +
         Row("", "", "", "server", operation.server) +
         Row("", "", "", "network", operation.network);
}

std::string Rate(const char* what, uint64_t bytes, double seconds) {
  const auto total = static_cast<double>(bytes);
  return fmt::format("{:<18}{:.3f} GB/s ({:.3f} GB in the {:.2f} s with one under way)\n", what,
                     PerSecond(total, seconds) / 1e9, total / 1e9, seconds);
}

std::string Heading(const Report& report) {
  const Options& o = report.options;
  if (!o.sweep.empty()) {
    return fmt::format("{}: {} requests x {} iterations, {} at a time in turn, {} bytes a block\n",
                       o.trace_file.empty() ? o.tokens_file : o.trace_file, report.prompts,
                       o.iterations, fmt::join(o.sweep, ", "), o.buffer_bytes);
  }
  if (!o.trace_file.empty()) {
    return fmt::format("trace {}: {} requests x {} iterations, {} at a time, {} bytes a block\n",
                       o.trace_file, report.prompts, o.iterations, o.concurrency, o.buffer_bytes);
  }
  return fmt::format("{}: {} prompts x {} iterations x {} workers, {} bytes a block{}\n",
                     o.tokens_file, report.prompts, o.iterations, o.concurrency, o.buffer_bytes,
                     o.shared_partition ? ", one partition" : "");
}

std::string HitRatios(const Report& report) {
  const RunStats& stats = report.run.stats;
  const IterationStats total = stats.Total();
  std::string text =
      fmt::format("{:<18}{:.6f} ({} of {} full blocks); ideal {:.6f}\n", "hit ratio",
                  HitRatio(total), total.found, total.blocks, report.run.ideal_hit_ratio);
  if (report.sweep.empty() && stats.iterations.size() > 1) {
    IterationStats later;
    for (size_t i = 1; i < stats.iterations.size(); ++i) later.Merge(stats.iterations[i]);
    text += fmt::format("{:<18}{:.6f} ({} of {})\n", "  iteration 1", HitRatio(stats.iterations[0]),
                        stats.iterations[0].found, stats.iterations[0].blocks);
    text += fmt::format("{:<18}{:.6f} ({} of {})\n", "  later ones", HitRatio(later), later.found,
                        later.blocks);
  }
  return text;
}

// Of one server the operations say it all.
std::string Servers(const ClientStats& client) {
  if (client.servers.size() < 2) return "";
  std::string text = fmt::format("\n{:<24}{:>10}{:>10}{:>10}{:>9}{:>7}{:>12}{:>12}\n", "server",
                                 "calls", "blocks", "failures", "retries", "left", "p50", "p95");
  for (const ServerStats& one : client.servers) {
    text += fmt::format("{:<24}{:>10}{:>10}{:>10}{:>9}{:>7}{:>12}{:>12}{}\n", one.name, one.calls,
                        one.blocks_read, one.failures, one.retries, one.times_left,
                        Duration(one.latency_p50.count()), Duration(one.latency_p95.count()),
                        one.up ? "" : " DOWN");
  }
  return text;
}

std::string Sweep(const std::vector<Run>& steps) {
  if (steps.empty()) return "";
  std::string text = fmt::format("\n{:<9}{:>11}{:>11}{:>11}{:>12}{:>10}{:>11}{:>10}{:>10}\n",
                                 "at a time", "requests/s", "read GB/s", "hit ratio", "lookup p50",
                                 "p99", "read p50", "p99", "max");
  for (const Run& step : steps) {
    const bool fill = &step == &steps.front();
    const IterationStats total = step.stats.Total();
    const Histogram& lookup = step.stats.lookup.end_to_end;
    const Histogram& read = step.stats.read.end_to_end;
    text += fmt::format(
        "{:<9}{:>11.1f}{:>11.3f}{:>11.6f}{:>12}{:>10}{:>11}{:>10}{:>10}\n",
        fill ? "storing" : std::to_string(step.concurrency),
        PerSecond(static_cast<double>(total.requests), step.elapsed_seconds),
        PerSecond(static_cast<double>(step.stats.read_bytes), step.elapsed_seconds) / 1e9,
        HitRatio(total), Duration(lookup.Percentile(50)), Duration(lookup.Percentile(99)),
        Duration(read.Percentile(50)), Duration(read.Percentile(99)), Duration(read.max()));
  }
  return text;
}

std::string Messages(const char* what, uint64_t count, const std::vector<std::string>& first) {
  std::string text;
  for (const std::string& message : first) text += fmt::format("{}: {}\n", what, message);
  if (count > first.size()) text += fmt::format("{}: and {} more\n", what, count - first.size());
  return text;
}

}  // namespace

std::string ReportTable(const Report& report) {
  const RunStats& stats = report.run.stats;
  std::string text = "\n" + Heading(report) + "\n";
  text += fmt::format("{:<9}{:>10}{:>9}   {:<11}{:>12}{:>12}{:>12}{:>12}\n", "", "count", "errors",
                      "time", "p50", "p90", "p99", "max");
  text += Rows("lookup", stats.lookup) + Rows("read", stats.read) + Rows("write", stats.write);
  text += "\n";
  text += Rate("read", stats.read_bytes, report.run.read_seconds);
  text += Rate("write", stats.written_bytes, report.run.write_seconds);
  text += fmt::format("{:<18}{:.0f} tokens/s ({} tokens in {:.2f} s)\n", "prompts",
                      PerSecond(static_cast<double>(stats.tokens), report.run.elapsed_seconds),
                      stats.tokens, report.run.elapsed_seconds);
  if (report.options.speed > 0) {
    text += fmt::format("{:<18}{:.3f} s\n", "worst lag",
                        static_cast<double>(report.run.worst_lag_ms) / 1e3);
  }
  text += HitRatios(report);
  text += fmt::format("{:<18}{}\n", "blocks validated", stats.blocks_validated);
  text += fmt::format("{:<18}{}\n", "mismatches", report.mismatches);
  if (stats.lost_blocks > 0) {
    text += fmt::format("{:<18}{} (found by a lookup, gone when read)\n", "lost blocks",
                        stats.lost_blocks);
  }
  text += Sweep(report.sweep);
  text += Servers(report.servers);
  text += Messages("mismatch", report.mismatches, report.first_mismatches);
  text += Messages("error", report.errors, report.first_errors);
  if (report.gave_up) text += "gave up: too many requests in a row failed\n";
  return text;
}

}  // namespace kvstore::playground
