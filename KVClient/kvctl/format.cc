#include "KVClient/kvctl/format.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

namespace kvstore::kvctl {
namespace {

std::string Scaled(double number, double step, const std::vector<const char*>& units) {
  size_t unit = 0;
  while (number >= step && unit + 1 < units.size()) {
    number /= step;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f}{}", number, units[unit])
                   : fmt::format("{:.1f}{}", number, units[unit]);
}

}  // namespace

std::string Bytes(double bytes) {
  return Scaled(bytes, 1024, {" B", " KiB", " MiB", " GiB", " TiB", " PiB"});
}

std::string Count(double number) { return Scaled(number, 1000, {"", "k", "M", "G"}); }

std::string Duration(double seconds) {
  if (seconds < 0.001) return fmt::format("{:.0f}us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.0f}ms", seconds * 1e3);
  if (seconds < 120) return fmt::format("{:.1f}s", seconds);
  const auto minutes = static_cast<int64_t>(seconds / 60);
  if (minutes < 120) return fmt::format("{}m", minutes);
  if (minutes < 48 * 60) return fmt::format("{}h {}m", minutes / 60, minutes % 60);
  return fmt::format("{}d {}h", minutes / 1440, minutes % 1440 / 60);
}

std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) text += "  ";
      const std::string padding(widths[i] - row[i].size(), ' ');
      text += i == 0 ? row[i] + padding : padding + row[i];
    }
    text += '\n';
  }
  return text;
}

}  // namespace kvstore::kvctl
