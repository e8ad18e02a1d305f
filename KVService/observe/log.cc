#include "KVService/observe/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <iostream>

namespace kvstore {
namespace {

struct Level {
  std::string_view name;
  spdlog::level::level_enum level;
};
constexpr Level kLevels[] = {{"error", spdlog::level::err},
                             {"info", spdlog::level::info},
                             {"verbose", spdlog::level::debug}};

}  // namespace

void SetUpLog(std::string_view level) {
  // Not spdlog's stderr sink: that shares a mutex with its stdout sink, so that a metrics line
  // nobody reads would stop whoever logs. Nor may cerr flush cout first, which waits for the same
  // console.
  std::cerr.tie(nullptr);
  auto logger = std::make_shared<spdlog::logger>(
      "server", std::make_shared<spdlog::sinks::ostream_sink_mt>(std::cerr, /*force_flush=*/true));
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      "%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc));
  logger->flush_on(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
  SetLogLevel(level);
}

bool SetLogLevel(std::string_view level) {
  for (const Level& each : kLevels) {
    if (each.name != level) continue;
    spdlog::set_level(each.level);
    return true;
  }
  return false;
}

std::string_view LogLevel() {
  for (const Level& each : kLevels) {
    if (each.level == spdlog::get_level()) return each.name;
  }
  return "";
}

}  // namespace kvstore
