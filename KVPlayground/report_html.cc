#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "KVPlayground/chart.h"
#include "KVPlayground/figures.h"
#include "KVPlayground/html_escape.h"
#include "KVPlayground/report.h"

namespace kvstore::playground {
namespace {

constexpr char kStyle[] = R"(
:root { color-scheme: light dark; --text: #1f2328; --dim: #59636e; --line: #d9dee3; --back: #fff;
        --card: #f6f8fa; --good: #1a7f37; --bad: #cf222e; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --dim: #9198a1; --line: #30363d; --back: #0d1117; --card: #161b22;
          --good: #3fb950; --bad: #f85149; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
       max-width: 1040px; margin: 0 auto; padding: 1.5em 1em 3em; }
h1 { font-size: 1.5em; margin: 0; } h2 { font-size: 1.15em; margin: 2em 0 .6em; }
p { margin: .4em 0; overflow-wrap: anywhere; } .dim { color: var(--dim); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(max(140px, 22%), 1fr)); gap: .7em;
         margin: 1.2em 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 6px;
             padding: .5em .8em; }
.tiles b { display: block; font-size: 1.35em; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
          gap: 1.2em; }
figure { margin: 0; break-inside: avoid; } figcaption { font-weight: 600; margin-bottom: .3em; }
.wide { overflow-x: auto; margin-top: .8em; }
table { border-collapse: collapse; font-size: .92em; font-variant-numeric: tabular-nums; }
td, th { padding: .2em .7em; border-bottom: 1px solid var(--line); text-align: right;
         white-space: nowrap; }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
th { color: var(--dim); font-weight: 500; white-space: normal; vertical-align: bottom; }
.words td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
summary { cursor: pointer; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } .wide { overflow: visible; }
  td, th { padding: .1em .35em; } .charts { display: block; }
  figure { display: inline-block; width: 48%; } h2 { break-after: avoid; } }
)";

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::string Html(const Table& table, const char* style = "") {
  std::string html = fmt::format("<div class=wide><table id=\"{}\" class=\"{}\"><thead><tr>",
                                 Escaped(table.name), style);
  for (const std::string& column : table.columns) html += "<th>" + Escaped(column) + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const std::vector<std::string>& row : table.rows) {
    html += "<tr>";
    for (const std::string& cell : row) html += "<td>" + Escaped(cell) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string Figure(const Chart& chart) {
  const std::string svg = Svg(chart);
  if (svg.empty()) return "";
  return fmt::format("<figure><figcaption>{}</figcaption>{}</figure>\n", Escaped(chart.title), svg);
}

size_t ColumnOf(const Table& table, const std::string& name) {
  return static_cast<size_t>(std::ranges::find(table.columns, name) - table.columns.begin());
}

double Number(const std::string& cell) { return cell.empty() ? kNone : std::atof(cell.c_str()); }

// A table's column as a line, from a row on; x is the row's number, or its name's.
Chart::Line Column(const Table& table, const std::string& column, const std::string& name,
                   size_t first_row, bool x_is_number) {
  Chart::Line line{name, {}};
  const size_t at = ColumnOf(table, column);
  for (size_t i = first_row; i < table.rows.size(); ++i) {
    const double x = x_is_number ? Number(table.rows[i][0]) : static_cast<double>(i - first_row);
    line.points.emplace_back(x, Number(table.rows[i][at]));
  }
  return line;
}

Chart LatencyChart(const Table& latency, bool of_sweep) {
  Chart chart{of_sweep ? "Latency by percentile, all steps together" : "Latency by percentile",
              "percentile",
              "ms",
              {},
              true,
              0,
              {},
              {}};
  for (size_t i = 3; i < latency.columns.size(); ++i) {
    const std::string& column = latency.columns[i];
    chart.x_names.push_back(column.substr(0, column.find(' ')));
  }
  for (const char* operation : {"lookup", "read", "write"}) {
    Chart::Line line{operation, {}};
    for (const std::vector<std::string>& row : latency.rows) {
      if (row[0] != fmt::format("{} end-to-end", operation)) continue;
      for (size_t i = 3; i < row.size(); ++i) {
        line.points.emplace_back(static_cast<double>(i - 3), Number(row[i]));
      }
    }
    chart.lines.push_back(std::move(line));
  }
  return chart;
}

std::string TimeCharts(const Report& report, const Table& time) {
  std::vector<std::pair<double, std::string>> marks;
  for (const Run& step : report.sweep) {
    const bool fill = &step == &report.sweep.front();
    if (!fill) marks.emplace_back(step.start_seconds, std::to_string(step.concurrency));
  }
  const std::string x = marks.empty() ? "s" : "s; from each line on so many at a time";
  const auto line = [&](const char* column, const char* name) {
    return Column(time, column, name, 0, true);
  };
  Chart throughput{"Throughput over time", x, "GB/s", {}, false, 0, {}, marks};
  throughput.lines = {line("read GB/s", "read"), line("write GB/s", "written")};
  Chart hits{"Hit ratio over time", x, "ratio", {}, false, 1, {}, marks};
  hits.lines = {line("hit ratio", "blocks found / looked up")};
  Chart calls{"Longest call over time", x, "ms", {}, true, 0, {}, marks};
  calls.lines = {line("longest call ms", "longest call of each moment")};
  return Figure(throughput) + Figure(hits) + Figure(calls);
}

std::string SweepPart(const Table& sweep) {
  if (sweep.rows.size() < 2) return "";
  constexpr size_t kFirst = 1;  // behind the one that stores everything
  std::vector<std::string> names;
  for (size_t i = kFirst; i < sweep.rows.size(); ++i) names.push_back(sweep.rows[i][0]);
  const auto line = [&](const char* column, const char* name) {
    return Column(sweep, column, name, kFirst, false);
  };
  Chart latency{"Latency against concurrency", "at a time", "ms", names, true, 0, {}, {}};
  latency.lines = {line("read p50 ms", "read p50"), line("read p99 ms", "read p99"),
                   line("lookup p50 ms", "lookup p50"), line("lookup p99 ms", "lookup p99")};
  Chart rate{"Throughput against concurrency", "at a time", "GB/s", names, false, 0, {}, {}};
  rate.lines = {line("read GB/s", "read")};
  return "<h2>Against concurrency</h2>\n<p class=dim>Before the first step everything was stored "
         "and read once; all workers share one partition. Each step then looks up and reads these "
         "same blocks, and finds the store as a whole read of them has left it. Where a hit ratio "
         "is below 1 the store gave blocks up, and the step wrote them again.</p>\n<div "
         "class=charts>" +
         Figure(latency) + Figure(rate) + "</div>\n" + Html(sweep);
}

std::string Tile(const std::string& value, const char* name, const char* style = "") {
  return fmt::format("<div><b class=\"{}\">{}</b><span class=dim>{}</span></div>", style,
                     Escaped(value), name);
}

std::string Tiles(const Report& report, const Table& run, const Table& latency) {
  const auto value = [](const Table& table, const char* row, const char* column) {
    for (const std::vector<std::string>& each : table.rows) {
      const std::string& cell = each[ColumnOf(table, column)];
      if (each[0] == row) return cell.empty() ? std::string("–") : cell;
    }
    return std::string();
  };
  return "<div class=tiles>" + Tile(value(run, "hit ratio", "value"), "hit ratio") +
         Tile(value(run, "ideal hit ratio", "value"), "of an endless cache") +
         Tile(value(run, "read GB/s, with one under way", "value"), "GB/s read") +
         Tile(value(latency, "read end-to-end", "p50 ms"), "ms, p50 of a block read") +
         Tile(value(latency, "read end-to-end", "p99 ms"), "ms, p99 of a block read") +
         Tile(value(run, "blocks validated", "value"), "blocks checked, byte by byte") +
         Tile(std::to_string(report.mismatches), "mismatches",
              report.mismatches == 0 ? "good" : "bad") +
         Tile(std::to_string(report.errors), "errors", report.errors == 0 ? "good" : "bad") +
         "</div>\n";
}

std::string Messages(const char* what, uint64_t count, const std::vector<std::string>& first) {
  std::string html;
  for (const std::string& message : first) {
    html += fmt::format("<p class=bad>{}: {}</p>\n", what, Escaped(message));
  }
  if (count > first.size()) {
    html += fmt::format("<p class=bad>{}: and {} more</p>\n", what, count - first.size());
  }
  return html;
}

std::string Head(const Report& report, const Table& machine) {
  const Options& o = report.options;
  std::string servers;
  for (const ServerStats& one : report.servers.servers) {
    servers += (servers.empty() ? "" : ", ") + one.name;
  }
  return "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n"
         "<meta name=viewport content='width=device-width, initial-scale=1'>\n"
         // Should an escape be missing somewhere, nothing runs and nothing is fetched.
         "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
         "'unsafe-inline'\">\n<title>KVPlayground report</title>\n<style>" +
         std::string(kStyle) + std::string(kChartStyle) +
         "</style></head><body>\n<h1>KVPlayground report</h1>\n" +
         fmt::format("<p class=dim>{} against {}, {}</p>\n",
                     Escaped(o.trace_file.empty() ? o.tokens_file : o.trace_file),
                     Escaped(servers.empty() ? o.server : servers), Escaped(machine.rows[0][1]));
}

}  // namespace

std::string ReportHtml(const Report& report) {
  const Table run = RunTable(report), latency = LatencyTable(report), time = TimeTable(report);
  const Table machine = MachineTable(report);
  std::string html = Head(report, machine) + Tiles(report, run, latency);
  html += Messages("mismatch", report.mismatches, report.first_mismatches);
  html += Messages("error", report.errors, report.first_errors);
  if (report.gave_up) html += "<p class=bad>Gave up: too many requests in a row failed.</p>\n";
  html += SweepPart(SweepTable(report));
  html += "<h2>Latency and throughput</h2>\n<div class=charts>" +
          Figure(LatencyChart(latency, !report.sweep.empty())) + TimeCharts(report, time) +
          "</div>\n<h2>Latency</h2>\n" + Html(latency);
  html += "<h2>Totals</h2>\n" + Html(run);
  const Table servers = ServerTable(report);
  if (!servers.rows.empty()) html += "<h2>Servers</h2>\n" + Html(servers);
  html += "<h2>Options</h2>\n" + Html(OptionsTable(report), "words");
  html += "<h2>Machine</h2>\n" + Html(machine, "words");
  html += fmt::format(
      "<h2>Over time</h2>\n<details><summary>{} moments of {} s</summary>\n{}"
      "</details>\n",
      time.rows.size(), std::chrono::duration<double>(report.run.stats.series.width()).count(),
      Html(time));
  return html + "</body></html>\n";
}

}  // namespace kvstore::playground
