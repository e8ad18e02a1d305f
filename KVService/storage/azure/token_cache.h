// One access token for all who need it, renewed before it expires.
#ifndef KVSERVICE_STORAGE_AZURE_TOKEN_CACHE_H_
#define KVSERVICE_STORAGE_AZURE_TOKEN_CACHE_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/storage/azure/retry_policy.h"
#include "KVService/storage/azure/token_source.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace kvstore::azure {

struct TokenCacheOptions {
  // A token is renewed that long before it expires, or at half its life where that is shorter.
  absl::Duration renew_before = absl::Minutes(5);
  // Not given out that shortly before its end, or in the last tenth of its life: the request has
  // yet to arrive.
  absl::Duration margin = absl::Seconds(30);
  absl::Duration attempt_timeout = absl::Seconds(10);  // of one exchange
  RetryOptions retry = {4, absl::Milliseconds(500), absl::Seconds(5), absl::Seconds(30)};
  // After a renewal that failed, its retries included, the endpoint is left alone that long; twice
  // as long after the next.
  absl::Duration first_rest = absl::Seconds(1);
  absl::Duration max_rest = absl::Minutes(1);
  // Between two tokens that are given up because the service refused them: what refuses each new
  // one has another reason.
  absl::Duration refusal_rest = absl::Minutes(1);
  size_t max_waiting = 4096;  // callers while there is no token
  std::function<absl::Time()> now = absl::Now;
};

// Thread-safe. At most one renewal runs at a time, begun by a caller's Get and never by a timer, so
// a server that nobody uses asks for nothing.
class TokenCache : public std::enable_shared_from_this<TokenCache> {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string>) &&>;

  // `http`, for its timers only, outlives every call.
  static std::shared_ptr<TokenCache> Make(HttpClient* http, std::shared_ptr<TokenSource> source,
                                          TokenCacheOptions options = {});

  // The token, before this returns if there is one that is valid; that call may begin the renewal
  // but does not wait for it. Where there is none the caller waits. Errors: the source's, which all
  // who wait get, and after that at once all who come until the endpoint is asked again;
  // DEADLINE_EXCEEDED, up to 50 ms late; RESOURCE_EXHAUSTED where too many wait. `done` runs once,
  // outside locks.
  void Get(absl::Time deadline, Done done) ABSL_LOCKS_EXCLUDED(mutex_);

  // The service refused that token before its end, so it was revoked. If it is the one that is
  // given out, that ends, and the next Get is for a new one; it goes on being given out only while
  // the endpoint is left alone, since it may be good for other accounts. Whether a new token is
  // there or to be had.
  bool Refused(std::string_view token) ABSL_LOCKS_EXCLUDED(mutex_);

  const TokenSource& source() const { return *source_; }

 private:
  struct Waiter {
    absl::Time deadline;
    Done done;
  };

  TokenCache(HttpClient* http, std::shared_ptr<TokenSource> source, TokenCacheOptions options);

  // Both say what Get is to answer at once, if anything.
  bool HasToken(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Refusal(absl::Time now, absl::Time deadline) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Attempt(int attempt);
  void Attempted(int attempt, TokenResult result) ABSL_LOCKS_EXCLUDED(mutex_);
  void Renewed(absl::StatusOr<AccessToken> token) ABSL_LOCKS_EXCLUDED(mutex_);
  void WatchWaiters() ABSL_LOCKS_EXCLUDED(mutex_);
  void Sweep() ABSL_LOCKS_EXCLUDED(mutex_);

  HttpClient* const http_;
  const std::shared_ptr<TokenSource> source_;
  const TokenCacheOptions options_;

  absl::Mutex mutex_;
  AccessToken token_ ABSL_GUARDED_BY(mutex_);  // empty: none yet
  absl::Time valid_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time renew_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;  // token_ was, by the service
  absl::Time next_refusal_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool renewing_ ABSL_GUARDED_BY(mutex_) = false;
  bool watching_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);  // only while renewing
  // The last renewal's, if it failed.
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;  // in a row
  absl::Time rest_until_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_TOKEN_CACHE_H_
