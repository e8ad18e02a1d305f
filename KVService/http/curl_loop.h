// A thread of the HTTP client with one CURLM.
#ifndef KVSERVICE_HTTP_CURL_LOOP_H_
#define KVSERVICE_HTTP_CURL_LOOP_H_

#include <curl/curl.h>

#include <atomic>
#include <memory>
#include <vector>

#include "KVService/http/call_loop.h"
#include "KVService/http/curl_share.h"
#include "KVService/http/route_picker.h"
#include "KVService/http/transfer.h"
#include "absl/container/flat_hash_map.h"

namespace kvstore::http {

class CurlLoop final : public CallLoop {
 public:
  // `sources` may be null: every connection is the system's to route. All outlive the loop.
  CurlLoop(const Options& options, CurlShare* share, SourceAddresses* sources);

  // Some of the sources are gone: what runs on them ends, or begins anew where it may. On any
  // thread.
  void OnSourcesRemoved() ABSL_LOCKS_EXCLUDED(mutex_);

  void AddTo(HttpClientStats* stats) const override;

 private:
  struct CurlCall : Call {
    Route route;
    std::unique_ptr<Transfer> transfer;  // of one that was begun
  };

  void Run() override;
  void Wake() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::unique_ptr<Call> MakeCall() override { return std::make_unique<CurlCall>(); }
  absl::Status Begin(Call* call) override;
  void Release(Call* call) override;

  bool BeginAnotherWay(CurlCall* call);
  void EndLost();
  void ReadCompletions();
  int PollMilliseconds() const;

  CURL* TakeHandle();
  void ReturnHandle(CURL* handle);
  void CloseConnections();

  CURLM* const multi_;
  CurlShare* const share_;
  ConnectionCount connections_;
  std::atomic<bool> sources_removed_ = false;

  absl::flat_hash_map<CURL*, uint64_t> running_;
  std::vector<CURL*> idle_handles_;
  RoutePicker routes_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_CURL_LOOP_H_
