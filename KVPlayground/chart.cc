#include "KVPlayground/chart.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "KVPlayground/html_escape.h"

namespace kvstore::playground {
namespace {

constexpr double kWidth = 460, kHeight = 290;
constexpr double kLeft = 50, kRight = 12, kTop = 44, kBottom = 40;
constexpr double kLetter = 6.5;   // about, in the font of the chart
constexpr size_t kMostDots = 20;  // of one line: beyond, a line alone is clearer

// From values to the drawing.
struct Axis {
  double low = 0;
  double high = 1;
  bool log = false;
  double from = 0;  // in the drawing, of `low`
  double to = 0;
  std::vector<double> ticks;

  double At(double value) const {
    const double share = log ? std::log(std::max(value, low) / low) / std::log(high / low)
                             : (value - low) / (high - low);
    return from + share * (to - from);
  }
};

// 1, 2 or 5 times a power of ten: the largest up to `value`, and the next one.
double NiceBelow(double value) {
  const double decade = std::pow(10, std::floor(std::log10(value) + 1e-9));
  for (const double factor : {5.0, 2.0}) {
    if (factor * decade <= value * (1 + 1e-9)) return factor * decade;
  }
  return decade;
}

double NiceAbove(double value) {
  const double below = NiceBelow(value);
  if (below >= value * (1 - 1e-9)) return below;
  return NiceBelow(below * 2.51);
}

void LinearTicks(double most, Axis& axis) {
  const double step = NiceAbove(std::max(most, 1e-6) / 5);
  const double steps = std::ceil(most / step - 1e-9);
  axis.high = std::max(steps, 1.0) * step;
  for (int i = 0; i <= static_cast<int>(std::max(steps, 1.0)); ++i) axis.ticks.push_back(i * step);
}

void LogTicks(double least, double most, Axis& axis) {
  axis.log = true;
  axis.low = NiceBelow(least);
  axis.high = NiceAbove(std::max(most, axis.low * 2));
  axis.ticks = {axis.low};
  while (axis.ticks.back() < axis.high * (1 - 1e-9)) {
    axis.ticks.push_back(NiceAbove(axis.ticks.back() * 1.01));
  }
  if (axis.ticks.size() > 8) {
    std::erase_if(axis.ticks, [](double tick) {
      const double exponent = std::log10(tick);
      return std::abs(exponent - std::round(exponent)) > 1e-6;
    });
  }
}

Axis YAxis(const Chart& chart) {
  double least = std::numeric_limits<double>::infinity(), most = chart.y_top;
  for (const Chart::Line& line : chart.lines) {
    for (const auto& [x, y] : line.points) {
      if (std::isnan(y)) continue;
      if (y > 0) least = std::min(least, y);
      most = std::max(most, y);
    }
  }
  Axis axis;
  axis.from = kHeight - kBottom;
  axis.to = kTop;
  if (chart.log_y && std::isfinite(least)) {
    LogTicks(least, most, axis);
  } else {
    LinearTicks(most, axis);
  }
  return axis;
}

Axis XAxis(const Chart& chart) {
  Axis axis;
  axis.from = kLeft;
  axis.to = kWidth - kRight;
  if (!chart.x_names.empty()) {
    axis.low = -0.4;
    axis.high = static_cast<double>(chart.x_names.size()) - 0.6;
    for (size_t i = 0; i < chart.x_names.size(); ++i) axis.ticks.push_back(static_cast<double>(i));
    return axis;
  }
  double most = 0;
  for (const Chart::Line& line : chart.lines) {
    if (!line.points.empty()) most = std::max(most, line.points.back().first);
  }
  LinearTicks(most, axis);
  // No room is kept for what did not happen.
  axis.high = std::max(most, 1e-6);
  std::erase_if(axis.ticks, [&](double tick) { return tick > axis.high; });
  return axis;
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}'>{}</text>", x, y, anchor,
                     Escaped(text));
}

std::string Frame(const Chart& chart, const Axis& x, const Axis& y) {
  std::string svg;
  for (const double tick : y.ticks) {
    svg += fmt::format("<path class=grid d='M{:.1f} {:.1f}H{:.1f}'/>", x.from, y.At(tick), x.to);
    svg += Text(kLeft - 6, y.At(tick) + 4, "end", fmt::format("{:g}", tick));
  }
  for (size_t i = 0; i < x.ticks.size(); ++i) {
    const bool named = !chart.x_names.empty();
    svg += Text(x.At(x.ticks[i]), kHeight - kBottom + 15, "middle",
                named ? chart.x_names[i] : fmt::format("{:g}", x.ticks[i]));
  }
  double free_from = x.from;  // where no word of a mark stands yet
  for (const auto& [where, word] : chart.marks) {
    svg += fmt::format("<path class=mark d='M{:.1f} {:.1f}V{:.1f}'/>", x.At(where), y.from, y.to);
    const double half = kLetter / 2 * static_cast<double>(word.size());
    if (x.At(where) - half < free_from) continue;
    svg += Text(x.At(where), kTop - 4, "middle", word);
    free_from = x.At(where) + half + 2;
  }
  svg += Text(kLeft - 6, kTop - 14, "middle", chart.y_title);
  svg += Text((x.from + x.to) / 2, kHeight - 6, "middle", chart.x_title);
  return svg;
}

std::string Legend(const Chart& chart) {
  std::string svg;
  double x = kLeft;
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    svg += fmt::format("<path class='line l{}' d='M{:.1f} 11h20'/>", i, x);
    svg += Text(x + 25, 15, "start", chart.lines[i].name);
    x += 38 + kLetter * static_cast<double>(chart.lines[i].name.size());
  }
  return svg;
}

std::string Dot(const Chart& chart, size_t number, std::pair<double, double> point, double x,
                double y) {
  const std::string where = chart.x_names.empty() ? fmt::format("{:g}", point.first)
                                                  : chart.x_names[static_cast<size_t>(point.first)];
  return fmt::format(
      "<circle class='dot l{}' cx='{:.1f}' cy='{:.1f}' r=3><title>{}</title></circle>", number, x,
      y,
      Escaped(fmt::format("{}, {} {}: {:g} {}", chart.lines[number].name, chart.x_title, where,
                          point.second, chart.y_title)));
}

std::string Drawn(const Chart& chart, size_t number, const Axis& x, const Axis& y) {
  const auto& points = chart.lines[number].points;
  std::string path, dots;
  for (size_t i = 0; i < points.size(); ++i) {
    if (std::isnan(points[i].second)) continue;
    const bool begins = i == 0 || std::isnan(points[i - 1].second);
    const bool ends = i + 1 == points.size() || std::isnan(points[i + 1].second);
    const double px = x.At(points[i].first), py = y.At(points[i].second);
    path += fmt::format("{}{:.1f} {:.1f}", begins ? 'M' : 'L', px, py);
    // One point alone would be no line.
    if (points.size() <= kMostDots || (begins && ends)) {
      dots += Dot(chart, number, points[i], px, py);
    }
  }
  return fmt::format("<path class='line l{}' d='{}'/>{}", number, path, dots);
}

bool Empty(const Chart& chart) {
  for (const Chart::Line& line : chart.lines) {
    for (const auto& [x, y] : line.points) {
      if (!std::isnan(y)) return false;
    }
  }
  return true;
}

}  // namespace

const std::string_view kChartStyle = R"(
:root { --l0: #0969da; --l1: #bc4c00; --l2: #1a7f37; --l3: #8250df; --l4: #bf3989; --l5: #57606a; }
@media screen and (prefers-color-scheme: dark) {
  :root { --l0: #58a6ff; --l1: #f0883e; --l2: #3fb950; --l3: #bc8cff; --l4: #ff7bac; --l5: #8d96a0; } }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--dim); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); }
svg .mark { stroke: var(--dim); stroke-dasharray: 2 3; }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .dot { stroke: none; }
.l0 { stroke: var(--l0); fill: var(--l0); }
.l1 { stroke: var(--l1); fill: var(--l1); stroke-dasharray: 7 3; }
.l2 { stroke: var(--l2); fill: var(--l2); stroke-dasharray: 2 2.5; }
.l3 { stroke: var(--l3); fill: var(--l3); stroke-dasharray: 9 3 2 3; }
.l4 { stroke: var(--l4); fill: var(--l4); stroke-dasharray: 4 2; }
.l5 { stroke: var(--l5); fill: var(--l5); }
)";

std::string Svg(const Chart& chart) {
  if (Empty(chart)) return "";
  const Axis x = XAxis(chart), y = YAxis(chart);
  std::string svg = fmt::format("<svg viewBox='0 0 {:g} {:g}' role=img aria-label='{}'>", kWidth,
                                kHeight, Escaped(chart.title));
  svg += Legend(chart) + Frame(chart, x, y);
  for (size_t i = 0; i < chart.lines.size(); ++i) svg += Drawn(chart, i, x, y);
  return svg + "</svg>";
}

}  // namespace kvstore::playground
