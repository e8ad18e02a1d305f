#include "KVService/storage/azure/token_request.h"

#include "KVService/storage/azure/url.h"
#include "absl/time/clock.h"

namespace kvstore::azure {

void SendTokenRequest(HttpClient* http, HttpRequest request, absl::Time deadline,
                      std::shared_ptr<const TokenAdvice> advice, TokenSource::Done done) {
  request.deadline = deadline;
  request.max_response_bytes = kMaxTokenResponseBytes;
  request.headers.push_back({"Accept", "application/json"});
  http->Send(std::move(request), [advice = std::move(advice), done = std::move(done)](
                                     const absl::StatusOr<HttpResponse>& response) mutable {
    std::move(done)(TokenResultOf(response, *advice, absl::Now()));
  });
}

std::string FormEncode(const std::vector<std::pair<std::string_view, std::string_view>>& fields) {
  std::string form;
  for (const auto& [name, value] : fields) {
    if (!form.empty()) form += '&';
    form.append(name).append("=").append(EncodeQueryValue(value));
  }
  return form;
}

}  // namespace kvstore::azure
