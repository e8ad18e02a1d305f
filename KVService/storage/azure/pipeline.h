// From a request to its final answer: a place, a signature, the exchange, and again if need be.
#ifndef KVSERVICE_STORAGE_AZURE_PIPELINE_H_
#define KVSERVICE_STORAGE_AZURE_PIPELINE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "KVService/http/http_client.h"
#include "KVService/storage/azure/concurrency_limit.h"
#include "KVService/storage/azure/credential.h"
#include "KVService/storage/azure/retry_policy.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

namespace kvstore::azure {

struct PipelineOptions {
  RetryOptions retry;
  size_t max_under_way = 100;  // to one endpoint, before it throttles
  size_t max_waiting = 4096;   // for a place
  absl::Duration attempt_timeout = absl::Seconds(30);
};

// The last answer that a request got.
struct Exchange {
  HttpResponse response;
  // Whether the service may have acted on an earlier sending of the request, whose answer was lost:
  // then "it is there already" may speak of our own.
  bool ambiguous = false;
};

struct PipelineStats {
  uint64_t attempts = 0;
  uint64_t retries = 0;
  uint64_t throttled = 0;
  double limit = 0;  // of requests under way, as it is now
  uint64_t under_way = 0;
  uint64_t waiting = 0;  // for a place among those
};

// All requests of one endpoint and credential. Thread-safe.
class Pipeline : public std::enable_shared_from_this<Pipeline> {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Exchange>) &&>;

  // `http` outlives every request.
  static std::shared_ptr<Pipeline> Make(HttpClient* http, std::shared_ptr<Credential> credential,
                                        const PipelineOptions& options);

  // Sends until there is an answer that is no passing failure, within request.deadline and the
  // attempts that are allowed; then the last answer, a passing failure or not. Errors are those of
  // the transport and the credential, and ConcurrencyLimit's. What is refused (401) is authorized
  // anew and sent once more, at once, where the credential has something else to offer. The
  // credential's end the call at once, since it has done its own retries. `done` runs once, outside
  // locks.
  //
  // Each attempt carries the id of request.origin, or one of the request's own, as
  // x-ms-client-request-id, and the origin's traceparent and tracestate where it has some. Where
  // spans are kept of the call each attempt is one, which the traceparent names.
  void Send(HttpRequest request, Done done);

  PipelineStats Stats() const;

 private:
  struct Op;

  Pipeline(HttpClient* http, std::shared_ptr<Credential> credential,
           const PipelineOptions& options);

  void Begin(std::unique_ptr<Op> op);
  void Authorize(std::unique_ptr<Op> op);
  static void Trace(const Op& op, const absl::StatusOr<HttpResponse>& result);
  void Exchanged(std::unique_ptr<Op> op, absl::StatusOr<HttpResponse> result);
  void WatchWaiters();

  HttpClient* const http_;
  const std::shared_ptr<Credential> credential_;
  const PipelineOptions options_;
  ConcurrencyLimit limit_;
  std::atomic<bool> watching_ = false;
  std::atomic<uint64_t> attempts_ = 0;
  std::atomic<uint64_t> retries_ = 0;
  std::atomic<uint64_t> throttled_ = 0;
};

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_PIPELINE_H_
