// The HttpClient on WinHTTP, Windows' own: it trusts what the machine's administrators trust.
//
// A few threads own one session each. Callers put work into a thread's inbox, and WinHTTP's own
// threads leave word of each step there; all else happens on that thread.
//
// Of the options, dns_cache, max_idle and multi_nic are not kept to: WinHTTP and the system decide.
// stats() is all zeros: WinHTTP does not tell of its connections.
#ifndef KVSERVICE_HTTP_WINHTTP_CLIENT_H_
#define KVSERVICE_HTTP_WINHTTP_CLIENT_H_

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
class WinHttpLoop;
}  // namespace http

class WinHttpClient : public HttpClient {
 public:
  // REQUIRES: threads, max_connections and max_pending are at least 1; no ca_file, for which
  // WinHTTP has no way.
  explicit WinHttpClient(HttpClientOptions options);
  ~WinHttpClient() override;  // as Shutdown

  CallId Send(HttpRequest request, Done done) override;
  void Cancel(CallId call) override;
  void RunAfter(absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done) override;
  void Shutdown() override ABSL_LOCKS_EXCLUDED(shutdown_mutex_);
  bool OnClientThread() const override;

 private:
  const HttpClientOptions options_;
  std::atomic<size_t> pending_ = 0;
  std::atomic<size_t> timers_ = 0;
  std::atomic<uint64_t> next_ = 0;
  absl::Mutex shutdown_mutex_;
  std::vector<std::unique_ptr<http::WinHttpLoop>> loops_;
};

}  // namespace kvstore

#endif  // KVSERVICE_HTTP_WINHTTP_CLIENT_H_
