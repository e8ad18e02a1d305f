#include "KVClient/src/fleet.h"

#include <algorithm>
#include <utility>

#include "KVClient/src/call_queue.h"
#include "KVClient/src/ping.h"

namespace kvstore::client {
namespace {

// Fewer reads tell no p95.
constexpr uint32_t kSamplesToHedge = 40;

Router::Time SinceEpoch(Clock::time_point time) { return time.time_since_epoch(); }
int64_t Now() { return SinceEpoch(Clock::now()).count(); }

std::string InMs(Router::Time time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) +
         " ms";
}

}  // namespace

Fleet::Fleet(std::vector<std::string> names, int connections, const ChannelSecurity& security,
             std::unique_ptr<TokenSource> token, const grpc::ByteBuffer& ping, Log log)
    : router_(std::move(names)),
      servers_(router_.size()),
      token_(std::move(token)),
      ping_(ping),
      log_(std::move(log)) {
  for (size_t i = 0; i < size(); ++i) {
    servers_[i].pool = ChannelPool::Get(name(i), connections, security);
  }
}

void Fleet::SetShared(bool shared) {
  if (shared == this->shared()) return;
  shared_.store(shared, std::memory_order_relaxed);
  if (!several()) return;
  Say(LogLevel::Information, shared ? "the servers share a storage: each block has a home"
                                    : "the servers share no storage: each partition has a home");
}

size_t Fleet::Pick(Operation operation, const LocationKeys& keys, int64_t load,
                   std::span<const size_t> tried) {
  if (!several()) return 0;
  Router::Route route{Router::Kind::kPartition, keys.partition};
  if (shared()) {
    if (operation == Operation::kLookup) route = {Router::Kind::kAny, 0};
    if (operation == Operation::kRead) route = {Router::Kind::kChunkRead, keys.chunk};
    if (operation == Operation::kWrite) route = {Router::Kind::kChunk, keys.chunk};
  }
  const Router::Choice choice = router_.Pick(route, load, SinceEpoch(Clock::now()), tried);
  Server& server = servers_[choice.server];
  if (choice.overflowed) Count(server.overflowed);
  if (choice.further_home) Count(server.further_home);
  return choice.server;
}

bool Fleet::CanMoveOn(const absl::Status& status, std::span<const size_t> tried) const {
  if (!several() || status.code() != absl::StatusCode::kUnavailable) return false;
  for (size_t i = 0; i < size(); ++i) {
    if (router_.up(i) && std::find(tried.begin(), tried.end(), i) == tried.end()) return true;
  }
  return false;
}

std::chrono::nanoseconds Fleet::HedgeDelay(size_t server) const {
  const RecentLatency& reads = servers_[server].reads;
  return reads.samples() < kSamplesToHedge ? std::chrono::nanoseconds(0) : reads.Quantile(0.95);
}

ClientStats Fleet::stats() const {
  ClientStats stats;
  stats.shared_store = shared();
  for (size_t i = 0; i < size(); ++i) {
    const Server& server = servers_[i];
    const auto read = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
    const auto us = [](std::chrono::nanoseconds time) {
      return std::chrono::duration_cast<std::chrono::microseconds>(time);
    };
    stats.servers.push_back({.name = name(i),
                             .up = router_.up(i),
                             .in_flight = read(server.in_flight),
                             .calls = read(server.calls),
                             .blocks_read = read(server.blocks_read),
                             .failures = read(server.failures),
                             .retries = read(server.retries),
                             .times_left = read(server.left),
                             .overflowed = read(server.overflowed),
                             .further_home = read(server.further_home),
                             .hedges_sent = read(server.hedges),
                             .hedges_won = read(server.hedges_won),
                             .latency_p50 = us(server.latency.Quantile(0.5)),
                             .latency_p95 = us(server.latency.Quantile(0.95))});
  }
  return stats;
}

Fleet::Attempt::Attempt(std::shared_ptr<Fleet> fleet, size_t server, Operation operation,
                        int64_t load, grpc::ClientContext* context)
    : fleet_(std::move(fleet)),
      server_(server),
      operation_(operation),
      load_(load),
      context_(context),
      was_up_(fleet_->router_.up(server)) {
  Server& its = fleet_->servers_[server_];
  Count(its.calls);
  its.in_flight.fetch_add(1, std::memory_order_relaxed);
  if (!fleet_->several()) return;
  fleet_->router_.Start(server_, load_);
  fleet_->budget_.Called();
  {
    absl::MutexLock lock(&its.mutex);
    next_ = its.attempts;
    if (next_ != nullptr) next_->previous_ = this;
    its.attempts = this;
  }
  int64_t nothing = 0;
  its.owes.compare_exchange_strong(nothing, Now());
  fleet_->KeepWatch();
}

Fleet::Attempt::~Attempt() {
  Server& its = fleet_->servers_[server_];
  its.in_flight.fetch_sub(1, std::memory_order_relaxed);
  if (!fleet_->several()) return;
  fleet_->router_.End(server_, load_);
  absl::MutexLock lock(&its.mutex);
  if (previous_ != nullptr) {
    previous_->next_ = next_;
  } else {
    its.attempts = next_;
  }
  if (next_ != nullptr) next_->previous_ = previous_;
}

void Fleet::Attempt::Progress(Clock::duration latency) {
  Count(fleet_->servers_[server_].blocks_read);
  fleet_->Heard(server_, true);
  fleet_->Report(server_, Router::Outcome::kAnswered, latency, was_up_, {});
}

absl::Status Fleet::Attempt::Ended(const absl::Status& status, bool blame, bool measure) {
  Server& its = fleet_->servers_[server_];
  // A write is as slow as the storage, which the servers share, and comes to them in no even mix.
  const bool tells = measure && operation_ != Operation::kWrite;
  const auto took = tells ? Clock::now() - start_ : Clock::duration(0);
  const bool others = its.in_flight.load() > 1;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      if (measure && operation_ == Operation::kRead) {
        Count(its.blocks_read);
        its.reads.Add(took);
      }
      fleet_->Heard(server_, others);
      fleet_->Report(server_, Router::Outcome::kAnswered, took, was_up_, {});
      return status;
    case absl::StatusCode::kCancelled: {
      absl::MutexLock lock(&its.mutex);
      if (!left_) return status;
      Count(its.failures);
      return absl::UnavailableError("it did not answer, not even a ping, and was left");
    }
    case absl::StatusCode::kUnavailable:
      Count(its.failures);
      fleet_->Heard(server_, others);
      if (blame) {
        fleet_->Report(server_, Router::Outcome::kFailed, {}, was_up_,
                       std::string(status.message()));
      }
      return status;
    case absl::StatusCode::kDeadlineExceeded:  // which the caller may have made short
      Count(its.failures);
      return status;
    default:
      Count(its.failures);
      fleet_->Heard(server_, others);
      fleet_->Report(server_, Router::Outcome::kAnswered, {}, was_up_, {});
      return status;
  }
}

void Fleet::Heard(size_t server, bool owes_more) {
  if (several()) servers_[server].owes.store(owes_more ? Now() : 0);
}

void Fleet::Report(size_t server, Router::Outcome outcome, Clock::duration latency, bool was_up,
                   const std::string& why) {
  Server& its = servers_[server];
  const auto now = SinceEpoch(Clock::now());
  if (outcome == Router::Outcome::kAnswered) {
    if (latency.count() > 0) its.latency.Add(latency);
    // What was sent while it was down and is answered is as good as a ping.
    if (!was_up && !router_.up(server)) {
      return Changed(server, router_.Probed(server, true, now), why);
    }
    if (!several()) return;
    // Where a partition has one home, slow answers are better than none.
    if (!shared()) latency = {};
  }
  const Router::Change change = router_.Report(server, outcome, latency, now);
  if (change != Router::Change::kNone) Changed(server, change, why);
}

void Fleet::Changed(size_t server, Router::Change change, const std::string& why) {
  switch (change) {
    case Router::Change::kNone:
      return;
    case Router::Change::kEjected:
      Count(servers_[server].left);
      Say(LogLevel::Error, "server " + name(server) + " is unavailable: " + why);
      break;
    case Router::Change::kEjectedSlow:
      Count(servers_[server].left);
      Say(LogLevel::Error, "server " + name(server) + " is left for a while: it takes " +
                               InMs(router_.latency(server)) + ", far more than the others");
      break;
    case Router::Change::kBack:
      Say(LogLevel::Information, "server " + name(server) + " answers again");
      return;
  }
  KeepWatch();
}

// The watch runs while servers owe answers, and until the servers that were left are back.
void Fleet::KeepWatch() {
  if (!several() || watching_.load(std::memory_order_relaxed) || watching_.exchange(true)) return;
  RunAfter(kWatchEvery, [self = weak_from_this()] {
    if (const auto fleet = self.lock()) fleet->Watch();
  });
}

void Fleet::Watch() {
  const int64_t now = Now();
  for (size_t i = 0; i < size(); ++i) {
    Server& server = servers_[i];
    const int64_t owes = server.owes.load();
    // A call that began just when the last one ended may have left no mark.
    int64_t nothing = 0;
    if (owes == 0 && server.in_flight.load() > 0) server.owes.compare_exchange_strong(nothing, now);
    if (owes != 0 && now - owes > std::chrono::nanoseconds(kQuiet).count()) Ping(i, true);
  }
  while (const auto left = router_.NextProbe(Router::Time(now))) Ping(*left, false);
  watching_.store(false);
  // A call that starts now sees that nobody watches, or is seen here.
  bool wanted = router_.servers_up() < size();
  for (const Server& server : servers_) wanted |= server.in_flight.load() > 0 || server.owes.load();
  if (wanted) KeepWatch();
}

void Fleet::Ping(size_t server, bool suspected) {
  Server& its = servers_[server];
  if (suspected && its.pinging.exchange(true)) return;
  const auto time =
      std::clamp<std::chrono::nanoseconds>(3 * its.latency.Quantile(0.99), kPingTime, kLongestPing);
  const int64_t owed = its.owes.load();
  PingAll(
      *its.pool, ping_, suspected ? time : kPingTime,
      [this](grpc::ClientContext* context) { Authorize(context); },
      [self = weak_from_this(), server, suspected, owed](bool answered) {
        if (const auto fleet = self.lock()) fleet->Pinged(server, suspected, owed, answered);
      });
}

void Fleet::Pinged(size_t server, bool suspected, int64_t owed, bool answered) {
  Server& its = servers_[server];
  const int64_t now = Now();
  if (!suspected) return Changed(server, router_.Probed(server, answered, Router::Time(now)), {});
  its.pinging.store(false);
  if (answered) {
    Heard(server, its.in_flight.load() > 0);
  } else if (its.owes.load() == owed) {
    Leave(server);
  }
}

void Fleet::Leave(size_t server) {
  const auto change =
      router_.Report(server, Router::Outcome::kSilent, {}, SinceEpoch(Clock::now()));
  Changed(server, change, "it owes answers and does not answer a ping either");
  Server& its = servers_[server];
  its.owes.store(0);  // its calls end now; those that come nevertheless are watched anew
  absl::MutexLock lock(&its.mutex);
  for (Attempt* attempt = its.attempts; attempt != nullptr; attempt = attempt->next_) {
    attempt->left_ = true;
    attempt->context_->TryCancel();
  }
}

}  // namespace kvstore::client
