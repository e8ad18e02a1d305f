// Line charts as SVG, without a script.
#ifndef KVPLAYGROUND_CHART_H_
#define KVPLAYGROUND_CHART_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kvstore::playground {

struct Chart {
  struct Line {
    std::string name;
    std::vector<std::pair<double, double>> points;  // x ascending; y not a number: a gap
  };

  std::string title;  // for those who cannot see it
  std::string x_title;
  std::string y_title;
  // Names of x = 0, 1, 2 …, evenly apart; without them x is a number, from 0 on.
  std::vector<std::string> x_names;
  bool log_y = false;       // values of 0 and below count as the least that is above
  double y_top = 0;         // the y axis goes up to this at least
  std::vector<Line> lines;  // at most kMaxLines
  // Lines across the time, with a word on top of each that there is room for.
  std::vector<std::pair<double, std::string>> marks;

  static constexpr size_t kMaxLines = 6;
};

// An <svg> whose lines have the classes l0, l1 … Names and titles are escaped. Empty where there is
// no point.
std::string Svg(const Chart& chart);

// The rules for those classes, for light and dark pages and for paper.
extern const std::string_view kChartStyle;

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_CHART_H_
