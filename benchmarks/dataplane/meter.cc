#include "benchmarks/dataplane/meter.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace kvstore::bench {
namespace {

// Whatever the options say: a contender that hangs or crawls must not hold the others up.
constexpr double kLongestSeconds = 30;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

double ServerCpu(int pid) {
  if (pid == 0) return 0;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  // The program's name, in brackets, may hold spaces; user and system time are the 12th and 13th
  // field behind it.
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

Cpu CpuNow(int server_pid) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {seconds(usage.ru_utime) + seconds(usage.ru_stime), ServerCpu(server_pid)};
}

double Percentile(std::vector<float>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(at), values.end());
  return values[at];
}

}  // namespace

Meter::Meter(const Options& options) : options_(options) { latencies_us_.reserve(1 << 20); }

std::optional<uint64_t> Meter::Begin() {
  const std::lock_guard lock(mutex_);
  if (stopped_) return std::nullopt;
  return begun_++;
}

void Meter::End(Clock::time_point began, std::optional<size_t> bytes) {
  const auto now = Clock::now();
  const std::lock_guard lock(mutex_);
  ++ended_;
  if (!bytes.has_value()) {
    ++failures_;
    stopped_ = true;  // a rate with failures in it means nothing
    return;
  }
  if (stopped_) return;
  if (measuring_) return Count(began, now, *bytes);
  // Every slot has been through once: connections are made, memory is touched.
  if (Seconds(now - start_) >= options_.warmup &&
      ended_ >= static_cast<uint64_t>(options_.in_flight)) {
    measuring_ = true;
    window_start_ = now;
    cpu_start_ = CpuNow(options_.server_pid);
  }
}

void Meter::Count(Clock::time_point began, Clock::time_point now, size_t bytes) {
  bytes_ += bytes;
  latencies_us_.push_back(static_cast<float>(Seconds(now - began) * 1e6));
  const uint64_t ops = latencies_us_.size();
  // Fewer would measure how the first and last of them happen to lie in the window.
  const bool enough = ops >= 2 * static_cast<uint64_t>(options_.in_flight);
  if ((Seconds(now - window_start_) >= options_.seconds && enough) ||
      (options_.max_ops != 0 && ops >= options_.max_ops) ||
      Seconds(now - start_) > kLongestSeconds) {
    stopped_ = true;
    window_end_ = now;
    cpu_end_ = CpuNow(options_.server_pid);
  }
}

std::string Meter::Report() {
  const std::lock_guard lock(mutex_);
  const double seconds = Seconds(window_end_ - window_start_);
  nlohmann::ordered_json json;
  json["seconds"] = seconds;
  json["ops"] = latencies_us_.size();
  json["failures"] = failures_;
  json["bytes_per_s"] = static_cast<double>(bytes_) / seconds;
  json["ops_per_s"] = static_cast<double>(latencies_us_.size()) / seconds;
  json["p50_us"] = Percentile(latencies_us_, 0.50);
  json["p99_us"] = Percentile(latencies_us_, 0.99);
  json["client_cpu_s"] = cpu_end_.client - cpu_start_.client;
  json["server_cpu_s"] = cpu_end_.server - cpu_start_.server;
  json["bytes"] = bytes_;
  return json.dump();
}

uint64_t Meter::failures() {
  const std::lock_guard lock(mutex_);
  return failures_;
}

}  // namespace kvstore::bench
