// An asynchronous HTTP/1.1 client as an interface, so that what stands on it can be tested without
// a network and moved to another library.
#ifndef KVSERVICE_HTTP_HTTP_CLIENT_H_
#define KVSERVICE_HTTP_HTTP_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/patience.h"
#include "KVCommon/slice.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

enum class HttpMethod { kGet, kHead, kPut, kPost, kDelete };

std::string_view HttpMethodName(HttpMethod method);

struct HttpHeader {
  std::string name;  // compares without regard to case
  std::string value;
};
using HttpHeaders = std::vector<HttpHeader>;

// The value of the first header of that name; nullptr if there is none. Lives as long as `headers`.
const std::string* FindHeader(const HttpHeaders& headers, std::string_view name);

struct HttpRequest {
  HttpMethod method = HttpMethod::kGet;
  std::string url;  // http or https, percent-encoded; sent as it is
  HttpHeaders headers;
  std::vector<Slice> body;  // sent one behind the other, without being joined
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<Cancellation> cancellation;  // as Cancel, unless null
  std::shared_ptr<const Origin> origin;  // whose call it is for; not sent by the client itself
  absl::Duration connect_timeout = absl::InfiniteDuration();  // where shorter than the client's
  bool direct = false;                       // past the client's proxy: link-local services
  size_t expected_response_bytes = 0;        // where the server may not say; a hint
  size_t max_response_bytes = 128ull << 20;  // of the body; more is an error
};

struct HttpResponse {
  int status = 0;  // such as 200
  HttpHeaders headers;
  Slice body;
  // How often the request was begun on a connection: more than 1 where a kept-alive connection
  // turned out dead and the client began again on a fresh one. The server may then have acted on
  // it twice.
  int sends = 0;

  const std::string* Find(std::string_view name) const { return FindHeader(headers, name); }
};

// What a client has now, and has had.
struct HttpClientStats {
  size_t open_connections = 0;      // those being made and idle ones included
  uint64_t opened_connections = 0;  // so far
  size_t running = 0;               // requests that have a connection, or are getting one
  size_t waiting = 0;               // requests for which there is none yet
};

// Thread-safe. Never blocks the caller but in Shutdown.
class HttpClient {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<HttpResponse>) &&>;
  using CallId = uint64_t;

  virtual ~HttpClient() = default;

  // One exchange. Any HTTP status is a success; errors are those of the transport:
  //   UNAVAILABLE          could not connect, or the connection broke: worth another try. Whether
  //                        the server acted on the request is unknown
  //   DEADLINE_EXCEEDED    the request's deadline, or the client's own bound
  //   CANCELLED            Cancel, the request's cancellation, or Shutdown
  //   RESOURCE_EXHAUSTED   too many requests wait, or the response is larger than allowed
  //   INVALID_ARGUMENT     the URL or a header
  //   FAILED_PRECONDITION  TLS: the certificate or its authority
  // No message holds the URL's query. `done` runs exactly once, outside locks, on a thread of the
  // client, or before the call returns where the request is refused; it must not block.
  virtual CallId Send(HttpRequest request, Done done) = 0;

  // Ends the call with CANCELLED, soon; nothing happens if it has ended.
  virtual void Cancel(CallId call) = 0;

  // Runs `done` after the delay, on a thread of the client: with OK, or at once with CANCELLED on
  // Shutdown and RESOURCE_EXHAUSTED where too many wait.
  virtual void RunAfter(absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done) = 0;

  // Refuses what comes later with CANCELLED, cancels what runs, and returns when the last `done`
  // did. Idempotent. REQUIRES: not from a `done` of this client.
  virtual void Shutdown() = 0;

  virtual HttpClientStats stats() const { return {}; }

  // Whether the caller is inside a `done` that a thread of this client runs.
  virtual bool OnClientThread() const = 0;
};

}  // namespace kvstore

#endif  // KVSERVICE_HTTP_HTTP_CLIENT_H_
