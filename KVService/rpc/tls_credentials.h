// gRPC's credentials for a server whose certificate may change while it runs.
#ifndef KVSERVICE_RPC_TLS_CREDENTIALS_H_
#define KVSERVICE_RPC_TLS_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "KVService/auth/server_tls.h"

namespace kvstore {

// Every handshake is by what `tls` holds at that moment. Both must outlive the server: gRPC asks
// them, and keeps neither.
std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const ServerTls* tls);

}  // namespace kvstore

#endif  // KVSERVICE_RPC_TLS_CREDENTIALS_H_
