// Who makes a call, and what a read may give: the auth module's answers for gRPC's calls.
#ifndef KVSERVICE_RPC_ACCESS_H_
#define KVSERVICE_RPC_ACCESS_H_

#include <grpcpp/server_context.h>

#include <memory>
#include <optional>
#include <string_view>

#include "KVCommon/origin.h"
#include "KVService/admission/admission.h"
#include "KVService/auth/access_control.h"
#include "KVService/store/chunk_store.h"
#include "absl/status/statusor.h"

namespace kvstore {

// By the call's metadata and its connection's certificate; errors as AccessControl::Authenticate.
absl::StatusOr<Caller> CallerOf(const AccessControl& access, const grpc::ServerContext& context);

// Who calls (nobody where `access` is null), and whether the call may run now: errors as those of
// AccessControl::Authenticate and Admission::Admit.
absl::Status AdmitCall(const AccessControl* access, Admission& admission,
                       const grpc::ServerContext& context, std::optional<Caller>* caller,
                       Admission::Call* call);

// Tells the client of a call that failed its request id, and when to try again, where the status
// says that it may. For before the call ends; nothing where it went well. `origin` may be null.
void AddFailureMetadata(const absl::Status& status, const Origin* origin,
                        grpc::ServerContext* context);

// Looks at a block that was read, where its location could not tell all: see kByName.
struct ReadGuard {
  Caller caller;
  Container container;

  // Makes a block that the caller may not read a miss.
  void Check(absl::StatusOr<ChunkStore::ReadResult>* result) const;
};

// Null where the location alone tells that it may be read. NOT_FOUND, without a message, where it
// may not: the answer is a miss, as for a location that nobody gave out, and the store is not
// asked. PERMISSION_DENIED where the caller may read nothing of the container.
absl::StatusOr<std::unique_ptr<ReadGuard>> GuardRead(const Caller& caller,
                                                     const Container& container,
                                                     std::string_view location);

}  // namespace kvstore

#endif  // KVSERVICE_RPC_ACCESS_H_
