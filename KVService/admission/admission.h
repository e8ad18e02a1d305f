// Decides which calls may run, when requests are received, and how much of the server's memory each
// client may hold.
#ifndef KVSERVICE_ADMISSION_ADMISSION_H_
#define KVSERVICE_ADMISSION_ADMISSION_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "KVCommon/limits.h"
#include "KVService/admission/fair_queue.h"
#include "KVService/admission/held_bytes.h"
#include "KVService/admission/limits.h"
#include "KVService/admission/ticker.h"
#include "KVService/admission/token_bucket.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/node_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

struct AdmissionStats {
  int64_t calls = 0;
  int64_t upload_bytes = 0;
  int64_t answer_bytes = 0;
  int64_t waiting_uploads = 0;
  int64_t refused = 0;  // calls so far, for any limit
  int64_t ended = 0;    // calls so far, of clients that were slow with what others needed
};

// Thread-safe. The caller names whom it asks for:
//   connection  a number of the client's connection
//   tenant      its name, where the server knows its callers; else empty. Then each connection is a
//               party of its own, where tenants would be.
class Admission {
 public:
  // Requests that wait to be received.
  static constexpr int64_t kWaitingUploads = 256;
  // Answers of one connection that gRPC has at a time. It writes what it has as soon as a socket
  // takes it, in no order of ours.
  static constexpr int kSendsOfConnection = 2;
  // Smaller answers are not counted.
  static constexpr int64_t kSmall = 64 << 10;

  explicit Admission(const ServerLimits& limits);
  // REQUIRES at its end: no call is left.
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // What one call holds; all of it is given back at the end. Its steps follow one another.
  class Call {
   public:
    Call() = default;
    ~Call() { Reset(); }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    void Reset();
    PartyId party() const { return party_; }

   private:
    friend class Admission;
    Admission* admission_ = nullptr;  // null: not admitted
    PartyId party_ = 0;
    uint64_t connection_ = 0;
    bool sends_ = false;
    TenantLimits limits_;
    int64_t upload_bytes_ = 0;  // of the queue's
    HeldBytes::Hold upload_;
    HeldBytes::Hold answer_;
  };

  // Lets a call in. RESOURCE_EXHAUSTED, with a hint, where it may not run now.
  absl::Status Admit(uint64_t connection, std::string_view tenant, const TenantLimits& limits,
                     Call* call);

  // For another request of a call that has many. RESOURCE_EXHAUSTED, with a hint, where the
  // tenant's rate is used up.
  absl::Status AdmitAgain(Call* call);

  // Runs `go` once, when the call's request may be received. RESOURCE_EXHAUSTED, and never, where
  // too many wait. `cancel` ends the call.
  absl::Status AwaitUpload(Call* call, HeldBytes::Cancel cancel, absl::AnyInvocable<void() &&> go);
  // The request has been received, or will not be: 0 bytes.
  void Received(Call* call, int64_t bytes);
  // Its memory is no longer held, by gRPC at least.
  void LetGoOfUpload(Call* call);

  // Before an answer is given to gRPC. RESOURCE_EXHAUSTED where its client may not make the server
  // hold as much now; with `must` never. `cancel` ends the call.
  absl::Status HoldAnswer(Call* call, int64_t bytes, bool must, HeldBytes::Cancel cancel);
  // Runs `go` once, when the answer may be given to gRPC: before this returns, or on the thread of
  // another call's Sent.
  void AwaitSend(Call* call, absl::AnyInvocable<void() &&> go);
  // It has been taken, or never will be.
  void Sent(Call* call);

  AdmissionStats stats() const;

 private:
  struct Party {
    int64_t calls = 0;
    int64_t waiting_uploads = 0;
    bool has_rates = false;
    TokenBucket call_rate;
    TokenBucket byte_rate;
  };

  absl::Status Refuse(std::string_view what, std::chrono::milliseconds hint);
  absl::Status CheckRates(const TenantLimits& limits, Party* party)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartUpload(Call* call, HeldBytes::Cancel cancel);
  void Leave(Call* call);
  // Of the party's rate.
  void Moved(const Call& call, int64_t bytes);

  struct Sends {
    int running = 0;
    std::deque<std::pair<Call*, absl::AnyInvocable<void() &&>>> waiting;
  };

  const ServerLimits limits_;
  absl::Mutex sends_mutex_;
  absl::node_hash_map<uint64_t, Sends> sends_ ABSL_GUARDED_BY(sends_mutex_);  // by connection
  mutable absl::Mutex mutex_;
  int64_t calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t waiting_uploads_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::node_hash_map<PartyId, Party> parties_ ABSL_GUARDED_BY(mutex_);

  // What a request to come is taken to have: nobody knows before it is there. The most at first;
  // then what the largest of the last ones had.
  std::atomic<int64_t> expected_upload_ = kMaxMessageBytes;
  std::atomic<int64_t> refused_ = 0;
  FairQueue uploads_;
  HeldBytes held_uploads_;
  HeldBytes held_answers_;
  Ticker ticker_;  // while uploads wait
};

}  // namespace kvstore

#endif  // KVSERVICE_ADMISSION_ADMISSION_H_
