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
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/platform/network.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

namespace http {
class CurlShare;
class EventLoop;
class SourceAddresses;
}  // namespace http

struct HttpClientOptions {
  size_t threads = 2;
  size_t max_connections = 100;  // to one endpoint (scheme, host and port), of all threads
  size_t max_pending = 4096;     // requests that are not finished; timers are bounded by it too
  absl::Duration connect_timeout = absl::Seconds(10);
  absl::Duration max_request_time = absl::Minutes(10);  // even where a request has no deadline
  absl::Duration max_idle = absl::Seconds(118);         // an older connection is not reused
  absl::Duration dns_cache = absl::Seconds(300);
  // Spreads connections evenly over the machine's network interfaces, where there are several, and
  // leaves out those that do not work (source_addresses.h).
  bool multi_nic = true;
  std::function<absl::StatusOr<std::vector<NetworkInterface>>()> list_interfaces = UsableInterfaces;
  std::string ca_file;  // PEM; trusted instead of the system's. Certificates are always checked
  std::string proxy;    // URL of one for all requests; empty: none, whatever the environment says
  // One line an exchange, without secrets (exchange_log.h). Thread-safe; empty: no log.
  std::function<void(const std::string& line)> log;
};

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
