#include "KVService/storage/azure/token_credential.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string>
#include <utility>

#include "KVService/http/exchange_log.h"
#include "KVService/storage/azure/blob_requests.h"

namespace kvstore::azure {

namespace {

constexpr char kBearer[] = "Bearer ";

class TokenCredential : public Credential {
 public:
  explicit TokenCredential(std::shared_ptr<TokenCache> cache) : cache_(std::move(cache)) {}

  void Authorize(HttpRequest request, Done done) override {
    if (!KeepsSecrets(request.url)) {
      return std::move(done)(absl::FailedPreconditionError(
          fmt::format("{}: no token is sent to {}, since it is not https; give the account an "
                      "https endpoint",
                      cache_->source().name(), http::WithoutQuery(request.url))));
    }
    const absl::Time deadline = request.deadline;
    cache_->Get(deadline, [request = std::move(request),
                           done = std::move(done)](absl::StatusOr<std::string> token) mutable {
      if (!token.ok()) return std::move(done)(token.status());
      request.headers.push_back({"Authorization", kBearer + *token});
      // Tokens are known from version 2017-11-09 on; without the header an older one would count.
      if (FindHeader(request.headers, "x-ms-version") == nullptr) {
        request.headers.push_back({"x-ms-version", std::string(kServiceVersion)});
      }
      std::move(done)(std::move(request));
    });
  }

  bool Refused(std::string_view authorization) override {
    if (!authorization.starts_with(kBearer)) return false;
    return cache_->Refused(authorization.substr(std::string_view(kBearer).size()));
  }

 private:
  const std::shared_ptr<TokenCache> cache_;
};

bool IsLoopback(std::string_view host) {
  if (host == "localhost" || host == "[::1]") return true;
  return host.starts_with("127.") && std::all_of(host.begin(), host.end(), [](char c) {
           return c == '.' || (c >= '0' && c <= '9');
         });
}

}  // namespace

std::shared_ptr<Credential> MakeTokenCredential(std::shared_ptr<TokenCache> cache) {
  return std::make_shared<TokenCredential>(std::move(cache));
}

bool KeepsSecrets(std::string_view url) {
  if (url.starts_with("https://")) return true;
  if (!url.starts_with("http://")) return false;
  const std::string_view rest = url.substr(7);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) return false;  // a user name may look like it
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return IsLoopback(authority.substr(0, colon));
}

}  // namespace kvstore::azure
