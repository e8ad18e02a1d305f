#include "KVService/rpc/access.h"

#include <grpc/grpc_security_constants.h>

#include <optional>
#include <string>
#include <vector>

#include "KVCommon/status_macros.h"
#include "KVCommon/wire.h"
#include "KVService/admission/overload.h"
#include "KVService/block/location.h"
#include "absl/hash/hash.h"

namespace kvstore {
namespace {

std::string_view View(grpc::string_ref text) { return {text.data(), text.size()}; }

void AddNames(const grpc::AuthContext& context, const char* property,
              std::vector<std::string_view>* names) {
  for (const grpc::string_ref& name : context.FindPropertyValues(property)) {
    names->push_back(View(name));
  }
}

}  // namespace

absl::StatusOr<Caller> CallerOf(const AccessControl& access, const grpc::ServerContext& context) {
  const auto headers = context.client_metadata().equal_range("authorization");
  if (headers.first != headers.second) {
    const bool one = std::next(headers.first) == headers.second;
    return access.Authenticate(one ? View(headers.first->second) : "", {});  // two are no token
  }
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  std::vector<std::string_view> names;
  if (peer != nullptr && peer->IsPeerAuthenticated()) {
    AddNames(*peer, GRPC_PEER_URI_PROPERTY_NAME, &names);
    AddNames(*peer, GRPC_PEER_DNS_PROPERTY_NAME, &names);
    // As RFC 6125 has it for servers: the common name counts where there is no other.
    if (names.empty()) AddNames(*peer, GRPC_X509_CN_PROPERTY_NAME, &names);
  }
  return access.Authenticate(std::nullopt, names);
}

absl::Status AdmitCall(const AccessControl* access, Admission& admission,
                       const grpc::ServerContext& context, std::optional<Caller>* caller,
                       Admission::Call* call) {
  const uint64_t connection = absl::HashOf(context.peer());
  if (access == nullptr) return admission.Admit(connection, "", {}, call);
  KV_ASSIGN_OR_RETURN(*caller, CallerOf(*access, context));
  return admission.Admit(connection, (*caller)->name(), (*caller)->limits(), call);
}

void AddFailureMetadata(const absl::Status& status, const Origin* origin,
                        grpc::ServerContext* context) {
  if (!status.ok() && origin != nullptr) {
    context->AddTrailingMetadata(kRequestIdKey, std::string(origin->request_id.view()));
  }
  if (!absl::IsResourceExhausted(status)) return;
  context->AddTrailingMetadata("grpc-retry-pushback-ms", std::to_string(RetryHint(status).count()));
}

void ReadGuard::Check(absl::StatusOr<ChunkStore::ReadResult>* result) const {
  if (!result->ok()) return;
  const auto partition = wire::PartitionOf((*result)->chunk.bytes());
  if (partition && caller.MayRead(container, *partition)) return;
  *result = absl::NotFoundError("");
}

absl::StatusOr<std::unique_ptr<ReadGuard>> GuardRead(const Caller& caller,
                                                     const Container& container,
                                                     std::string_view location) {
  KV_ASSIGN_OR_RETURN(const DigestVerdict verdict,
                      caller.CheckRead(container, ClaimedPartition(location)));
  if (verdict == DigestVerdict::kYes) return nullptr;
  if (verdict == DigestVerdict::kNo) return absl::NotFoundError("");
  return std::make_unique<ReadGuard>(ReadGuard{caller, container});
}

}  // namespace kvstore
