// The accounts file.
#include "KVCommon/status_macros.h"
#include "KVService/accounts/accounts_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvstore::AccountsContext context;
  context.blob_suffix = "blob.example.net";
  context.environment = [](const char* name) { return std::string(name); };
  context.read_secret = [](const std::string& path) -> absl::StatusOr<std::string> {
    if (path == "absent") return absl::NotFoundError(path);
    return path;
  };
  const auto accounts =
      kvstore::ParseAccounts({reinterpret_cast<const char*>(data), size}, context);
  if (!accounts.ok()) {
    KV_CHECK(!accounts.status().message().empty());
    return 0;
  }
  for (const kvstore::Account& account : *accounts) {
    KV_CHECK(!account.name.empty());
    KV_CHECK(account.endpoint.empty()
                 ? account.credential.kind == kvstore::CredentialKind::kConnectionString
                 : kvstore::CheckEndpoint(account.endpoint).ok());
    for (const auto& field : kvstore::CredentialFields(account.credential.kind)) {
      KV_CHECK(!field.required || !account.credential.Value(std::string(field.name)).empty());
    }
  }
  return 0;
}
