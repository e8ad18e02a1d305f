#include "KVService/admission/admission.h"

#include <algorithm>
#include <utility>

#include "KVService/admission/overload.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"

namespace kvstore {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookForSlow{250};
// Tenants whose rates are remembered while they have no calls, before full ones are forgotten.
constexpr size_t kMostIdle = 1024;

// The dynamic threshold of limits.h.
bool Fits(int64_t has, int64_t all, int64_t limit) { return has < 2 * (limit - all); }

}  // namespace

Admission::Admission(const ServerLimits& limits)
    : limits_(limits),
      uploads_(limits.upload_bytes),
      held_uploads_(limits.upload_bytes),
      held_answers_(limits.answer_bytes),
      ticker_(kLookForSlow, [this] {
        if (uploads_.waiting() == 0) return false;
        held_uploads_.EndSlowest();
        return true;
      }) {}

absl::Status Admission::Refuse(std::string_view what, std::chrono::milliseconds hint) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  return OverloadedError(what, hint);
}

absl::Status Admission::CheckRates(const TenantLimits& limits, Party* party) {
  if (!limits.has_rates()) return absl::OkStatus();
  const Clock::time_point now = Clock::now();
  std::chrono::milliseconds wait{0};
  if (limits.calls_per_second > 0) {
    party->call_rate.SetRate(limits.calls_per_second, now);
    wait = party->call_rate.Wait(now);
  }
  if (limits.bytes_per_second > 0) {
    party->byte_rate.SetRate(limits.bytes_per_second, now);
    wait = std::max(wait, party->byte_rate.Wait(now));
  }
  if (wait.count() > 0) {
    return Refuse(
        absl::StrCat("this tenant's rate is used up: ", limits.calls_per_second, " calls and ",
                     limits.bytes_per_second, " bytes a second (0: no limit)"),
        wait);
  }
  party->has_rates = true;
  if (limits.calls_per_second > 0) party->call_rate.Take(1, now);
  return absl::OkStatus();
}

absl::Status Admission::Admit(uint64_t connection, std::string_view tenant,
                              const TenantLimits& limits, Call* call) {
  const PartyId id = tenant.empty() ? connection : absl::HashOf(tenant);
  absl::MutexLock lock(&mutex_);
  if (parties_.size() > kMostIdle) {
    absl::erase_if(parties_, [now = Clock::now()](auto& its) {
      Party& party = its.second;
      return party.calls == 0 && party.call_rate.Full(now) && party.byte_rate.Full(now);
    });
  }
  Party& party = parties_[id];
  if (limits.calls > 0 && party.calls >= limits.calls) {
    return Refuse(absl::StrCat("this tenant has ", limits.calls, " calls running, its limit"),
                  kDefaultRetryHint);
  }
  if (calls_ >= limits_.calls || !Fits(party.calls, calls_, limits_.calls)) {
    return Refuse(absl::StrCat("too many calls at a time: ", party.calls, " of this client, ",
                               calls_, " in all"),
                  kDefaultRetryHint);
  }
  if (absl::Status status = CheckRates(limits, &party); !status.ok()) return status;
  ++calls_;
  ++party.calls;
  call->admission_ = this;
  call->party_ = id;
  call->connection_ = connection;
  call->limits_ = limits;
  return absl::OkStatus();
}

absl::Status Admission::AdmitAgain(Call* call) {
  if (!call->limits_.has_rates()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  return CheckRates(call->limits_, &parties_[call->party_]);
}

void Admission::Leave(Call* call) {
  absl::MutexLock lock(&mutex_);
  --calls_;
  const auto its = parties_.find(call->party_);
  if (--its->second.calls == 0 && !its->second.has_rates) parties_.erase(its);
}

absl::Status Admission::AwaitUpload(Call* call, HeldBytes::Cancel cancel,
                                    absl::AnyInvocable<void() &&> go) {
  {
    absl::MutexLock lock(&mutex_);
    Party& party = parties_[call->party_];
    if (!Fits(party.waiting_uploads, waiting_uploads_, kWaitingUploads)) {
      return Refuse(absl::StrCat("too many requests wait to be received: ", party.waiting_uploads,
                                 " of this client, ", waiting_uploads_, " in all"),
                    kDefaultRetryHint);
    }
    ++party.waiting_uploads;
    ++waiting_uploads_;
  }
  const int64_t expected = expected_upload_.load(std::memory_order_relaxed);
  call->upload_bytes_ = expected;
  const bool any_waits =
      uploads_.Ask(call->party_, expected,
                   [this, call, cancel = std::move(cancel), go = std::move(go)]() mutable {
                     StartUpload(call, std::move(cancel));
                     std::move(go)();
                   });
  if (any_waits) ticker_.Start();
  return absl::OkStatus();
}

void Admission::StartUpload(Call* call, HeldBytes::Cancel cancel) {
  {
    absl::MutexLock lock(&mutex_);
    --waiting_uploads_;
    --parties_[call->party_].waiting_uploads;
  }
  held_uploads_.Take(call->party_, call->upload_bytes_, /*must=*/true, &call->upload_,
                     std::move(cancel));
}

void Admission::Received(Call* call, int64_t bytes) {
  // Larger ones count at once, and are forgotten by and by.
  const int64_t expected = expected_upload_.load(std::memory_order_relaxed);
  const int64_t next = std::max({bytes, expected - (expected >> 6), kSmall});
  if (bytes > 0 && next != expected) expected_upload_.store(next, std::memory_order_relaxed);
  uploads_.Return(std::exchange(call->upload_bytes_, bytes) - bytes);
  held_uploads_.LetGo(&call->upload_);  // nobody is waited for any more
  Moved(*call, bytes);
}

void Admission::LetGoOfUpload(Call* call) {
  if (call->upload_bytes_ > 0) uploads_.Return(std::exchange(call->upload_bytes_, 0));
}

absl::Status Admission::HoldAnswer(Call* call, int64_t bytes, bool must, HeldBytes::Cancel cancel) {
  if (!held_answers_.Take(call->party_, bytes, must, &call->answer_, std::move(cancel))) {
    return Refuse(absl::StrCat("too many bytes wait for clients to take them: ",
                               held_answers_.bytes(), " in all"),
                  kDefaultRetryHint);
  }
  Moved(*call, bytes);
  return absl::OkStatus();
}

void Admission::AwaitSend(Call* call, absl::AnyInvocable<void() &&> go) {
  {
    absl::MutexLock lock(&sends_mutex_);
    Sends& sends = sends_[call->connection_];
    if (sends.running == kSendsOfConnection) {
      sends.waiting.emplace_back(call, std::move(go));
      return;
    }
    ++sends.running;
    call->sends_ = true;
  }
  std::move(go)();
}

void Admission::Sent(Call* call) {
  held_answers_.LetGo(&call->answer_);
  if (!std::exchange(call->sends_, false)) return;
  absl::AnyInvocable<void() &&> next;
  {
    absl::MutexLock lock(&sends_mutex_);
    const auto its = sends_.find(call->connection_);
    Sends& sends = its->second;
    if (sends.waiting.empty()) {
      if (--sends.running == 0) sends_.erase(its);
      return;
    }
    sends.waiting.front().first->sends_ = true;
    next = std::move(sends.waiting.front().second);
    sends.waiting.pop_front();
  }
  std::move(next)();
}

void Admission::Moved(const Call& call, int64_t bytes) {
  if (call.limits_.bytes_per_second == 0) return;
  absl::MutexLock lock(&mutex_);
  parties_[call.party_].byte_rate.Take(bytes, Clock::now());
}

void Admission::Call::Reset() {
  if (admission_ == nullptr) return;
  Admission& admission = *std::exchange(admission_, nullptr);
  admission.held_uploads_.LetGo(&upload_);
  admission.LetGoOfUpload(this);
  admission.Sent(this);
  admission.Leave(this);
}

AdmissionStats Admission::stats() const {
  AdmissionStats stats;
  {
    absl::MutexLock lock(&mutex_);
    stats.calls = calls_;
    stats.waiting_uploads = waiting_uploads_;
  }
  stats.upload_bytes = uploads_.given();
  stats.answer_bytes = held_answers_.bytes();
  stats.refused = refused_.load(std::memory_order_relaxed);
  stats.ended = held_uploads_.ended() + held_answers_.ended();
  return stats;
}

}  // namespace kvstore
