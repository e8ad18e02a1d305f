#include "KVService/trace_setup.h"

#include <spdlog/fmt/fmt.h>

#include <span>
#include <string>
#include <utility>

#include "KVCommon/digest.h"
#include "KVService/http/http_transport.h"
#include "KVService/platform/machine.h"

namespace kvstore {
namespace {

constexpr size_t kMaxAnswerBytes = 64 << 10;
constexpr absl::Duration kConnectTimeout = absl::Seconds(3);

// The answers that OTLP says may be tried again.
bool IsPassing(int status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

absl::StatusOr<std::string> AnswerOf(absl::StatusOr<HttpResponse> response) {
  if (!response.ok()) return response.status();
  if (response->status / 100 == 2) {
    const ByteView body = response->body.bytes();
    return std::string(reinterpret_cast<const char*>(body.data()), body.size());
  }
  const std::string message = fmt::format("the collector answers {}", response->status);
  if (IsPassing(response->status)) return absl::UnavailableError(message);
  return absl::FailedPreconditionError(message);
}

SpanExporter::Post PostTo(HttpClient* http, const std::string& endpoint) {
  const size_t end = endpoint.find_last_not_of('/');
  return [http, url = endpoint.substr(0, end + 1) + "/v1/traces"](
             std::string body, absl::Time deadline,
             absl::AnyInvocable<void(absl::StatusOr<std::string>) &&> done) {
    HttpRequest request;
    request.method = HttpMethod::kPost;
    request.url = url;
    request.headers = {{"Content-Type", "application/json"}};
    request.body = {Slice::CopyOf(std::as_bytes(std::span(body)))};
    request.deadline = deadline;
    request.connect_timeout = kConnectTimeout;
    request.max_response_bytes = kMaxAnswerBytes;
    http->Send(std::move(request),
               [done = std::move(done)](absl::StatusOr<HttpResponse> response) mutable {
                 std::move(done)(AnswerOf(std::move(response)));
               });
  };
}

}  // namespace

TraceSetup::TraceSetup(const ServerOptions& options) {
  if (options.otlp_endpoint.empty()) return;
  HttpClientOptions http;
  http.threads = 1;
  http.max_connections = 1;
  http.multi_nic = false;
  http_ = MakeHttpClient(options.transport, std::move(http));
  spans_ = std::make_unique<SpanExporter>(
      options.trace_sample, SpanResource{KVSTORE_VERSION, HostName(), ToHex(NewTraceId())},
      PostTo(http_.get(), options.otlp_endpoint));
}

TraceSetup::~TraceSetup() = default;

}  // namespace kvstore
