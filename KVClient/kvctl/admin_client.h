// A connection to a server's KVStoreAdmin.
#ifndef KVCLIENT_KVCTL_ADMIN_CLIENT_H_
#define KVCLIENT_KVCTL_ADMIN_CLIENT_H_

#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "KVClient/include/kvstore/client.h"
#include "KVClient/src/security.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvstore_admin.grpc.pb.h"

namespace kvstore::kvctl {

struct ConnectOptions {
  std::string server;  // unix:PATH or HOST:PORT
  TlsOptions tls;
  std::string token_file;
  std::chrono::seconds timeout{60};  // of calls that are no streams
};

class AdminClient {
 public:
  // Reads files; connects at the first call. INVALID_ARGUMENT and the like where they are no good.
  static absl::StatusOr<std::unique_ptr<AdminClient>> Open(const ConnectOptions& options);

  admin::KVStoreAdmin::Stub& stub() { return *stub_; }

  // For one call, with the token; without a deadline where `timeout` is none.
  void Prepare(grpc::ClientContext* context,
               std::optional<std::chrono::seconds> timeout = std::nullopt);

  // A unary call: `method` is the stub's.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (admin::KVStoreAdmin::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request, bool endless = false) {
    grpc::ClientContext context;
    Prepare(&context, endless ? std::nullopt : std::optional(timeout_));
    Response response;
    absl::Status status = Understood((stub_.get()->*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  // The call's outcome, with what to do about it where that is known.
  absl::Status Understood(const grpc::Status& status) const;

 private:
  AdminClient() = default;

  std::string server_;
  std::chrono::seconds timeout_{};
  std::unique_ptr<client::TokenSource> token_;  // may be null
  std::unique_ptr<admin::KVStoreAdmin::Stub> stub_;
};

}  // namespace kvstore::kvctl

#endif  // KVCLIENT_KVCTL_ADMIN_CLIENT_H_
