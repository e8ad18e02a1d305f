#include "KVService/observe/span_exporter.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

constexpr int64_t kSecondsBetweenComplaints = 60;
constexpr std::chrono::milliseconds kLook{50};
constexpr std::chrono::milliseconds kFirstPause{1'000};  // then twice as long each time

}  // namespace

SpanExporter::SpanExporter(double sampled, SpanResource resource, Post post)
    : sampled_(sampled), resource_(std::move(resource)), post_(std::move(post)) {
  thread_ = std::thread([this] { Run(); });
}

SpanExporter::~SpanExporter() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

TraceContext SpanExporter::Begin(const std::optional<TraceContext>& caller) const {
  TraceContext context;
  context.trace_id = caller ? caller->trace_id : NewTraceId();
  context.sampled = caller ? caller->sampled : RandomShare() < sampled_;
  context.span_id = NewSpanId();
  return context;
}

void SpanExporter::Export(const RpcRecord& record, int64_t total_us) {
  FinishedCall call{record, absl::Now(), total_us, {}};
  if (record.origin->requests != nullptr) {
    call.requests = record.origin->requests->requests();
    call.record.untimed += record.origin->requests->left_out();
  }
  for (std::string* text : {&call.record.completion_id, &call.record.identity}) {
    if (text->size() > FinishedCall::kMaxTextBytes) text->resize(FinishedCall::kMaxTextBytes);
  }
  const size_t spans = call.spans();
  bool full = false, wake = false;
  {
    std::lock_guard lock(mutex_);
    full = waiting_spans_ + spans > kMostSpans;
    if (!full) {
      wake = waiting_spans_ < kBatch && waiting_spans_ + spans >= kBatch;
      waiting_spans_ += spans;
      waiting_.push_back(std::move(call));
    }
  }
  if (full) dropped_.fetch_add(spans, std::memory_order_relaxed);
  if (wake) changed_.notify_one();
}

MetricFamilies SpanExporter::Metrics() const {
  return {Counter("kvstore_spans_exported_total", "Spans that the collector has taken.",
                  static_cast<double>(exported_.load(std::memory_order_relaxed))),
          Counter("kvstore_spans_dropped_total",
                  "Spans that were lost: the collector was away, too slow, or refused them.",
                  static_cast<double>(dropped_.load(std::memory_order_relaxed)))};
}

bool SpanExporter::AwaitBatch() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kInterval, [this] { return stopping_ || waiting_spans_ >= kBatch; });
  return !stopping_;
}

void SpanExporter::Run() {
  bool goes_on = true;
  absl::Time last = absl::InfiniteFuture();
  while (goes_on || absl::Now() < last) {
    goes_on = AwaitBatch();
    if (!goes_on) last = std::min(last, absl::Now() + kLastPatience);
    std::deque<FinishedCall> batch;
    size_t spans = 0;
    {
      std::lock_guard lock(mutex_);
      while (!waiting_.empty() && spans < kBatch) {
        spans += waiting_.front().spans();
        batch.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
      }
      waiting_spans_ -= spans;
    }
    if (!batch.empty()) {
      Send(batch, spans);
    } else if (!goes_on) {
      return;
    }
  }
}

void SpanExporter::Send(const std::deque<FinishedCall>& batch, size_t spans) {
  const std::string body = EncodeSpans(resource_, batch);
  absl::Status status;
  std::chrono::milliseconds pause = kFirstPause;
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    status = SendOnce(body, spans);
    if (!absl::IsUnavailable(status) || attempt == kAttempts || !Pause(pause)) break;
    pause *= 2;
  }
  if (status.ok()) return;
  dropped_.fetch_add(spans, std::memory_order_relaxed);
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  if (now - last_complaint_s_.load() < kSecondsBetweenComplaints) return;
  last_complaint_s_ = now;
  spdlog::warn("spans dropped spans={} error=\"{}\"", spans, std::string(status.message()));
}

absl::Status SpanExporter::SendOnce(const std::string& body, size_t spans) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
  std::future<absl::StatusOr<std::string>> answered = promise->get_future();
  post_(body, absl::Now() + kPatience,
        [promise](absl::StatusOr<std::string> answer) { promise->set_value(std::move(answer)); });
  // By the deadline; but who stops the server does not wait as long.
  for (absl::Time last = absl::InfiniteFuture();
       answered.wait_for(kLook) != std::future_status::ready;) {
    std::lock_guard lock(mutex_);
    if (stopping_) last = std::min(last, absl::Now() + kLastPatience);
    if (absl::Now() > last) return absl::DeadlineExceededError("no answer before the end");
  }
  const absl::StatusOr<std::string> answer = answered.get();
  if (!answer.ok()) return answer.status();
  const uint64_t rejected = std::min<uint64_t>(RejectedSpans(*answer), spans);
  exported_.fetch_add(spans - rejected, std::memory_order_relaxed);
  dropped_.fetch_add(rejected, std::memory_order_relaxed);
  return absl::OkStatus();
}

// False where the exporter is to end.
bool SpanExporter::Pause(std::chrono::milliseconds pause) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, pause, [this] { return stopping_; });
}

}  // namespace kvstore
