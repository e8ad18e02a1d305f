// What tests of an HttpClient use: calls that wait, bodies that are known.
#ifndef KVSERVICE_HTTP_HTTP_TESTING_H_
#define KVSERVICE_HTTP_HTTP_TESTING_H_

#include <cstdlib>
#include <future>
#include <string>
#include <utility>

#include "KVService/http/http_client.h"
#include "absl/time/clock.h"

namespace kvstore::testing {

inline HttpRequest Request(HttpMethod method, std::string url, std::vector<Slice> body = {}) {
  HttpRequest request;
  request.method = method;
  request.url = std::move(url);
  request.body = std::move(body);
  request.deadline = absl::Now() + absl::Seconds(60);
  return request;
}

inline std::future<absl::StatusOr<HttpResponse>> SendAsync(HttpClient& client, HttpRequest request,
                                                           HttpClient::CallId* call = nullptr) {
  std::promise<absl::StatusOr<HttpResponse>> promise;
  auto future = promise.get_future();
  const HttpClient::CallId id = client.Send(
      std::move(request), [p = std::move(promise)](absl::StatusOr<HttpResponse> response) mutable {
        p.set_value(std::move(response));
      });
  if (call != nullptr) *call = id;
  return future;
}

inline absl::StatusOr<HttpResponse> SendNow(HttpClient& client, HttpRequest request) {
  return SendAsync(client, std::move(request)).get();
}

inline std::string Body(const HttpResponse& response) {
  return std::string(AsText(response.body.bytes()));
}

// Null takes the variable away.
inline void SetEnvironment(const char* name, const char* value) {
#ifdef _WIN32
  ::_putenv_s(name, value == nullptr ? "" : value);
#else
  value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
#endif
}

// Bytes in which a shift or a repetition shows.
inline std::string Pattern(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 1;
  for (char& c : text) {
    state = state * 1664525u + 1013904223u;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

}  // namespace kvstore::testing

#endif  // KVSERVICE_HTTP_HTTP_TESTING_H_
