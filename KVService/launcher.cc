#include "KVService/launcher.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/defaults.h"
#include "KVService/launch_plan.h"
#include "KVService/observe/metrics_server.h"
#include "KVService/platform/children.h"
#include "KVService/platform/prefixed_output.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {
namespace {

// For servers to end once told to: 10 s of running calls, as much of uploads, a last sync.
constexpr absl::Duration kStopPatience = absl::Minutes(1);
// For killed ones to be gone.
constexpr absl::Duration kKillPatience = absl::Seconds(10);
// For the console to take the last lines.
constexpr absl::Duration kConsolePatience = absl::Seconds(2);

enum class State { kDown, kStarting, kUp };

// How many servers are in which state, and how often each was started again. Thread-safe.
class Health {
 public:
  explicit Health(const std::vector<LaunchedServer>& servers) {
    for (const LaunchedServer& server : servers) servers_.push_back({server.node});
  }

  // Returns the one before.
  State Set(size_t server, State state) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const State before = std::exchange(servers_[server].state, state);
    if ((before == State::kUp) != (state == State::kUp))
      spdlog::info("launcher servers={} up={}", servers_.size(), Count(State::kUp));
    return before;
  }
  void CountRestart(size_t server) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    ++servers_[server].restarts;
  }

  MetricFamilies Metrics() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    MetricFamily states{"kvstore_launcher_servers",
                        "Servers of this launcher by state.",
                        MetricType::kGauge,
                        {Sample("up", State::kUp), Sample("starting", State::kStarting),
                         Sample("down", State::kDown)},
                        {}};
    MetricFamily restarts{"kvstore_launcher_restarts_total",
                          "Times that a server that had ended by itself was started again.",
                          MetricType::kCounter,
                          {},
                          {}};
    for (const Server& server : servers_) {
      restarts.samples.push_back({{{"node", std::to_string(server.node)}}, server.restarts});
    }
    return {std::move(states), std::move(restarts)};
  }

 private:
  struct Server {
    int node = 0;
    State state = State::kDown;
    double restarts = 0;
  };
  size_t Count(State state) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return static_cast<size_t>(
        std::count_if(servers_.begin(), servers_.end(),
                      [&](const Server& server) { return server.state == state; }));
  }
  MetricSample Sample(const char* name, State state) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return {{{"state", name}}, static_cast<double>(Count(state))};
  }

  absl::Mutex mutex_;
  std::vector<Server> servers_ ABSL_GUARDED_BY(mutex_);
};

class Launcher {
 public:
  Launcher(LaunchPlan plan, std::string program)
      : plan_(std::move(plan)), program_(std::move(program)), health_(plan_.servers) {}

  absl::Status Run(const ServerOptions& options);

 private:
  // A server, running or at rest.
  struct Server {
    std::unique_ptr<PrefixedOutput> output, errors;
    RestartDelay delay;
    int child = 0;  // its process; 0: none
    absl::Time started = absl::InfinitePast();
    absl::Time due = absl::InfinitePast();  // to be started
    bool begun = false;                     // was started before
  };

  absl::Status OpenOutputs();
  void StartWhatIsDue();
  void Rest(size_t i, absl::Duration ran);
  void Take(const ChildEvent& event);
  void Ended(size_t i, const ChildEvent& event);
  void PassOn(ChildSignal signal);
  absl::Time NextDue() const;
  size_t IndexOf(int child) const;
  void AwaitEnds(absl::Time until);
  absl::Status Finish();

  const LaunchPlan plan_;
  const std::string program_;
  Children children_;  // before any thread
  Health health_;
  std::vector<Server> servers_;
  std::optional<absl::Time> stop_by_;  // told to stop
  size_t failures_ = 0;                // servers that did not end well when told to
};

absl::Status Launcher::OpenOutputs() {
  using Console = PrefixedOutput::Console;
  for (const LaunchedServer& planned : plan_.servers) {
    const std::string prefix = fmt::format("[node {}] ", planned.node);
    Server server;
    KV_ASSIGN_OR_RETURN(server.output, PrefixedOutput::Open(Console::kOutput, prefix));
    KV_ASSIGN_OR_RETURN(server.errors, PrefixedOutput::Open(Console::kErrors, prefix));
    servers_.push_back(std::move(server));
  }
  return absl::OkStatus();
}

void Launcher::StartWhatIsDue() {
  for (size_t i = 0; i < servers_.size(); ++i) {
    Server& server = servers_[i];
    if (server.child != 0 || server.due > absl::Now()) continue;
    std::vector<std::string> command = {program_};
    const std::vector<std::string>& arguments = plan_.servers[i].arguments;
    command.insert(command.end(), arguments.begin(), arguments.end());
    if (std::exchange(server.begun, true)) health_.CountRestart(i);
    absl::StatusOr<int> child = children_.Start(command, *server.output, *server.errors);
    if (!child.ok()) {
      spdlog::error("server not started node={} error=\"{}\"", plan_.servers[i].node,
                    std::string(child.status().message()));
      Rest(i, absl::ZeroDuration());
      continue;
    }
    server.child = *child;
    server.started = absl::Now();
    health_.Set(i, State::kStarting);
    spdlog::info("server started node={} pid={}", plan_.servers[i].node, *child);
  }
}

void Launcher::Rest(size_t i, absl::Duration ran) {
  const absl::Duration rest = servers_[i].delay.Next(ran);
  servers_[i].due = absl::Now() + rest;
  spdlog::info("server starts again node={} in_ms={}", plan_.servers[i].node,
               absl::ToInt64Milliseconds(rest));
}

void Launcher::Ended(size_t i, const ChildEvent& event) {
  Server& server = servers_[i];
  server.child = 0;
  const absl::Duration ran = absl::Now() - server.started;
  const bool asked = stop_by_.has_value();
  spdlog::log(asked && event.clean ? spdlog::level::info : spdlog::level::err,
              "server ended node={} pid={} how=\"{}\" ran_ms={}", plan_.servers[i].node,
              event.child, event.how, absl::ToInt64Milliseconds(ran));
  const bool served = health_.Set(i, State::kDown) == State::kUp;
  if (!asked) return Rest(i, ran);
  // One that was just starting may end by the signal itself, and had nothing to lose.
  if (served && !event.clean) ++failures_;
}

void Launcher::PassOn(ChildSignal signal) {
  for (const Server& server : servers_) {
    if (server.child != 0) children_.Signal(server.child, signal);
  }
}

void Launcher::Take(const ChildEvent& event) {
  switch (event.kind) {
    case ChildEvent::Kind::kTime:
      return;
    case ChildEvent::Kind::kReady:
      health_.Set(IndexOf(event.child), State::kUp);
      return;
    case ChildEvent::Kind::kEnded:
      return Ended(IndexOf(event.child), event);
    case ChildEvent::Kind::kSignalled:
      // A second one to stop ends servers at once, as each does on its own.
      if (event.signal != ChildSignal::kReload) {
        spdlog::info("launcher stopping signal={} patience_s={}", NameOf(event.signal),
                     absl::ToInt64Seconds(kStopPatience));
        if (!stop_by_) stop_by_ = absl::Now() + kStopPatience;
      }
      return PassOn(event.signal);
  }
}

size_t Launcher::IndexOf(int child) const {
  size_t i = 0;
  while (i < servers_.size() && servers_[i].child != child) ++i;
  KV_CHECK(i < servers_.size());
  return i;
}

absl::Time Launcher::NextDue() const {
  absl::Time next = absl::InfiniteFuture();
  for (const Server& server : servers_) {
    if (server.child == 0) next = std::min(next, server.due);
  }
  return next;
}

void Launcher::AwaitEnds(absl::Time until) {
  while (children_.size() > 0 && absl::Now() < until) Take(children_.Wait(until));
}

absl::Status Launcher::Finish() {
  bool out = true;
  for (Server& server : servers_) {
    out = server.output->Finish(kConsolePatience) && out;
    out = server.errors->Finish(kConsolePatience) && out;
  }
  const absl::Status status =
      failures_ == 0 && children_.size() == 0
          ? absl::OkStatus()
          : absl::InternalError(fmt::format("servers did not end as told to: {} of {}",
                                            failures_ + children_.size(), servers_.size()));
  if (out) return status;
  spdlog::error("lines of servers dropped, nobody reads the console");
  std::_Exit(status.ok() ? 0 : 1);  // only threads that wait for the console are left
}

absl::Status Launcher::Run(const ServerOptions& options) {
  KV_RETURN_IF_ERROR(OpenOutputs());
  std::unique_ptr<MetricsServer> metrics;
  if (plan_.metrics_port != 0) {
    KV_ASSIGN_OR_RETURN(metrics, MetricsServer::Start(options.metrics_host, plan_.metrics_port,
                                                      [this] { return health_.Metrics(); }));
    spdlog::info("launcher metrics host={} port={} path=/metrics", options.metrics_host,
                 metrics->port());
  }
  while (!stop_by_) {
    StartWhatIsDue();
    Take(children_.Wait(NextDue()));
  }
  AwaitEnds(*stop_by_);
  if (children_.size() > 0) {
    spdlog::error("servers killed, they did not end within {} s",
                  absl::ToInt64Seconds(kStopPatience));
    PassOn(ChildSignal::kKill);
    AwaitEnds(absl::Now() + kKillPatience);
  }
  spdlog::info("launcher stopped");
  return Finish();
}

}  // namespace

absl::Status RunServers(const ServerOptions& options, const std::vector<NumaNode>& homes,
                        const std::vector<std::string>& arguments) {
  const std::string program = OwnProgram();
  if (program.empty()) {
    return absl::FailedPreconditionError(
        "--numa auto: the system does not tell which program this "
        "is; start a server for each node by --numa-node");
  }
  MachineShare machine;
  machine.memory_bytes = DefaultMemoryBytes();
  machine.index_blocks = DefaultIndexBlocks();
  if (HasDisk(options)) {
    machine.capacity_bytes =
        DefaultCapacityBytes(options.azure ? options.cache_dir : options.data_dir);
  }
  KV_ASSIGN_OR_RETURN(LaunchPlan plan, PlanServers(options, homes, arguments, machine));
  return Launcher(std::move(plan), program).Run(options);
}

}  // namespace kvstore
