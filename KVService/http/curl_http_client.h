// The HttpClient on libcurl's multi interface.
//
// A few event threads own one CURLM each and share DNS results and TLS sessions. Callers put work
// into a thread's inbox and wake it; all else happens on that thread, so that nothing of curl needs
// a lock of ours. A thread gets some requests at a time before the next one is used: what keeps
// busy reads more at each turn, which costs a third less CPU (docs/BENCHMARKS.md).
#ifndef KVSERVICE_HTTP_CURL_HTTP_CLIENT_H_
#define KVSERVICE_HTTP_CURL_HTTP_CLIENT_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/http/http_client_options.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

namespace http {
class CurlShare;
class EventLoop;
class SourceAddresses;
}  // namespace http

class CurlHttpClient : public HttpClient {
 public:
  // REQUIRES: threads, max_connections and max_pending are at least 1.
  explicit CurlHttpClient(HttpClientOptions options);
  ~CurlHttpClient() override;  // as Shutdown

  CallId Send(HttpRequest request, Done done) override;
  void Cancel(CallId call) override;
  void RunAfter(absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done) override;
  void Shutdown() override ABSL_LOCKS_EXCLUDED(shutdown_mutex_);
  HttpClientStats stats() const override;
  bool OnClientThread() const override;

 private:
  size_t PickLoop() const;

  const HttpClientOptions options_;
  std::atomic<size_t> pending_ = 0;
  std::atomic<size_t> timers_ = 0;
  std::atomic<uint64_t> next_ = 0;
  absl::Mutex shutdown_mutex_;

  std::unique_ptr<http::CurlShare> share_;
  std::vector<std::unique_ptr<http::EventLoop>> loops_;
  // After the loops, which it calls, though they use it: Shutdown sees to the order.
  std::unique_ptr<http::SourceAddresses> sources_;
};

}  // namespace kvstore

#endif  // KVSERVICE_HTTP_CURL_HTTP_CLIENT_H_
