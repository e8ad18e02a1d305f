// An HttpClient of a few CallLoops: which of them has a call, and when all end.
#ifndef KVSERVICE_HTTP_LOOP_CLIENT_H_
#define KVSERVICE_HTTP_LOOP_CLIENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "KVService/http/call_loop.h"
#include "KVService/http/http_client.h"
#include "KVService/http/http_client_options.h"
#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::http {

// A loop gets some requests at a time before the next one is used: what keeps busy reads more at
// each turn, which costs a third less CPU (docs/BENCHMARKS.md).
class LoopClient : public HttpClient {
 public:
  ~LoopClient() override;  // REQUIRES: Shutdown

  CallId Send(HttpRequest request, Done done) override;
  void Cancel(CallId call) override;
  void RunAfter(absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done) override;
  void Shutdown() override ABSL_LOCKS_EXCLUDED(shutdown_mutex_);
  HttpClientStats stats() const override;
  bool OnClientThread() const override;

 protected:
  // REQUIRES: threads, max_connections and max_pending are at least 1.
  explicit LoopClient(HttpClientOptions options);

  // The threads. Once, in the subclass's constructor, whose destructor calls Shutdown.
  void MakeLoops(
      absl::FunctionRef<std::unique_ptr<CallLoop>(const CallLoop::Options& options)> make);

  const HttpClientOptions options_;

 private:
  size_t PickLoop() const;

  std::atomic<size_t> pending_ = 0;
  std::atomic<size_t> timers_ = 0;
  std::atomic<uint64_t> next_ = 0;
  absl::Mutex shutdown_mutex_;
  std::vector<std::unique_ptr<CallLoop>> loops_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_LOOP_CLIENT_H_
