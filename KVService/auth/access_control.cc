#include "KVService/auth/access_control.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "KVCommon/limits.h"
#include "KVCommon/secret_file.h"
#include "KVCommon/status_macros.h"
#include "KVService/auth/auth_json.h"
#include "absl/strings/match.h"

namespace kvstore {
namespace {

constexpr std::string_view kScheme = "bearer ";

absl::Status Denied(Right right) {
  return absl::PermissionDeniedError(
      right == Right::kRead
          ? "this caller may not read here: a rule of the server's auth file must allow read of "
            "the account, container and partition"
          : "this caller may not write here: a rule of the server's auth file must allow write to "
            "the account, container and partition");
}

// Empty where the header has none of a sane size.
std::string_view TokenOf(std::string_view authorization) {
  if (authorization.size() > kScheme.size() + kMaxTokenBytes) return {};
  const std::string_view scheme = authorization.substr(0, kScheme.size());
  if (!absl::EqualsIgnoreCase({scheme.data(), scheme.size()}, {kScheme.data(), kScheme.size()})) {
    return {};
  }
  return authorization.substr(kScheme.size());
}

}  // namespace

absl::Status Caller::Check(Right right, const Container& container,
                           std::string_view partition) const {
  return identity_->May(right, container, partition) ? absl::OkStatus() : Denied(right);
}

absl::StatusOr<DigestVerdict> Caller::CheckRead(
    const Container& container, const std::optional<PartitionDigest>& partition) const {
  if (!identity_->MaySomewhere(Right::kRead, container)) return Denied(Right::kRead);
  return partition ? identity_->MayRead(container, *partition) : DigestVerdict::kNo;
}

absl::StatusOr<std::unique_ptr<AccessControl>> AccessControl::Open(std::string path) {
  std::unique_ptr<AccessControl> access(new AccessControl(std::move(path)));
  KV_RETURN_IF_ERROR(access->Reload());
  return access;
}

absl::Status AccessControl::Reload() {
  absl::MutexLock reload(&reload_mutex_);
  const auto read = [this]() -> absl::StatusOr<std::vector<Identity>> {
    KV_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path_, kMaxAuthFileBytes));
    return ParseAuth(text);
  };
  absl::StatusOr<std::vector<Identity>> identities = read();
  if (!identities.ok()) {
    return absl::Status(
        identities.status().code(),
        fmt::format("auth file {}: {}", path_, std::string(identities.status().message())));
  }
  auto fresh = std::make_shared<const Identities>(*std::move(identities));
  absl::MutexLock lock(&mutex_);
  identities_.swap(fresh);
  return absl::OkStatus();
}

std::shared_ptr<const Identities> AccessControl::Current() const {
  absl::MutexLock lock(&mutex_);
  return identities_;
}

absl::StatusOr<Caller> AccessControl::Authenticate(
    std::optional<std::string_view> authorization,
    std::span<const std::string_view> certificate_names) const {
  std::shared_ptr<const Identities> identities = Current();
  const Identity* identity = nullptr;
  if (authorization.has_value()) {
    const std::string_view token = TokenOf(*authorization);
    if (token.empty()) {
      return absl::UnauthenticatedError(
          "the metadata 'authorization' must be 'Bearer <token>', with a token of the server's "
          "auth file");
    }
    identity = identities->ByToken(token);
    if (identity == nullptr) {
      return absl::UnauthenticatedError(
          "this token is not known to the server: if it was replaced, take the new one, or have "
          "its hash added to the server's auth file");
    }
    return Caller(std::move(identities), identity);
  }
  for (const std::string_view name : certificate_names) {
    identity = identities->ByCertificateName(name);
    if (identity != nullptr) return Caller(std::move(identities), identity);
  }
  return absl::UnauthenticatedError(
      "the server must know who calls: send the metadata 'authorization: Bearer <token>', or "
      "present a certificate with a name that the server's auth file has");
}

bool AccessControl::NeedsCertificates() const {
  const std::shared_ptr<const Identities> identities = Current();
  return std::any_of(identities->all().begin(), identities->all().end(),
                     [](const Identity& identity) { return identity.tokens.empty(); });
}

}  // namespace kvstore
