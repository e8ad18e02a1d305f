#include "KVService/storage/azure/entra_identity.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVCommon/secret_file.h"
#include "KVService/http/exchange_log.h"
#include "KVService/storage/azure/token_credential.h"
#include "absl/strings/ascii.h"

namespace kvstore::azure {

namespace {

constexpr char kPublicAuthority[] = "https://login.microsoftonline.com";
constexpr char kScope[] = "https://storage.azure.com/.default";
constexpr char kAssertionType[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

struct Application {
  std::string name;  // of the source
  std::string url;
  std::string client_id;
};

absl::StatusOr<Application> ApplicationOf(const std::string& kind, const EntraOptions& options) {
  const auto wrong = [&kind](const char* what) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", kind, what));
  };
  const std::string& tenant = options.tenant_id;
  if (tenant.empty()) return wrong("the tenant id is missing (AZURE_TENANT_ID)");
  if (options.client_id.empty()) return wrong("the client id is missing (AZURE_CLIENT_ID)");
  // It becomes a part of the URL.
  if (!std::all_of(tenant.begin(), tenant.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) || c == '-' || c == '.';
      })) {
    return wrong("the tenant id may only have letters, digits, '-' and '.'");
  }
  std::string host = options.authority_host.empty() ? kPublicAuthority : options.authority_host;
  while (host.ends_with('/')) host.pop_back();
  if (!KeepsSecrets(host)) return wrong("the authority host must be https (AZURE_AUTHORITY_HOST)");
  Application application;
  application.url = fmt::format("{}/{}/oauth2/v2.0/token", host, tenant);
  application.client_id = options.client_id;
  application.name =
      fmt::format("{} {} (at {})", kind, options.client_id, http::WithoutQuery(host));
  return application;
}

// One exchange; `proof` is what shows that we are the application.
void Exchange(HttpClient* http, const Application& application, const std::string& advice,
              std::vector<std::pair<std::string_view, std::string_view>> proof, absl::Time deadline,
              TokenSource::Done done) {
  std::vector<std::pair<std::string_view, std::string_view>> fields = {
      {"grant_type", "client_credentials"},
      {"client_id", application.client_id},
      {"scope", kScope}};
  fields.insert(fields.end(), proof.begin(), proof.end());
  HttpRequest request;
  request.method = HttpMethod::kPost;
  request.url = application.url;
  request.headers.push_back({"Content-Type", "application/x-www-form-urlencoded"});
  request.body.push_back(Slice::CopyOf(AsBytes(FormEncode(fields))));
  auto words = std::make_shared<TokenAdvice>();
  words->name = application.name;
  words->endpoint = http::WithoutQuery(application.url);
  words->refused = advice;
  words->unreachable = "check the network and AZURE_AUTHORITY_HOST";
  words->secrets.emplace_back(proof.back().second);
  SendTokenRequest(http, std::move(request), deadline, std::move(words), std::move(done));
}

class ClientSecretSource : public TokenSource {
 public:
  ClientSecretSource(HttpClient* http, Application application, std::string secret)
      : http_(http), application_(std::move(application)), secret_(std::move(secret)) {}

  const std::string& name() const override { return application_.name; }

  void Fetch(absl::Time deadline, Done done) override {
    Exchange(
        http_, application_,
        "check the tenant and client ids, and that the client secret (AZURE_CLIENT_SECRET) has "
        "not expired",
        {{"client_secret", secret_}}, deadline, std::move(done));
  }

 private:
  HttpClient* const http_;
  const Application application_;
  const std::string secret_;
};

class WorkloadIdentitySource : public TokenSource,
                               public std::enable_shared_from_this<WorkloadIdentitySource> {
 public:
  WorkloadIdentitySource(const TokenContext& context, Application application, std::string file)
      : context_(context), application_(std::move(application)), file_(std::move(file)) {}

  const std::string& name() const override { return application_.name; }

  void Fetch(absl::Time deadline, Done done) override {
    if (context_.files == nullptr) return ReadAndExchange(deadline, std::move(done));
    // Shared, since a task that is refused is dropped.
    auto shared = std::make_shared<Done>(std::move(done));
    if (!context_.files->TrySubmit([self = shared_from_this(), deadline, shared] {
          self->ReadAndExchange(deadline, std::move(*shared));
        })) {
      TokenResult refused;
      refused.token = absl::UnavailableError(
          fmt::format("{}: too much waits to be read, or the server is stopping", name()));
      refused.again = true;
      std::move (*shared)(std::move(refused));
    }
  }

 private:
  void ReadAndExchange(absl::Time deadline, Done done) {
    const absl::StatusOr<std::string> assertion = ReadSecretFile(file_);
    if (!assertion.ok()) {
      TokenResult missing;
      missing.token = absl::FailedPreconditionError(
          fmt::format("{}: federated token: {}; check AZURE_FEDERATED_TOKEN_FILE", name(),
                      std::string(assertion.status().message())));
      missing.again = true;  // the file may be between an old and a new one
      return std::move(done)(std::move(missing));
    }
    Exchange(context_.http, application_,
             "check the tenant and client ids, and that the application has a federated credential "
             "for this service account",
             {{"client_assertion_type", kAssertionType}, {"client_assertion", *assertion}},
             deadline, std::move(done));
  }

  const TokenContext context_;
  const Application application_;
  const std::string file_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<TokenSource>> MakeWorkloadIdentitySource(const TokenContext& context,
                                                                        const EntraOptions& options,
                                                                        std::string token_file) {
  KV_ASSIGN_OR_RETURN(Application application, ApplicationOf("workload identity", options));
  if (token_file.empty()) {
    return absl::InvalidArgumentError(
        "workload identity: the federated token's file is missing (AZURE_FEDERATED_TOKEN_FILE)");
  }
  return std::make_shared<WorkloadIdentitySource>(context, std::move(application),
                                                  std::move(token_file));
}

absl::StatusOr<std::shared_ptr<TokenSource>> MakeClientSecretSource(const TokenContext& context,
                                                                    const EntraOptions& options,
                                                                    std::string secret) {
  KV_ASSIGN_OR_RETURN(Application application, ApplicationOf("client secret", options));
  if (secret.empty()) {
    return absl::InvalidArgumentError("client secret: the secret is missing (AZURE_CLIENT_SECRET)");
  }
  return std::make_shared<ClientSecretSource>(context.http, std::move(application),
                                              std::move(secret));
}

}  // namespace kvstore::azure
