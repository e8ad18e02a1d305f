// A read that is sent to a second server when the first takes long (Dean and Barroso, "The tail at
// scale", Communications of the ACM 2013).
#ifndef KVCLIENT_SRC_HEDGED_CALL_H_
#define KVCLIENT_SRC_HEDGED_CALL_H_

#include <memory>

#include "KVClient/src/unary_call.h"

namespace kvstore::client {

// As StartUnary. Where the server's storage is shared and its p95 is known, a second request goes
// to the next home after that time; the first good answer is given, and the other request is
// cancelled. Only the answer that is given reaches `done`, so only it is copied to the caller's
// memory.
void StartHedged(std::shared_ptr<Core> core, UnaryRequest request,
                 absl::AnyInvocable<void(absl::StatusOr<grpc::ByteBuffer>) &&> done);

}  // namespace kvstore::client

#endif  // KVCLIENT_SRC_HEDGED_CALL_H_
