#include "KVService/storage/azure/credential_factory.h"

#include <spdlog/fmt/fmt.h>

#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/connection_string.h"
#include "KVService/storage/azure/default_credential.h"
#include "KVService/storage/azure/entra_identity.h"
#include "KVService/storage/azure/managed_identity.h"
#include "KVService/storage/azure/token_credential.h"

namespace kvstore::azure {

namespace {

using Kind = CredentialKind;

// Beyond it those that nobody uses are dropped: keys that were changed leave theirs behind.
constexpr size_t kMaxUnused = 256;

}  // namespace

CredentialFactory::CredentialFactory(const TokenContext& context, Environment environment,
                                     CredentialFactoryOptions options)
    : context_(context), environment_(std::move(environment)), options_(std::move(options)) {}

absl::StatusOr<CredentialFactory::Made> CredentialFactory::Make(const std::string& account,
                                                                const CredentialSpec& described) {
  CredentialSpec spec = WithEnvironment(described, environment_);
  if (spec.kind == Kind::kDefault) {
    KV_ASSIGN_OR_RETURN(spec, DefaultCredential(account, environment_, options_.managed_identity));
  }
  // One token is good for all accounts.
  std::pair<std::string, CredentialSpec> key(spec.kind == Kind::kAccountKey ? account : "",
                                             std::move(spec));
  absl::MutexLock lock(&mutex_);
  if (const auto it = made_.find(key); it != made_.end()) return it->second;
  absl::StatusOr<Made> made = MakeNew(account, key.second);
  if (!made.ok()) {
    return absl::Status(made.status().code(), fmt::format("account '{}': {}", account,
                                                          std::string(made.status().message())));
  }
  if (made_.size() >= kMaxUnused) {
    std::erase_if(made_,
                  [](const auto& entry) { return entry.second.credential.use_count() == 1; });
  }
  made_.emplace(std::move(key), *made);
  return made;
}

absl::StatusOr<CredentialFactory::Made> CredentialFactory::EndpointAnd(const Account& account) {
  KV_ASSIGN_OR_RETURN(Made made, Make(account.name, account.credential));
  if (!account.endpoint.empty()) made.endpoint = account.endpoint;
  if (made.endpoint.empty()) {
    return absl::InvalidArgumentError(fmt::format("account '{}' has no endpoint", account.name));
  }
  return made;
}

absl::StatusOr<CredentialFactory::Made> CredentialFactory::MakeNew(
    const std::string& account, const CredentialSpec& spec) const {
  Made made;
  switch (spec.kind) {
    case Kind::kAccountKey: {
      KV_ASSIGN_OR_RETURN(made.credential,
                          MakeSharedKeyCredential(account, spec.Value("account_key")));
      return made;
    }
    case Kind::kSas: {
      KV_ASSIGN_OR_RETURN(made.credential, MakeSasCredential(spec.Value("sas")));
      return made;
    }
    case Kind::kConnectionString: {
      KV_ASSIGN_OR_RETURN(Connection connection,
                          ParseConnectionString(spec.Value("connection_string")));
      return Made{std::move(connection.credential), std::move(connection.endpoint)};
    }
    case Kind::kAnonymous:
      return Made{MakeAnonymousCredential(), ""};
    default: {
      KV_ASSIGN_OR_RETURN(auto source, SourceOf(spec));
      made.credential =
          MakeTokenCredential(TokenCache::Make(context_.http, std::move(source), options_.tokens));
      return made;
    }
  }
}

absl::StatusOr<std::shared_ptr<TokenSource>> CredentialFactory::SourceOf(
    const CredentialSpec& spec) const {
  if (spec.kind == Kind::kManagedIdentity) {
    ManagedIdentityOptions options;
    options.client_id = spec.Value("client_id");
    if (!options_.imds_endpoint.empty()) options.imds_endpoint = options_.imds_endpoint;
    const std::string header = environment_("IDENTITY_HEADER");
    if (!header.empty()) {
      options.app_service_endpoint = environment_("IDENTITY_ENDPOINT");
      options.app_service_header = header;
    }
    return MakeManagedIdentitySource(context_, options);
  }
  EntraOptions options;
  options.tenant_id = spec.Value("tenant_id");
  options.client_id = spec.Value("client_id");
  options.authority_host = spec.Value("authority_host");
  if (spec.kind == Kind::kWorkloadIdentity) {
    return MakeWorkloadIdentitySource(context_, options, spec.Value("federated_token_file"));
  }
  return MakeClientSecretSource(context_, options, spec.Value("client_secret"));
}

}  // namespace kvstore::azure
