// A thread of the HTTP client with one WinHTTP session. WinHTTP tells of each step on threads of
// its own, which only leave word here.
#ifndef KVSERVICE_HTTP_WINHTTP_LOOP_H_
#define KVSERVICE_HTTP_WINHTTP_LOOP_H_

#include <memory>
#include <vector>

#include "KVService/http/call_loop.h"
#include "KVService/http/winhttp_exchange.h"
#include "absl/container/flat_hash_map.h"

namespace kvstore::http {

class WinHttpLoop final : public CallLoop {
 public:
  explicit WinHttpLoop(const Options& options);

 private:
  struct WinHttpCall : Call {
    WinHttpExchange* exchange = nullptr;  // of one that was begun
    int begun = 0;                        // how many exchanges it had
    int sends = 0;                        // of those before
  };

  void Run() override;
  void Wake() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::unique_ptr<Call> MakeCall() override { return std::make_unique<WinHttpCall>(); }
  absl::Status Begin(Call* call) override;
  void Release(Call* call) override;

  void AwaitEvents(bool to_the_end) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEvent(const WinHttpEvent& event);

  const HINTERNET session_;
  const WinHttpExchange::Sink sink_;

  absl::CondVar something_;
  std::vector<WinHttpEvent> events_ ABSL_GUARDED_BY(mutex_);

  // Those of calls, and those that are closed and that WinHTTP is not done with.
  absl::flat_hash_map<WinHttpExchange*, std::unique_ptr<WinHttpExchange>> exchanges_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_WINHTTP_LOOP_H_
