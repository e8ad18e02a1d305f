#include "KVPlayground/machine.h"

#include <spdlog/fmt/fmt.h>

#include <cstdlib>
#include <fstream>
#include <string_view>

#include "KVCommon/processors.h"

namespace kvstore::playground {
namespace {

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The value of the first line "key : value"; empty where there is none.
std::string Field(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t colon = line.find(':');
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    if (colon != std::string::npos && value != std::string::npos) return line.substr(value);
  }
  return "";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> DescribeMachine() {
  std::vector<std::pair<std::string, std::string>> facts;
  const auto add = [&](const char* name, std::string value) {
    if (!value.empty()) facts.emplace_back(name, std::move(value));
  };
  add("client host", FirstLine("/proc/sys/kernel/hostname"));
  add("processor", Field("/proc/cpuinfo", "model name"));
  add("usable processors", std::to_string(UsableProcessors()));
  const double memory_kib = std::atof(Field("/proc/meminfo", "MemTotal").c_str());
  add("memory", memory_kib > 0 ? fmt::format("{:.1f} GiB", memory_kib / (1 << 20)) : "");
  add("kernel", FirstLine("/proc/sys/kernel/osrelease"));
  return facts;
}

}  // namespace kvstore::playground
