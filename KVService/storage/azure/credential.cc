#include "KVService/storage/azure/credential.h"

#include <utility>

#include "KVService/storage/azure/shared_key.h"
#include "KVService/storage/azure/url.h"
#include "absl/strings/escaping.h"

namespace kvstore::azure {

namespace {

class SharedKeyCredential : public Credential {
 public:
  SharedKeyCredential(std::string account, std::string key)
      : account_(std::move(account)), key_(std::move(key)) {}

  void Authorize(HttpRequest request, Done done) override {
    std::string value = SharedKeyAuthorization(request, account_, key_);
    request.headers.push_back({"Authorization", std::move(value)});
    std::move(done)(std::move(request));
  }

 private:
  const std::string account_;
  const std::string key_;
};

class SasCredential : public Credential {
 public:
  explicit SasCredential(std::string token) : token_(std::move(token)) {}

  void Authorize(HttpRequest request, Done done) override {
    request.url = WithParameters(std::move(request.url), token_);
    std::move(done)(std::move(request));
  }

 private:
  const std::string token_;
};

class AnonymousCredential : public Credential {
 public:
  void Authorize(HttpRequest request, Done done) override { std::move(done)(std::move(request)); }
};

}  // namespace

absl::StatusOr<std::shared_ptr<Credential>> MakeSharedKeyCredential(std::string account,
                                                                    std::string_view key_base64) {
  std::string key;
  if (!absl::Base64Unescape(absl::string_view(key_base64.data(), key_base64.size()), &key) ||
      key.empty()) {
    return absl::InvalidArgumentError("the account key of '" + account + "' is not base64");
  }
  return std::make_shared<SharedKeyCredential>(std::move(account), std::move(key));
}

absl::StatusOr<std::shared_ptr<Credential>> MakeSasCredential(std::string_view token) {
  if (!token.empty() && token.front() == '?') token.remove_prefix(1);
  for (const auto& [name, value] : SplitUrl("/?" + std::string(token)).query) {
    if (name == "sig" && !value.empty()) return std::make_shared<SasCredential>(std::string(token));
  }
  return absl::InvalidArgumentError("the shared access signature has no 'sig'");
}

std::shared_ptr<Credential> MakeAnonymousCredential() {
  return std::make_shared<AnonymousCredential>();
}

}  // namespace kvstore::azure
