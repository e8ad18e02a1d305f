#include "KVService/retention/retention.h"

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include <map>
#include <utility>

#include "KVCommon/secret_file.h"
#include "KVCommon/status_macros.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

// What a lease was asked for counts for so long.
constexpr absl::Duration kLeaseCounts = absl::Seconds(10);

// The leases of one sweep: asked for when there is something to remove, and again while it lasts.
class Leases {
 public:
  explicit Leases(const std::function<absl::Status(const Container&)>& lease) : lease_(lease) {}

  bool Hold(const Container& container) {
    if (!lease_) return true;
    Asked& asked = asked_[{container.account, container.name}];
    if (absl::Now() < asked.until) return asked.held;
    const absl::Status status = lease_(container);
    if (!status.ok() && !absl::IsAborted(status)) {
      spdlog::warn("retention lease not asked for container={}/{} error=\"{}\"", container.account,
                   container.name, std::string(status.message()));
    }
    asked = {status.ok(), absl::Now() + kLeaseCounts};
    return asked.held;
  }

 private:
  struct Asked {
    bool held = false;
    absl::Time until = absl::InfinitePast();
  };
  const std::function<absl::Status(const Container&)>& lease_;
  std::map<std::pair<std::string, std::string>, Asked> asked_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Retention>> Retention::Start(RetentionOptions options,
                                                            ChunkStore* store) {
  std::unique_ptr<Retention> retention(new Retention(std::move(options), store));
  KV_RETURN_IF_ERROR(retention->Reload());
  retention->thread_ = std::thread([self = retention.get()] { self->Run(); });
  return retention;
}

Retention::~Retention() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  end_->Cancel();
  if (thread_.joinable()) thread_.join();
}

absl::Status Retention::Reload() {
  KV_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(options_.path, kMaxRetentionFileBytes));
  absl::StatusOr<RetentionRules> rules = ParseRetention(text);
  if (!rules.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("retention file {}: {}", options_.path, std::string(rules.status().message())));
  }
  spdlog::info("retention file read rules={} capacities={} dry_run={}", rules->rules.size(),
               rules->capacities.size(), options_.dry_run);
  absl::MutexLock lock(&mutex_);
  rules_ = std::make_shared<const RetentionRules>(*std::move(rules));
  return absl::OkStatus();
}

RetentionStats Retention::stats() const {
  absl::MutexLock lock(&mutex_);
  return stats_;
}

bool Retention::Ending() const {
  absl::MutexLock lock(&mutex_);
  return ending_;
}

void Retention::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&ending_), options_.interval)) return;
    }
    Sweep();
  }
}

void Retention::Note(const char* what, const absl::StatusOr<ChunkStore::Swept>& swept) {
  if (absl::IsCancelled(swept.status())) return;  // it ends
  if (!swept.ok()) {
    spdlog::warn("retention sweep failed of={} error=\"{}\"", what,
                 std::string(swept.status().message()));
  } else if (swept->blocks > 0 || swept->bytes > 0) {
    spdlog::info("retention {} of={} blocks={} bytes={}",
                 options_.dry_run ? "would remove" : "removed", what, swept->blocks, swept->bytes);
  }
  absl::MutexLock lock(&mutex_);
  ++stats_.sweeps;
  if (!swept.ok()) {
    ++stats_.failures;
    return;
  }
  stats_.blocks += swept->blocks;
  stats_.bytes += swept->bytes;
}

void Retention::Sweep() {
  std::shared_ptr<const RetentionRules> rules;
  {
    absl::MutexLock lock(&mutex_);
    rules = rules_;
  }
  Leases leases(options_.lease);
  const ChunkStore::May may = [&](const Container& container) {
    return !Ending() && leases.Hold(container);
  };
  if (!rules->rules.empty()) {
    const absl::Time now = absl::Now();
    Note("age",
         store_.RemoveExpired(
             [&](const Container& container, const PartitionDigest& partition, absl::Time written) {
               const auto ttl = rules->TtlOf(container, partition);
               return ttl && written < now - *ttl;
             },
             may, options_.dry_run, end_));
  }
  for (const RetentionRules::Capacity& capacity : rules->capacities) {
    if (Ending()) return;
    Note("capacity",
         store_.FitContainer(capacity.container, capacity.bytes, may, options_.dry_run));
  }
}

}  // namespace kvstore
