#include "KVService/platform/numa.h"

#include <utility>

#include <spdlog/fmt/fmt.h>
#include <spdlog/fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace kvstore {
namespace {

// Takes a number from the front of the text.
bool TakeNumber(std::string_view& text, int& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || text.front() == '-') return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number < kMostCpus;
}

bool TakeRange(std::string_view& text, std::vector<int>& cpus) {
  int first = 0;
  if (text.empty() || !TakeNumber(text, first)) return false;
  int last = first;
  if (text.starts_with('-')) {
    text.remove_prefix(1);
    if (text.empty() || !TakeNumber(text, last)) return false;
  }
  if (last < first || (!cpus.empty() && first <= cpus.back())) return false;
  for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  return true;
}

}  // namespace

absl::StatusOr<std::vector<int>> ParseCpuList(std::string_view text) {
  constexpr size_t kShown = 80;
  const std::string_view whole = text;
  while (text.ends_with('\n') || text.ends_with(' ')) text.remove_suffix(1);
  std::vector<int> cpus;
  bool more = !text.empty();
  while (more) {
    if (!TakeRange(text, cpus) || (!text.empty() && text.front() != ',')) {
      return absl::InvalidArgumentError(
          fmt::format("'{}' is no list of numbers such as 0-15,32-47", whole.substr(0, kShown)));
    }
    more = !text.empty();
    if (more) text.remove_prefix(1);
  }
  return cpus;
}

std::string FormatCpuList(const std::vector<int>& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t end = i + 1;
    while (end < cpus.size() && cpus[end] == cpus[end - 1] + 1) ++end;
    if (!text.empty()) text += ',';
    text += std::to_string(cpus[i]);
    if (end - i > 1) text += '-' + std::to_string(cpus[end - 1]);
    i = end;
  }
  return text;
}

std::vector<NumaNode> NumaHomes(std::vector<NumaNode> nodes) {
  for (NumaNode& node : nodes) node.cpus = UsableCpus(std::move(node.cpus));
  std::erase_if(nodes, [](const NumaNode& node) { return node.cpus.empty(); });
  return nodes;
}

absl::StatusOr<NumaNode> FindNumaNode(const std::vector<NumaNode>& nodes, int number) {
  std::vector<int> numbers;
  for (const NumaNode& node : nodes) {
    if (node.number == number) return node;
    numbers.push_back(node.number);
  }
  return absl::NotFoundError(fmt::format("there is no NUMA node {}; this machine has {}", number,
                                         fmt::join(numbers, ", ")));
}

absl::StatusOr<NumaNode> InProcessorGroup(const std::vector<NumaNode>& nodes, int group) {
  NumaNode all;
  all.number = nodes.front().number;
  std::set<int> groups;
  for (const NumaNode& node : nodes) {
    bool any = false;
    for (const int cpu : node.cpus) {
      groups.insert(cpu / kProcessorGroupSize);
      if (cpu / kProcessorGroupSize != group) continue;
      all.cpus.push_back(cpu);
      any = true;
    }
    if (any) all.memory_bytes += node.memory_bytes;
  }
  if (all.cpus.empty()) {
    return absl::NotFoundError(
        fmt::format("there is no processor in processor group {}; there are some in {}", group,
                    fmt::join(groups, ", ")));
  }
  std::sort(all.cpus.begin(), all.cpus.end());
  return all;
}

}  // namespace kvstore
