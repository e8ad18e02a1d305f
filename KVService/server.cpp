// KVStoreServer: flags -> objects -> run.
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVCommon/tune_process.h"
#include "KVService/observe/log.h"
#include "KVService/observe/metrics_server.h"
#include "KVService/observe/rpc_log.h"
#include "KVService/options.h"
#include "KVService/platform/machine.h"
#include "KVService/platform/stop_signal.h"
#include "KVService/rpc/server.h"
#include "KVService/storage_setup.h"

namespace kvstore {
namespace {

// Of running calls, once told to stop.
constexpr std::chrono::seconds kShutdownGrace{10};
// For standard output to take the last metrics lines.
constexpr std::chrono::seconds kConsolePatience{2};

// Null where no port was asked for. Both outlive it.
absl::StatusOr<std::unique_ptr<MetricsServer>> StartMetrics(const ServerOptions& options,
                                                            const StorageSetup& storage,
                                                            const RpcLog& rpc_log) {
  if (options.metrics_port == 0) return nullptr;
  KV_ASSIGN_OR_RETURN(auto server,
                      MetricsServer::Start(options.metrics_host, options.metrics_port, [&] {
                        MetricFamilies all = rpc_log.metrics().Collect();
                        for (MetricFamily& family : storage.Metrics()) {
                          all.push_back(std::move(family));
                        }
                        all.push_back({"kvstore_build_info",
                                       "Always 1.",
                                       MetricType::kGauge,
                                       {{{{"version", KVSTORE_VERSION}}, 1}},
                                       {}});
                        return all;
                      }));
  spdlog::info("metrics for Prometheus host={} port={} path=/metrics", options.metrics_host,
               server->port());
  return server;
}

absl::Status Run(const ServerOptions& options) {
  KV_ASSIGN_OR_RETURN(const std::unique_ptr<StorageSetup> storage, StorageSetup::Open(options));
  RpcLog rpc_log(options.metrics);
  KV_ASSIGN_OR_RETURN(std::unique_ptr<MetricsServer> metrics,
                      StartMetrics(options, *storage, rpc_log));
  KV_ASSIGN_OR_RETURN(std::unique_ptr<RpcServer> server,
                      RpcServer::Start(options.host, options.port, &storage->store(), &rpc_log));
  const ChunkStoreStats stats = storage->store().stats();
  spdlog::info(
      "serving host={} port={} storage={} blocks={} capacity_bytes={} memory_bytes={} "
      "durability={}",
      options.host, server->port(), options.azure ? "azure" : "local", stats.blocks,
      stats.storage.capacity_bytes, stats.ram.capacity_bytes, options.durability);

  const std::string signal = WaitForStopSignal([&] { storage->Reload(); });
  spdlog::info("stopping signal={} grace_s={}", signal, kShutdownGrace.count());
  server->Shutdown(kShutdownGrace);
  metrics.reset();
  storage->LogStats();
  KV_RETURN_IF_ERROR(storage->Close());
  const bool drained = rpc_log.Drain(kConsolePatience);
  spdlog::info("stopped");
  if (!drained) {
    spdlog::error("metrics lines dropped, nobody reads the console");
    std::_Exit(0);  // all is stored; only a thread that waits for the console is left
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace kvstore

int main(int argc, char** argv) {
  kvstore::TuneProcess();
  const kvstore::ParsedCommandLine parsed = kvstore::ParseCommandLine(argc, argv);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  const auto& options = std::get<kvstore::ServerOptions>(parsed);
  kvstore::HoldStopSignals();
  kvstore::RaiseOpenFileLimit();
  kvstore::SetUpLog(options.log_level);
  if (const absl::Status status = kvstore::Run(options); !status.ok()) {
    spdlog::error("failed {}", std::string(status.message()));
    return 1;
  }
  return 0;
}
