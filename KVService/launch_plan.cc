#include "KVService/launch_plan.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>

#include "KVCommon/status_macros.h"
#include "KVService/thread_plan.h"

namespace kvstore {
namespace {

constexpr int kLastPort = 65535;

absl::Status CheckPorts(const ServerOptions& options, int servers) {
  // The launcher's own metrics come behind the servers'.
  const int last = options.port + servers - 1, last_metrics = options.metrics_port + servers;
  if (options.port != 0 && last > kLastPort) {
    return absl::InvalidArgumentError(
        fmt::format("--port {} leaves no port for each of {} servers: take {} or less",
                    options.port, servers, kLastPort - servers + 1));
  }
  if (options.metrics_port == 0) return absl::OkStatus();
  if (last_metrics > kLastPort) {
    return absl::InvalidArgumentError(
        fmt::format("--metrics-port {} leaves no port for each of {} servers and one more: take {} "
                    "or less",
                    options.metrics_port, servers, kLastPort - servers));
  }
  if (options.port != 0 && options.port <= last_metrics && options.metrics_port <= last) {
    return absl::InvalidArgumentError(
        fmt::format("the servers' ports {} to {} and the metrics' {} to {} meet: move --port or "
                    "--metrics-port",
                    options.port, last, options.metrics_port, last_metrics));
  }
  return absl::OkStatus();
}

// Server i's share of threads: what does not divide goes to the first ones. 0 stays that.
int ThreadsOf(const ServerOptions& options, int servers, int i) {
  return options.threads / servers + (i < options.threads % servers ? 1 : 0);
}

absl::Status CheckShares(const ServerOptions& options, int servers, uint64_t capacity,
                         uint64_t index_blocks) {
  const bool disk = HasDisk(options);
  if (options.threads > 0) {
    const int least = ThreadsOf(options, servers, servers - 1);
    // Never 0, which would be no bound at all.
    const absl::Status enough =
        least == 0
            ? absl::InvalidArgumentError(fmt::format(
                  "--threads {} is less than one for each of {} servers", options.threads, servers))
            : PlanThreads(static_cast<size_t>(least), 1, disk, options.azure).status();
    KV_RETURN_IF_ERROR(enough);
  }
  if (disk && capacity < kLeastCapacityBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{} bytes of disk are too little for each of {} servers: 16MiB is the least",
                    capacity, servers));
  }
  if (options.azure && index_blocks < kLeastIndexBlocks) {
    return absl::InvalidArgumentError(
        fmt::format("an index of {} blocks is too small for each of {} servers: {} is the least",
                    index_blocks, servers, kLeastIndexBlocks));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LaunchPlan> PlanServers(const ServerOptions& options,
                                       const std::vector<NumaNode>& homes,
                                       const std::vector<std::string>& arguments,
                                       const MachineShare& machine) {
  const int servers = static_cast<int>(homes.size());
  const uint64_t count = homes.size();
  KV_RETURN_IF_ERROR(CheckPorts(options, servers));
  const auto given = options.azure ? options.cache_capacity_bytes : options.capacity_bytes;
  const uint64_t memory = options.memory_bytes.value_or(machine.memory_bytes) / count;
  const uint64_t capacity = given.value_or(machine.capacity_bytes) / count;
  const uint64_t index_blocks = options.index_blocks.value_or(machine.index_blocks) / count;
  KV_RETURN_IF_ERROR(CheckShares(options, servers, capacity, index_blocks));

  LaunchPlan plan;
  if (options.metrics_port != 0) plan.metrics_port = options.metrics_port + servers;
  for (int i = 0; i < servers; ++i) {
    LaunchedServer server{homes[static_cast<size_t>(i)].number, arguments};
    const auto set = [&server](const char* option, const auto& value) {
      server.arguments.push_back(option);
      server.arguments.push_back(fmt::format("{}", value));
    };
    set("--numa", "off");
    set("--numa-node", server.node);
    set("--memory", memory);
    if (options.port != 0) set("--port", options.port + i);
    if (options.metrics_port != 0) set("--metrics-port", options.metrics_port + i);
    if (!options.admin_address.empty()) {
      set("--admin", AdminAddressOfNode(options.admin_address, server.node, i));
    }
    if (options.threads != 0) set("--threads", ThreadsOf(options, servers, i));
    if (options.azure) set("--index-blocks", index_blocks);
    if (HasDisk(options)) {
      set(options.azure ? "--cache-dir" : "--data-dir",
          DirectoryOfNode(options.azure ? options.cache_dir : options.data_dir, server.node));
      set(options.azure ? "--cache-capacity" : "--capacity", capacity);
    }
    plan.servers.push_back(std::move(server));
  }
  return plan;
}

std::string AdminAddressOfNode(const std::string& address, int node, int i) {
  if (address.starts_with("unix:")) return fmt::format("{}.node{}", address, node);
  const size_t colon = address.rfind(':') + 1;
  const int port = std::stoi(address.substr(colon));  // the option's check has seen it
  return fmt::format("{}{}", address.substr(0, colon), port == 0 ? 0 : port + i);
}

std::string DirectoryOfNode(const std::string& directory, int node) {
  return fmt::format("{}/node{}", directory, node);
}

absl::Duration RestartDelay::Next(absl::Duration ran) {
  if (ran >= kProven) next_ = kMin;
  const absl::Duration delay = next_;
  next_ = std::min(2 * next_, kMax);
  return delay;
}

}  // namespace kvstore
