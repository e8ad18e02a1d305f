#include "KVPlayground/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <regex>

#include "KVPlayground/chart.h"
#include "KVPlayground/figures.h"
#include "KVPlayground/html_escape.h"

namespace kvstore::playground {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ServerMetrics Metrics(int64_t us) {
  ServerMetrics metrics{};
  metrics.client_e2e_us = us;
  metrics.total_latency_us = us / 2;
  metrics.network_us = us / 2;
  return metrics;
}

// Ten requests of four blocks, three of them found, over a second.
RunStats Stats() {
  RunStats stats(1);
  for (int i = 0; i < 10; ++i) {
    stats.lookup.AddSuccess(Metrics(100 + i));
    for (int block = 0; block < 3; ++block) stats.read.AddSuccess(Metrics(2000));
    stats.iterations[0].Merge({1, 4, 3});
    stats.series.At(std::chrono::milliseconds(100 * i)).Merge({1, 0, 4, 3, 3'000'000, 0, 2000});
    stats.read_bytes += 3'000'000;
  }
  return stats;
}

Report Example() {
  Report report;
  report.options.tokens_file = "prompts.json";
  report.run.stats = Stats();
  report.run.elapsed_seconds = 1;
  report.run.read_seconds = 0.5;
  report.run.ideal_hit_ratio = 0.8;
  report.machine = {{"processor", "one"}};
  return report;
}

std::string Cell(const Table& table, const std::string& row, const std::string& column) {
  const auto at = std::ranges::find(table.columns, column) - table.columns.begin();
  for (const std::vector<std::string>& cells : table.rows) {
    if (cells[0] == row) return cells.at(static_cast<size_t>(at));
  }
  return "no such row";
}

TEST(Figures, TellRatesAndRatios) {
  const Table run = RunTable(Example());
  EXPECT_EQ(Cell(run, "requests", "value"), "10");
  EXPECT_EQ(Cell(run, "hit ratio", "value"), "0.750000");
  EXPECT_EQ(Cell(run, "ideal hit ratio", "value"), "0.800000");
  EXPECT_EQ(Cell(run, "read GB", "value"), "0.0300");
  EXPECT_EQ(Cell(run, "read GB/s, with one under way", "value"), "0.0600");
}

TEST(Figures, TellLatenciesToTheMicrosecondAndLeaveOutWhatWasNotMeasured) {
  const Table latency = LatencyTable(Example());
  EXPECT_EQ(Cell(latency, "lookup end-to-end", "count"), "10");
  EXPECT_EQ(Cell(latency, "lookup end-to-end", "p50 ms"), "0.104");
  EXPECT_EQ(Cell(latency, "lookup end-to-end", "max ms"), "0.109");
  EXPECT_EQ(Cell(latency, "read server", "p99.9 ms"), "1.000");
  EXPECT_EQ(Cell(latency, "write end-to-end", "count"), "0");
  EXPECT_EQ(Cell(latency, "write end-to-end", "p50 ms"), "");
}

TEST(Figures, TellWhatHappenedWhen) {
  Report report = Example();
  // Half a bucket was left: its rate is over that half.
  report.run.elapsed_seconds = 0.95;
  const Table time = TimeTable(report);
  ASSERT_EQ(time.rows.size(), 10u);
  EXPECT_EQ(Cell(time, "0.0", "read GB/s"), "0.0300");
  EXPECT_EQ(Cell(time, "0.9", "read GB/s"), "0.0600");
  EXPECT_EQ(Cell(time, "0.9", "hit ratio"), "0.750000");
  report.run.stats.series.At(std::chrono::milliseconds(1200));
  EXPECT_EQ(Cell(TimeTable(report), "1.1", "hit ratio"), "");
  EXPECT_EQ(Cell(TimeTable(report), "1.1", "longest call ms"), "");
}

TEST(Figures, HaveARowForEachStepOfASweep) {
  Report report = Example();
  EXPECT_TRUE(SweepTable(report).rows.empty());
  for (const size_t concurrency : {1, 2, 8}) {
    playground::Run step;
    step.concurrency = concurrency;
    step.stats = Stats();
    step.elapsed_seconds = 2;
    report.sweep.push_back(step);
  }
  const Table sweep = SweepTable(report);
  ASSERT_EQ(sweep.rows.size(), 3u);
  EXPECT_EQ(sweep.rows[0][0], "storing");
  EXPECT_EQ(Cell(sweep, "8", "requests/s"), "5.0");
  EXPECT_EQ(Cell(sweep, "8", "read GB/s"), "0.0150");
  EXPECT_EQ(Cell(sweep, "2", "read p99 ms"), "2.000");
}

TEST(Csv, QuotesWhatNeedsIt) {
  Report report = Example();
  report.options.partition = "a,\"b\"\nc";
  const std::string csv = ReportCsv(report);
  EXPECT_THAT(csv, StartsWith("table,row,column,value\r\n"));
  EXPECT_THAT(csv, HasSubstr("options,partition,value,\"a,\"\"b\"\"\nc\"\r\n"));
  EXPECT_THAT(csv, HasSubstr("latency,lookup end-to-end,p50 ms,0.104\r\n"));
  EXPECT_THAT(csv, HasSubstr("time,0.9,hit ratio,0.750000\r\n"));
}

TEST(Html, ShowsEveryNumberOfTheCsv) {
  const Report report = Example();
  const std::string page = ReportHtml(report);
  for (const Table& table : {RunTable(report), LatencyTable(report), TimeTable(report),
                             OptionsTable(report), MachineTable(report)}) {
    EXPECT_THAT(page, HasSubstr("<table id=\"" + table.name + "\""));
    for (const std::vector<std::string>& row : table.rows) {
      std::string cells = "<tr>";
      for (const std::string& cell : row) cells += "<td>" + Escaped(cell) + "</td>";
      EXPECT_THAT(page, HasSubstr(cells + "</tr>"));
    }
  }
}

TEST(Html, EscapesWhatComesFromOutside) {
  const std::string evil = "</td><script>alert(1)</script>&\"'";
  Report report = Example();
  report.options.tokens_file = report.options.partition = report.options.server = evil;
  report.options.storage = report.options.container = evil;
  report.machine.emplace_back(evil, evil);
  report.first_errors = {evil};
  report.first_mismatches = {evil};
  report.mismatches = report.errors = 2;
  ServerStats server;
  server.name = evil;
  report.servers.servers.push_back(server);
  const std::string page = ReportHtml(report);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, HasSubstr("&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;"));
  EXPECT_THAT(page, HasSubstr("error: and 1 more"));
}

TEST(Html, NeedsNothingFromElsewhere) {
  const std::string page = ReportHtml(Example());
  EXPECT_THAT(page, AllOf(Not(HasSubstr("src=")), Not(HasSubstr("href=")), Not(HasSubstr("url(")),
                          Not(HasSubstr("@import")), Not(HasSubstr("http:"))));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(Escaped, LeavesNoMarkupAndNoControlCharacter) {
  EXPECT_EQ(Escaped("a<b>&\"'\n\tä"), "a&lt;b&gt;&amp;&quot;&#39;\n\tä");
  EXPECT_EQ(Escaped(std::string_view("\0\x1b\x7f", 3)), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

// The points of a line, in the drawing.
std::vector<std::pair<double, double>> Points(const std::string& svg, int line) {
  static const std::regex kPoint(R"(([\d.]+) ([\d.]+))");
  const std::string begin = "<path class='line l" + std::to_string(line) + "' d='M";
  const size_t at = svg.rfind(begin);
  if (at == std::string::npos) return {};
  const std::string path =
      svg.substr(at + begin.size(), svg.find('\'', at + begin.size()) - at - begin.size());
  std::vector<std::pair<double, double>> points;
  for (std::sregex_iterator i(path.begin(), path.end(), kPoint), end; i != end; ++i) {
    points.emplace_back(std::stod((*i)[1]), std::stod((*i)[2]));
  }
  return points;
}

TEST(Chart, PutsValuesWhereTheyBelong) {
  Chart chart;
  chart.lines = {{"a", {{0, 0}, {1, 5}, {2, 10}}}};
  const auto points = Points(Svg(chart), 0);
  ASSERT_EQ(points.size(), 3u);
  EXPECT_LT(points[0].first, points[1].first);
  EXPECT_NEAR(points[1].first - points[0].first, points[2].first - points[1].first, 0.11);
  EXPECT_GT(points[0].second, points[1].second) << "up is more";
  EXPECT_NEAR(points[0].second - points[1].second, points[1].second - points[2].second, 0.11);
}

TEST(Chart, PutsEqualRatiosEquallyFarApartWhereItsAxisIsLogarithmic) {
  Chart chart;
  chart.log_y = true;
  chart.x_names = {"1", "2", "4", "none"};
  chart.lines = {{"a", {{0, 1}, {1, 10}, {2, 100}, {3, 0}}}};
  const auto points = Points(Svg(chart), 0);
  ASSERT_EQ(points.size(), 4u);
  EXPECT_NEAR(points[0].second - points[1].second, points[1].second - points[2].second, 0.11);
  EXPECT_EQ(points[3].second, points[0].second) << "0 is as low as the lowest";
}

TEST(Chart, LeavesGapsWhereNothingWasMeasured) {
  Chart chart;
  const double none = std::nan("");
  chart.lines = {{"a", {{0, 1}, {1, none}, {2, 1}}}};
  const std::string svg = Svg(chart);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, HasSubstr("<circle"));
  const size_t path = svg.rfind("<path");
  EXPECT_EQ(svg.find('L', path), std::string::npos) << svg.substr(path);
  chart.lines = {{"a", {{0, none}}}, {"b", {}}};
  EXPECT_EQ(Svg(chart), "");
}

TEST(Chart, DrawsAnyNumberWithinItsBounds) {
  for (const bool log : {false, true}) {
    for (const double value : {1e-12, 0.003, 1.0, 7.77, 123456.0, 9.99e11}) {
      Chart chart;
      chart.log_y = log;
      chart.lines = {{"a", {{0, value / 3}, {value, value}}}};
      const std::string svg = Svg(chart);
      EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
      for (const auto& [x, y] : Points(svg, 0)) {
        EXPECT_TRUE(x >= 0 && x <= 460 && y >= 0 && y <= 290) << value << ": " << x << " " << y;
      }
      const auto texts = std::count(svg.begin(), svg.end(), '/');
      EXPECT_LT(texts, 60) << "ticks must stay few";
    }
  }
}

}  // namespace
}  // namespace kvstore::playground
