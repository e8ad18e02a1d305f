// A report's numbers as tables: what the page shows and what the CSV file has, digit by digit.
#ifndef KVPLAYGROUND_FIGURES_H_
#define KVPLAYGROUND_FIGURES_H_

#include <string>
#include <vector>

#include "KVPlayground/report.h"

namespace kvstore::playground {

// Cells are decimal numbers, or empty where there is none to tell; in `options`, `machine` and
// `server` whatever text. Nothing is escaped.
struct Table {
  std::string name;                  // of the CSV file
  std::vector<std::string> columns;  // with their units; the first heads the rows' names
  std::vector<std::vector<std::string>> rows;
};

// `run`: totals and rates.
Table RunTable(const Report& report);
// `latency`: percentiles by operation and part of the way.
Table LatencyTable(const Report& report);
// `sweep`: a row a step; without rows where nothing was swept.
Table SweepTable(const Report& report);
// `time`: a row a bucket of the series.
Table TimeTable(const Report& report);
// `server`: a row each of those that the client knows.
Table ServerTable(const Report& report);
Table OptionsTable(const Report& report);
Table MachineTable(const Report& report);

// The percentiles of the latency table, and the rows of it that charts show.
inline constexpr double kPercentiles[] = {50, 75, 90, 95, 99, 99.9, 100};

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_FIGURES_H_
