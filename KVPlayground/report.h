// The report of a run, for people and for programs.
#ifndef KVPLAYGROUND_REPORT_H_
#define KVPLAYGROUND_REPORT_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "KVPlayground/options.h"
#include "KVPlayground/stats.h"
#include "absl/status/status.h"
#include "kvstore/client.h"

namespace kvstore::playground {

// All prompts, or the trace, played once with all iterations.
struct Run {
  size_t concurrency = 1;
  RunStats stats{1};
  double start_seconds = 0;  // since the report's start
  double elapsed_seconds = 0;
  double read_seconds = 0;   // with a read under way
  double write_seconds = 0;  // with a write under way
  double ideal_hit_ratio = 0;
  int64_t worst_lag_ms = 0;  // of a trace played by its timestamps
};

struct Report {
  Options options;
  uint64_t prompts = 0;  // of the file, or requests of the trace
  std::chrono::system_clock::time_point started;
  // What the client runs on: names and values.
  std::vector<std::pair<std::string, std::string>> machine;
  Run run;                 // of a sweep: all of it together
  std::vector<Run> sweep;  // first what stores everything, then a step each; empty without --sweep
  ClientStats servers;
  bool gave_up = false;  // too many requests failed in a row
  uint64_t mismatches = 0;
  uint64_t errors = 0;
  std::vector<std::string> first_mismatches;
  std::vector<std::string> first_errors;

  bool Succeeded() const { return mismatches == 0 && errors == 0 && !gave_up; }
};

// A table and a few lines, ASCII, at most 100 columns but for messages.
std::string ReportTable(const Report& report);

// A JSON object; keys with _us are microseconds, ratios are within [0, 1].
std::string ReportJson(const Report& report);

// An HTML page that needs nothing beside it and runs no script: charts, and the tables of
// figures.h. What comes from outside is escaped.
std::string ReportHtml(const Report& report);

// The same tables for programs: a line `table,row,column,value` for each cell, quoted as RFC 4180
// says.
std::string ReportCsv(const Report& report);

// INVALID_ARGUMENT where WriteAtomically could not put a file there. Leaves nothing behind.
absl::Status CheckWritable(const std::string& path);

// Replaces the file as a whole: readers see the old content or the new.
absl::Status WriteAtomically(const std::string& path, const std::string& content);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_REPORT_H_
