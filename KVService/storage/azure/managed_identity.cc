#include "KVService/storage/azure/managed_identity.h"

#include <spdlog/fmt/fmt.h>

#include <utility>

#include "KVService/http/exchange_log.h"
#include "KVService/storage/azure/url.h"

namespace kvstore::azure {

namespace {

constexpr char kAssign[] =
    "assign a managed identity to this machine (and name its client id, if it has several), or "
    "configure another credential";

std::string NameOf(const ManagedIdentityOptions& options) {
  const bool app_service = !options.app_service_endpoint.empty();
  return fmt::format(
      "managed identity{} ({} at {})", options.client_id.empty() ? "" : " " + options.client_id,
      app_service ? "App Service" : "IMDS",
      http::WithoutQuery(app_service ? options.app_service_endpoint : options.imds_endpoint));
}

class ManagedIdentitySource : public TokenSource {
 public:
  ManagedIdentitySource(HttpClient* http, const ManagedIdentityOptions& options)
      : http_(http), name_(NameOf(options)) {
    auto advice = std::make_shared<TokenAdvice>();
    advice->name = name_;
    advice->refused = kAssign;
    app_service_ = !options.app_service_endpoint.empty();
    std::string parameters = "api-version=";
    parameters += app_service_ ? "2019-08-01" : "2018-02-01";
    parameters += "&resource=" + EncodeQueryValue(kStorageResource);
    if (!options.client_id.empty()) {
      parameters += "&client_id=" + EncodeQueryValue(options.client_id);
    }
    if (app_service_) {
      request_.url = options.app_service_endpoint;
      request_.headers.push_back({"X-IDENTITY-HEADER", options.app_service_header});
      advice->secrets.push_back(options.app_service_header);
      advice->unreachable = "check IDENTITY_ENDPOINT";
    } else {
      request_.url = options.imds_endpoint + "/metadata/identity/oauth2/token";
      request_.headers.push_back({"Metadata", "true"});
      request_.connect_timeout = options.imds_connect_timeout;
      advice->unreachable =
          "if this is no machine in Azure with a managed identity, configure another credential: "
          "an account key, a SAS, a connection string, workload identity or a client secret";
    }
    request_.direct = true;
    advice->endpoint = http::WithoutQuery(request_.url);
    request_.url = WithParameters(std::move(request_.url), parameters);
    advice_ = std::move(advice);
  }

  const std::string& name() const override { return name_; }

  void Fetch(absl::Time deadline, Done done) override {
    if (app_service_) {
      return SendTokenRequest(http_, request_, deadline, advice_, std::move(done));
    }
    SendTokenRequest(
        http_, request_, deadline, advice_, [done = std::move(done)](TokenResult result) mutable {
          // Whoever answers is there; who does not will not be a second later.
          if (!result.answered && absl::IsUnavailable(result.token.status())) {
            result.token = absl::FailedPreconditionError(result.token.status().message());
            result.again = false;
          }
          std::move(done)(std::move(result));
        });
  }

 private:
  HttpClient* const http_;
  const std::string name_;
  bool app_service_ = false;
  HttpRequest request_;
  std::shared_ptr<const TokenAdvice> advice_;
};

}  // namespace

std::shared_ptr<TokenSource> MakeManagedIdentitySource(const TokenContext& context,
                                                       const ManagedIdentityOptions& options) {
  return std::make_shared<ManagedIdentitySource>(context.http, options);
}

}  // namespace kvstore::azure
