#include "KVService/storage/azure/token_cache.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/random/random.h"

namespace kvstore::azure {

namespace {

constexpr absl::Duration kSweepInterval = absl::Milliseconds(50);

double Random() {
  thread_local absl::InsecureBitGen generator;
  return absl::Uniform(generator, 0.0, 1.0);
}

}  // namespace

std::shared_ptr<TokenCache> TokenCache::Make(HttpClient* http, std::shared_ptr<TokenSource> source,
                                             TokenCacheOptions options) {
  return std::shared_ptr<TokenCache>(new TokenCache(http, std::move(source), std::move(options)));
}

TokenCache::TokenCache(HttpClient* http, std::shared_ptr<TokenSource> source,
                       TokenCacheOptions options)
    : http_(http), source_(std::move(source)), options_(std::move(options)) {}

bool TokenCache::HasToken(absl::Time now) const {
  if (token_.value.empty() || now >= valid_until_) return false;
  return !refused_ || (!renewing_ && now < rest_until_);
}

bool TokenCache::Refused(std::string_view token) {
  {
    absl::MutexLock lock(&mutex_);
    if (token_.value != token || refused_) return true;
    const absl::Time now = options_.now();
    if (now < next_refusal_ || now < rest_until_) return false;
    refused_ = true;
    next_refusal_ = now + options_.refusal_rest;
  }
  spdlog::warn("token refused by the service before its end credential=\"{}\"", source_->name());
  return true;
}

absl::Status TokenCache::Refusal(absl::Time now, absl::Time deadline) const {
  if (!renewing_ && now < rest_until_) {
    return absl::Status(failure_.code(),
                        fmt::format("{} (asked again in {:.1f} s)", std::string(failure_.message()),
                                    absl::ToDoubleSeconds(rest_until_ - now)));
  }
  if (deadline <= now) {
    return absl::DeadlineExceededError(
        fmt::format("{}: the deadline passed before there was a token", source_->name()));
  }
  if (waiters_.size() >= options_.max_waiting) {
    return absl::ResourceExhaustedError(
        fmt::format("{}: {} requests wait for a token", source_->name(), waiters_.size()));
  }
  return absl::OkStatus();
}

void TokenCache::Get(absl::Time deadline, Done done) {
  const std::shared_ptr<TokenCache> self = shared_from_this();  // `done` may drop the last other
  absl::StatusOr<std::string> answer = std::string();
  bool begin = false, wait = false;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = options_.now();
    if (HasToken(now)) {
      answer = token_.value;
      begin = !renewing_ && now >= renew_at_ && now >= rest_until_;
    } else if (absl::Status refusal = Refusal(now, deadline); !refusal.ok()) {
      answer = std::move(refusal);
    } else {
      wait = true;
      waiters_.push_back({deadline, std::move(done)});
      begin = !renewing_;
    }
    renewing_ |= begin;
  }
  if (!wait) std::move(done)(std::move(answer));
  if (begin) Attempt(1);
  if (wait) WatchWaiters();
}

void TokenCache::Attempt(int attempt) {
  source_->Fetch(absl::Now() + options_.attempt_timeout,
                 [self = shared_from_this(), attempt](TokenResult result) {
                   self->Attempted(attempt, std::move(result));
                 });
}

void TokenCache::Attempted(int attempt, TokenResult result) {
  if (result.token.ok() || !result.again || attempt >= options_.retry.max_attempts) {
    return Renewed(std::move(result.token));
  }
  const int doublings = std::min(attempt - 1, 30);
  const absl::Duration bound =
      std::min(options_.retry.max_delay, options_.retry.first_delay * (int64_t{1} << doublings));
  const absl::Duration delay =
      bound * Random() + std::min(result.retry_after, options_.retry.max_retry_after);
  http_->RunAfter(delay, [self = shared_from_this(), attempt,
                          failure = result.token.status()](const absl::Status& status) {
    if (!status.ok()) return self->Renewed(failure);
    self->Attempt(attempt + 1);
  });
}

void TokenCache::Renewed(absl::StatusOr<AccessToken> token) {
  std::deque<Waiter> waiters;
  absl::StatusOr<std::string> answer = std::string();
  absl::Duration rest;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = options_.now();
    if (token.ok()) {
      const absl::Duration life = token->expires - now;
      token_ = *std::move(token);
      refused_ = false;
      renew_at_ = token_.expires - std::min(options_.renew_before, life / 2);
      valid_until_ = token_.expires - std::min(options_.margin, life / 10);
      failure_ = absl::OkStatus();
      failures_ = 0;
      answer = token_.value;
    } else {
      answer = token.status();
      // A copy of its own: the others' are dropped on threads of theirs, where ThreadSanitizer does
      // not see abseil count them.
      failure_ = absl::Status(answer.status().code(), answer.status().message());
      rest = std::min(options_.max_rest,
                      options_.first_rest * (int64_t{1} << std::min(failures_++, 30)));
      rest_until_ = now + rest;
    }
    renewing_ = false;
    waiters.swap(waiters_);
  }
  if (answer.ok()) {
    spdlog::info("token renewed credential=\"{}\"", source_->name());
  } else if (!absl::IsCancelled(answer.status())) {
    spdlog::error("token not renewed, next try in {} s: {}", absl::ToInt64Seconds(rest),
                  std::string(answer.status().message()));
  }
  for (Waiter& waiter : waiters) std::move(waiter.done)(answer);
}

// One timer for all who wait, since each would outlive what it watches.
void TokenCache::WatchWaiters() {
  {
    absl::MutexLock lock(&mutex_);
    if (watching_ || waiters_.empty()) return;
    watching_ = true;
  }
  http_->RunAfter(kSweepInterval, [self = shared_from_this()](const absl::Status& status) {
    {
      absl::MutexLock lock(&self->mutex_);
      self->watching_ = false;
    }
    // Without timers they wait until the renewal ends, which is bounded too.
    if (!status.ok()) return;
    self->Sweep();
    self->WatchWaiters();
  });
}

void TokenCache::Sweep() {
  std::vector<Done> late;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = options_.now();
    std::deque<Waiter> kept;
    for (Waiter& waiter : waiters_) {
      if (waiter.deadline <= now) {
        late.push_back(std::move(waiter.done));
      } else {
        kept.push_back(std::move(waiter));
      }
    }
    waiters_ = std::move(kept);
  }
  for (Done& done : late) {
    std::move(done)(absl::DeadlineExceededError(
        fmt::format("{}: the deadline passed while waiting for a token", source_->name())));
  }
}

}  // namespace kvstore::azure
