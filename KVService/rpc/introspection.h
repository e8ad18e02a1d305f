// What tells of the server to tools of gRPC's: off unless asked for. Both are gRPC's own services,
// which run on threads of its own.
#ifndef KVSERVICE_RPC_INTROSPECTION_H_
#define KVSERVICE_RPC_INTROSPECTION_H_

#include "absl/status/status.h"

namespace kvstore {

// For the servers that are built from now on. Which services there are, and their messages: what
// grpcurl and grpc_cli ask for. FAILED_PRECONDITION where there is no library of gRPC's for it.
absl::Status OfferReflection();

// Likewise. Channels, sockets, calls and their counts, of the whole process (gRPC's A14).
absl::Status OfferChannelz();

}  // namespace kvstore

#endif  // KVSERVICE_RPC_INTROSPECTION_H_
