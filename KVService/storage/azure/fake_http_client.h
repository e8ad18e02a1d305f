// An HttpClient that answers as a test says, on the caller's thread, without a network or time.
#ifndef KVSERVICE_STORAGE_AZURE_FAKE_HTTP_CLIENT_H_
#define KVSERVICE_STORAGE_AZURE_FAKE_HTTP_CLIENT_H_

#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "KVService/http/http_client.h"

namespace kvstore::testing {

inline HttpResponse Answer(int status, HttpHeaders headers = {}, const std::string& body = "") {
  HttpResponse response;
  response.status = status;
  response.headers = std::move(headers);
  response.body = body.empty() ? Slice() : Slice::CopyOf(AsBytes(body));
  response.sends = 1;
  return response;
}

// For one thread. Timers run at once unless `hold_timers`; answers come from `handler`, at once
// unless `hold_answers`.
class FakeHttpClient : public HttpClient {
 public:
  std::function<absl::StatusOr<HttpResponse>(const HttpRequest&)> handler;
  bool hold_answers = false;
  bool hold_timers = false;
  std::vector<HttpRequest> requests;
  std::vector<absl::Duration> delays;
  std::deque<std::pair<HttpRequest, Done>> held;
  std::deque<absl::AnyInvocable<void(absl::Status) &&>> timers;

  CallId Send(HttpRequest request, Done done) override {
    requests.push_back(request);
    if (hold_answers) {
      held.emplace_back(std::move(request), std::move(done));
    } else {
      std::move(done)(handler(request));
    }
    return requests.size();
  }
  void Cancel(CallId) override {}
  void RunAfter(absl::Duration delay, absl::AnyInvocable<void(absl::Status) &&> done) override {
    delays.push_back(delay);
    if (hold_timers) {
      timers.push_back(std::move(done));
    } else {
      std::move(done)(absl::OkStatus());
    }
  }
  void Shutdown() override {}
  bool OnClientThread() const override { return false; }

  void AnswerNext(absl::StatusOr<HttpResponse> response) {
    Done done = std::move(held.front().second);
    held.pop_front();
    std::move(done)(std::move(response));
  }
  void RunNextTimer(absl::Status status = absl::OkStatus()) {
    auto timer = std::move(timers.front());
    timers.pop_front();
    std::move(timer)(std::move(status));
  }
};

}  // namespace kvstore::testing

#endif  // KVSERVICE_STORAGE_AZURE_FAKE_HTTP_CLIENT_H_
