// The report of a run, for people and for programs.
#ifndef KVPLAYGROUND_REPORT_H_
#define KVPLAYGROUND_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "KVPlayground/options.h"
#include "KVPlayground/stats.h"
#include "absl/status/status.h"
#include "kvstore/client.h"

namespace kvstore::playground {

struct Report {
  Options options;
  uint64_t prompts = 0;  // of the file, or requests of the trace
  RunStats stats{1};
  double elapsed_seconds = 0;
  double read_seconds = 0;   // with a read under way
  double write_seconds = 0;  // with a write under way
  double ideal_hit_ratio = 0;
  ClientStats servers;
  int64_t worst_lag_ms = 0;  // of a trace played by its timestamps
  bool gave_up = false;      // too many requests failed in a row
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

// INVALID_ARGUMENT where WriteAtomically could not put a file there. Leaves nothing behind.
absl::Status CheckWritable(const std::string& path);

// Replaces the file as a whole: readers see the old content or the new.
absl::Status WriteAtomically(const std::string& path, const std::string& content);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_REPORT_H_
