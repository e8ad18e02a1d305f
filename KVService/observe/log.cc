#include "KVService/observe/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace kvstore {
namespace {

struct Level {
  std::string_view name;
  spdlog::level::level_enum level;
};
constexpr Level kLevels[] = {{"error", spdlog::level::err},
                             {"info", spdlog::level::info},
                             {"verbose", spdlog::level::debug}};

// What was logged, as a JSON text.
class JsonText final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& line, const std::tm&,
              spdlog::memory_buf_t& into) override {
    // What others sent may be no UTF-8.
    const std::string text = nlohmann::json(std::string(line.payload.data(), line.payload.size()))
                                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    into.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonText>();
  }
};

std::unique_ptr<spdlog::formatter> Formatter(bool json) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<JsonText>('*').set_pattern(
      json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%*})"
           : "%Y-%m-%dT%H:%M:%S.%eZ %l %v");
  return formatter;
}

}  // namespace

void SetUpLog(std::string_view level, bool json) {
  // Not spdlog's stderr sink: that shares a mutex with its stdout sink, so that a metrics line
  // nobody reads would stop whoever logs. Nor may cerr flush cout first, which waits for the same
  // console.
  std::cerr.tie(nullptr);
  auto logger = std::make_shared<spdlog::logger>(
      "server", std::make_shared<spdlog::sinks::ostream_sink_mt>(std::cerr, /*force_flush=*/true));
  logger->set_formatter(Formatter(json));
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
