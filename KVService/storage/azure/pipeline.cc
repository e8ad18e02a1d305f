#include "KVService/storage/azure/pipeline.h"

#include <algorithm>
#include <utility>

#include "KVService/http/url_parts.h"
#include "KVService/storage/azure/crypto.h"
#include "absl/random/random.h"
#include "absl/time/clock.h"

namespace kvstore::azure {

namespace {

constexpr int kUnauthorized = 401;
constexpr absl::Duration kSweepInterval = absl::Milliseconds(50);

ConcurrencyLimit::Outcome OutcomeOf(Verdict verdict, bool answered) {
  if (verdict == Verdict::kThrottled) return ConcurrencyLimit::Outcome::kThrottled;
  return verdict == Verdict::kFinal && answered ? ConcurrencyLimit::Outcome::kSuccess
                                                : ConcurrencyLimit::Outcome::kOther;
}

double Random() {
  thread_local absl::InsecureBitGen generator;
  return absl::Uniform(generator, 0.0, 1.0);
}

}  // namespace

struct Pipeline::Op {
  HttpRequest request;  // unsigned
  Done done;
  std::string id;  // the same for all attempts, so that the service's logs show them together
  int attempt = 0;
  bool ambiguous = false;
  std::string authorization;  // the last attempt's
  bool refused = false;       // once, and authorized anew
  ConcurrencyLimit::Permit permit;

  SpanId span{};         // of the attempt, where it is traced
  int64_t began_us = 0;  // likewise

  bool cancelled() const {
    return request.cancellation != nullptr && request.cancellation->cancelled();
  }
};

std::shared_ptr<Pipeline> Pipeline::Make(HttpClient* http, std::shared_ptr<Credential> credential,
                                         const PipelineOptions& options) {
  return std::shared_ptr<Pipeline>(new Pipeline(http, std::move(credential), options));
}

Pipeline::Pipeline(HttpClient* http, std::shared_ptr<Credential> credential,
                   const PipelineOptions& options)
    : http_(http),
      credential_(std::move(credential)),
      options_(options),
      limit_(options_.max_under_way, options_.max_waiting) {}

void Pipeline::Send(HttpRequest request, Done done) {
  auto op = std::make_unique<Op>();
  op->request = std::move(request);
  op->done = std::move(done);
  op->id = op->request.origin != nullptr ? std::string(op->request.origin->request_id.view())
                                         : RandomHex(8);
  Begin(std::move(op));
}

void Pipeline::Begin(std::unique_ptr<Op> op) {
  const absl::Time deadline = op->request.deadline;
  const std::shared_ptr<Pipeline> self = shared_from_this();  // `done` may drop the last other
  limit_.Acquire(deadline, [self, op = std::move(op)](
                               absl::StatusOr<ConcurrencyLimit::Permit> permit) mutable {
    if (!permit.ok()) return std::move(op->done)(permit.status());
    op->permit = *permit;
    if (op->cancelled()) {
      self->limit_.Release(op->permit, ConcurrencyLimit::Outcome::kOther);
      return std::move(op->done)(absl::CancelledError("nobody waits for it any more"));
    }
    self->Authorize(std::move(op));
  });
  if (limit_.waiting() > 0) WatchWaiters();
}

void Pipeline::Authorize(std::unique_ptr<Op> op) {
  ++op->attempt;
  ++attempts_;
  HttpRequest request = op->request;  // the body is shared
  request.headers.push_back({"x-ms-date", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(),
                                                           absl::UTCTimeZone())});
  request.headers.push_back({"x-ms-client-request-id", op->id});
  if (request.origin != nullptr && request.origin->trace.has_trace()) {
    const Origin& origin = *request.origin;
    TraceContext trace = origin.trace;
    if (origin.requests != nullptr) {
      trace.span_id = op->span = NewSpanId();
      op->began_us = origin.requests->now_us();
    }
    request.headers.push_back({kTraceparentKey, FormatTraceparent(trace)});
    if (!origin.tracestate.empty()) request.headers.push_back({kTracestateKey, origin.tracestate});
  }
  credential_->Authorize(std::move(request), [self = shared_from_this(), op = std::move(op)](
                                                 absl::StatusOr<HttpRequest> authorized) mutable {
    if (!authorized.ok()) {
      self->limit_.Release(op->permit, ConcurrencyLimit::Outcome::kOther);
      return std::move(op->done)(authorized.status());
    }
    authorized->deadline =
        std::min(authorized->deadline, absl::Now() + self->options_.attempt_timeout);
    const std::string* authorization = FindHeader(authorized->headers, "Authorization");
    if (authorization != nullptr) op->authorization = *authorization;
    HttpClient* const http = self->http_;
    http->Send(*std::move(authorized), [self = std::move(self), op = std::move(op)](
                                           absl::StatusOr<HttpResponse> result) mutable {
      self->Exchanged(std::move(op), std::move(result));
    });
  });
}

void Pipeline::Trace(const Op& op, const absl::StatusOr<HttpResponse>& result) {
  const HttpRequest& request = op.request;
  if (request.origin == nullptr || request.origin->requests == nullptr) return;
  TracedRequests& requests = *request.origin->requests;
  requests.Add({op.span, HttpMethodName(request.method), http::HostOf(request.url),
                http::PortOf(request.url), result.ok() ? result->status : 0, op.attempt,
                op.began_us, requests.now_us()});
}

void Pipeline::Exchanged(std::unique_ptr<Op> op, absl::StatusOr<HttpResponse> result) {
  Trace(*op, result);
  const Verdict verdict = Judge(result);
  if (verdict == Verdict::kThrottled) ++throttled_;
  const absl::Time now = absl::Now();
  const absl::Duration delay = RetryDelay(options_.retry, op->attempt, result, now, Random());
  const bool again = verdict != Verdict::kFinal && op->attempt < options_.retry.max_attempts &&
                     !op->cancelled() && now + delay < op->request.deadline;
  // Not throttled: those say that nothing was done.
  op->ambiguous |= result.ok() ? result->sends > 1 : true;
  limit_.Release(op->permit, OutcomeOf(verdict, result.ok()));
  if (result.ok() && result->status == kUnauthorized && !op->refused &&
      credential_->Refused(op->authorization)) {
    op->refused = true;
    ++retries_;
    return Begin(std::move(op));
  }
  if (!again) {
    auto done = std::move(op->done);
    if (!result.ok()) return std::move(done)(result.status());
    return std::move(done)(Exchange{*std::move(result), op->ambiguous});
  }
  // A service that failed inside may have failed behind the deed.
  op->ambiguous |= verdict == Verdict::kRetry;
  ++retries_;
  http_->RunAfter(delay,
                  [self = shared_from_this(), op = std::move(op)](absl::Status status) mutable {
                    if (!status.ok()) return std::move(op->done)(std::move(status));
                    self->Begin(std::move(op));
                  });
}

// One timer for all who wait, since each would outlive what it watches.
void Pipeline::WatchWaiters() {
  if (watching_.exchange(true)) return;
  http_->RunAfter(kSweepInterval, [self = shared_from_this()](const absl::Status& status) {
    self->watching_ = false;
    // On shutdown those who run end too, and give their places to those who wait, to be refused.
    if (self->limit_.Sweep(status.ok() ? absl::Now() : absl::InfiniteFuture())) {
      self->WatchWaiters();
    }
  });
}

PipelineStats Pipeline::Stats() const {
  return {attempts_, retries_, throttled_, limit_.limit(), limit_.under_way(), limit_.waiting()};
}

}  // namespace kvstore::azure
