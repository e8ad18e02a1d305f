// KVStoreServer: flags -> objects -> run.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "KVCommon/processors.h"
#include "KVCommon/status_macros.h"
#include "KVCommon/tune_process.h"
#include "KVService/admin_setup.h"
#include "KVService/admission/admission.h"
#include "KVService/defaults.h"
#include "KVService/launcher.h"
#include "KVService/observe/log.h"
#include "KVService/observe/metrics_server.h"
#include "KVService/observe/readiness.h"
#include "KVService/observe/rpc_log.h"
#include "KVService/observe/status_report.h"
#include "KVService/options.h"
#include "KVService/platform/children.h"
#include "KVService/platform/machine.h"
#include "KVService/platform/numa.h"
#include "KVService/platform/peers.h"
#include "KVService/platform/service.h"
#include "KVService/platform/stop_signal.h"
#include "KVService/rpc/server.h"
#include "KVService/security_setup.h"
#include "KVService/storage_metrics.h"
#include "KVService/storage_setup.h"
#include "KVService/thread_plan.h"
#include "KVService/trace_setup.h"

namespace kvstore {
namespace {

// Of running calls, once told to stop.
constexpr std::chrono::seconds kShutdownGrace{10};
// For standard output to take the last metrics lines.
constexpr std::chrono::seconds kConsolePatience{2};
// The log is polled twice a second.
constexpr absl::Duration kLogAway = absl::Seconds(10);

// What the server tells about itself. The storage's part is there once it is open.
class SelfReport {
 public:
  SelfReport(RpcLog& rpc_log, const Admission& admission, const Readiness& readiness)
      : rpc_log_(rpc_log), admission_(admission), readiness_(readiness) {}

  void Opened(const StorageSetup* storage) {
    absl::MutexLock lock(&mutex_);
    storage_ = storage;
  }
  void Serves(int port) { port_.store(port, std::memory_order_relaxed); }

  std::vector<StatusReport::Client> Clients() const {
    std::vector<StatusReport::Client> clients;
    const int port = port_.load(std::memory_order_relaxed);
    if (port == 0) return clients;
    const absl::StatusOr<std::vector<Peer>> peers = PeersOf(port);
    if (!peers.ok()) return clients;  // this system does not tell
    for (const Peer& peer : *peers) clients.push_back({peer.address, peer.connections});
    return clients;
  }

  MetricFamilies Metrics() const {
    MetricFamilies all = rpc_log_.Metrics();
    const auto add = [&all](MetricFamilies more) {
      std::move(more.begin(), more.end(), std::back_inserter(all));
    };
    add(AdmissionMetrics(admission_.stats()));
    const StorageSetup* storage = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      storage = storage_;
    }
    if (storage != nullptr) {
      add(storage->Metrics());
      add(rpc_log_.tenants().Stored(
          [storage](const Space& space) { return storage->store().StoredBytes(space); }));
    }
    all.push_back(Gauge("kvstore_ready", "1 while calls are taken, 0 while it loads or ends.",
                        readiness_.Get().ok() ? 1 : 0));
    all.push_back({"kvstore_build_info",
                   "Always 1.",
                   MetricType::kGauge,
                   {{{{"version", KVSTORE_VERSION}}, 1}},
                   {}});
    return all;
  }

 private:
  RpcLog& rpc_log_;
  const Admission& admission_;
  const Readiness& readiness_;
  mutable absl::Mutex mutex_;
  const StorageSetup* storage_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::atomic<int> port_ = 0;  // 0: not yet
};

// What does not change while it runs.
std::vector<std::pair<std::string, std::string>> Facts(const ServerOptions& options,
                                                       const ThreadPlan& threads) {
  return {
      {"storage", !options.azure              ? "local disk"
                  : options.cache_dir.empty() ? "Azure Blob Storage"
                                              : "Azure Blob Storage behind a disk tier"},
      {"writes are acknowledged", options.azure && !options.write_back
                                      ? "once Azure has them"
                                      : "once the disk has them, durability " + options.durability},
      {"NUMA node", options.numa_node ? std::to_string(*options.numa_node) : "all"},
      {"processors", std::to_string(UsableProcessors())},
      {"threads that serve calls", std::to_string(threads.queues)},
      {"threads for HTTP", std::to_string(threads.http)},
      {"threads that read the disk", std::to_string(threads.disk_reads)},
      {"threads that write the disk", std::to_string(threads.disk_writes)},
      {"encryption", options.tls_certificate_file.empty() ? "none: plain text" : "TLS"},
      {"callers are asked who they are", options.auth_file.empty() ? "no" : "yes"}};
}

// Null where there is no port to show it at. All must outlive it.
std::unique_ptr<StatusReport> StartStatus(const ServerOptions& options, const ThreadPlan& threads,
                                          const SelfReport& report, const Readiness& readiness,
                                          RpcLog* rpc_log) {
  if (options.metrics_port == 0) return nullptr;
  StatusReport::Sources sources;
  sources.version = KVSTORE_VERSION;
  sources.options = options.shown;
  sources.metrics = [&report] { return report.Metrics(); };
  sources.ready = [&readiness] { return readiness.Get(); };
  sources.clients = [&report] { return report.Clients(); };
  sources.facts = Facts(options, threads);
  sources.slow = &rpc_log->slow();
  return std::make_unique<StatusReport>(std::move(sources));
}

// Null where no port was asked for. All outlive it.
absl::StatusOr<std::unique_ptr<MetricsServer>> StartMetrics(const ServerOptions& options,
                                                            const SelfReport& report,
                                                            const Readiness& readiness,
                                                            const StatusReport* status) {
  if (options.metrics_port == 0) return nullptr;
  KV_ASSIGN_OR_RETURN(auto server, MetricsServer::Start(
                                       options.metrics_host, options.metrics_port,
                                       [&report] { return report.Metrics(); },
                                       [&readiness] { return readiness.Get(); },
                                       [status](uint64_t first) { return status->Json(first); }));
  spdlog::info("status page and metrics host={} port={} paths=/,/metrics", options.metrics_host,
               server->port());
  return server;
}

ServerLimits LimitsOf(const ServerOptions& options) {
  ServerLimits limits;
  limits.calls = options.max_calls.value_or(limits.calls);
  if (options.max_upload_bytes) {
    limits.upload_bytes = static_cast<int64_t>(*options.max_upload_bytes);
  }
  if (options.max_answer_bytes) {
    limits.answer_bytes = static_cast<int64_t>(*options.max_answer_bytes);
  }
  return limits;
}

// Of the server and its service, and of its tiers: "kvstore.tier.azure" serves while the container
// can be read, by the log that servers share.
Health HealthOf(std::string_view service, const ServerOptions& options, const Readiness& readiness,
                const StorageSetup& storage) {
  const bool azure = service == "kvstore.tier.azure" && options.azure;
  const bool known = service.empty() || service == "kvstore.KVStoreService" ||
                     service == "kvstore.tier.ram" ||
                     (service == "kvstore.tier.disk" && HasDisk(options)) || azure;
  if (!known) return Health::kNoSuchService;
  if (!readiness.Get().ok() || (azure && storage.LogAge() > kLogAway)) return Health::kNotServing;
  return Health::kServing;
}

// The nodes that servers may live in; none where the system tells of no nodes.
absl::StatusOr<std::vector<NumaNode>> Homes(const ServerOptions& options) {
  absl::StatusOr<std::vector<NumaNode>> nodes = ReadNumaNodes(options.numa_sysfs);
  if (!nodes.ok() && !absl::IsNotFound(nodes.status())) return nodes;
  if (nodes.ok()) return NumaHomes(*std::move(nodes));
  spdlog::info("no NUMA nodes, one server reason=\"{}\"", std::string(nodes.status().message()));
  return std::vector<NumaNode>();
}

// Before any thread starts, and before what counts processors.
absl::Status Pin(ServerOptions& options) {
  KV_ASSIGN_OR_RETURN(std::vector<NumaNode> nodes, ReadNumaNodes(options.numa_sysfs));
  NumaNode node;
  if (options.numa_node) {
    KV_ASSIGN_OR_RETURN(node, FindNumaNode(nodes, *options.numa_node));
    nodes = {node};
  }
  if (options.processor_group) {
    KV_ASSIGN_OR_RETURN(node, InProcessorGroup(nodes, *options.processor_group));
  }
  KV_RETURN_IF_ERROR(RunOnNode(node));
  const absl::Status memory = PreferMemoryOfNode(node.number);
  if (!options.memory_bytes && node.memory_bytes > 0) {
    options.memory_bytes = std::min(DefaultMemoryBytes(), node.memory_bytes / 4);
  }
  spdlog::info("pinned node={} processors={} memory=\"{}\"", node.number, UsableProcessors(),
               memory.ok() ? "of the node" : std::string(memory.message()));
  return absl::OkStatus();
}

absl::Status Run(const ServerOptions& options) {
  KV_ASSIGN_OR_RETURN(const ThreadPlan threads,
                      PlanThreads(static_cast<size_t>(options.threads), UsableProcessors(),
                                  HasDisk(options), options.azure));
  KV_ASSIGN_OR_RETURN(const std::unique_ptr<SecuritySetup> security, SecuritySetup::Open(options));
  TraceSetup traces(options);
  RpcLog rpc_log(options.metrics, std::chrono::milliseconds(options.slow_request_ms),
                 traces.spans());
  const ServerLimits limits = LimitsOf(options);
  Admission admission(limits);
  Readiness readiness(absl::UnavailableError("starting: what is stored is being loaded"));
  SelfReport report(rpc_log, admission, readiness);
  std::unique_ptr<StorageSetup> storage;  // outlives those who ask it
  std::unique_ptr<StatusReport> status = StartStatus(options, threads, report, readiness, &rpc_log);
  KV_ASSIGN_OR_RETURN(std::unique_ptr<MetricsServer> metrics,
                      StartMetrics(options, report, readiness, status.get()));
  KV_ASSIGN_OR_RETURN(storage, StorageSetup::Open(options, threads));
  report.Opened(storage.get());
  KV_ASSIGN_OR_RETURN(
      std::unique_ptr<RpcServer> server,
      RpcServer::Start(
          {options.host, options.port, threads.queues, security->access(), security->tls(),
           /*receive_bytes=*/2 * limits.upload_bytes, options.reflection, options.channelz},
          &storage->store(), &rpc_log, &admission, [&](std::string_view service) {
            return HealthOf(service, options, readiness, *storage);
          }));
  report.Serves(server->port());
  readiness.Set(absl::OkStatus());
  KV_ASSIGN_OR_RETURN(
      std::unique_ptr<AdminServer> admin,
      StartAdmin(options, *security,
                 {storage.get(), server.get(), &readiness, [&report] { return report.Metrics(); },
                  Facts(options, threads)}));
  const ChunkStoreStats stats = storage->store().stats();
  spdlog::info(
      "serving host={} port={} storage={} blocks={} capacity_bytes={} memory_bytes={} "
      "durability={}",
      options.host, server->port(), options.azure ? "azure" : "local", stats.blocks,
      stats.storage.capacity_bytes, stats.ram.capacity_bytes, options.durability);

  spdlog::info("threads queues={} http={} disk_reads={} disk_writes={}", threads.queues,
               threads.http, threads.disk_reads, threads.disk_writes);
  TellParentReady();

  const std::string signal = WaitForStopSignal([&] {
    if (!security->has_files() && !storage->has_files()) spdlog::info("nothing to read again");
    security->Reload();
    storage->Reload();
  });
  spdlog::info("stopping signal={} grace_s={}", signal, kShutdownGrace.count());
  admin.reset();
  readiness.Set(absl::UnavailableError("stopping"));
  server->Shutdown(kShutdownGrace);
  metrics.reset();
  status.reset();
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

// One server, or the launcher of one for each node.
absl::Status RunAll(ServerOptions options, const std::vector<std::string>& arguments) {
  if (options.numa_auto) {
    KV_ASSIGN_OR_RETURN(const std::vector<NumaNode> homes, Homes(options));
    if (homes.size() > 1) return RunServers(options, homes, arguments);
    if (!homes.empty()) options.numa_node = homes.front().number;
  }
  if (options.numa_node || options.processor_group) KV_RETURN_IF_ERROR(Pin(options));
  return Run(options);
}

// By which the system knows it.
constexpr char kService[] = "KVStoreServer";

// Once the options are known to make sense.
absl::Status Install(std::vector<std::string> arguments) {
  arguments = WithoutService(std::move(arguments));
  arguments.insert(arguments.end(), {"--service", "run"});
  KV_RETURN_IF_ERROR(InstallService(kService, arguments));
  std::printf(
      "service %s installed; start it by: sc start %s\nits account is NT SERVICE\\%s, its log %s\n",
      kService, kService, kService, LogOfService(kService).c_str());
  return absl::OkStatus();
}

int Serve(const ServerOptions& options, const std::vector<std::string>& arguments) {
  SetUpLog(options.log_level, options.log_format == "json");
  const absl::Status status = RunAll(options, arguments);
  if (!status.ok()) spdlog::error("failed {}", std::string(status.message()));
  return status.ok() ? 0 : 1;
}

// What --service asks for. REQUIRES: something.
int DoService(const ServerOptions& options, const std::vector<std::string>& arguments) {
  absl::StatusOr<int> code = 0;
  if (options.service == "run") {
    code = RunService(kService, [&] { return Serve(options, WithoutService(arguments)); });
  } else {
    const absl::Status status =
        options.service == "install" ? Install(arguments) : RemoveService(kService);
    if (!status.ok()) code = status;
  }
  if (code.ok()) return *code;
  std::fprintf(stderr, "--service %s: %s\n", options.service.c_str(),
               std::string(code.status().message()).c_str());
  return 1;
}

}  // namespace
}  // namespace kvstore

int main(int argc, char** argv) {
  kvstore::TuneProcess();
  const kvstore::ParsedCommandLine parsed = kvstore::ParseCommandLine(argc, argv);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  const auto& options = std::get<kvstore::ServerOptions>(parsed);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  kvstore::HoldStopSignals();
  kvstore::RaiseOpenFileLimit();
  return options.service.empty() ? kvstore::Serve(options, arguments)
                                 : kvstore::DoService(options, arguments);
}
