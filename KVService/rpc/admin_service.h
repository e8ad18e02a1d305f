// What a call of KVStoreAdmin does. Calls block their thread, which is one of the admin server's
// own.
#ifndef KVSERVICE_RPC_ADMIN_SERVICE_H_
#define KVSERVICE_RPC_ADMIN_SERVICE_H_

#include <chrono>
#include <functional>

#include "KVService/auth/access_control.h"
#include "KVService/rpc/admin_server.h"
#include "absl/status/statusor.h"
#include "kvstore_admin.grpc.pb.h"

namespace kvstore {

// Thread-safe. Every call is logged, with who made it and how it ended.
class AdminService final : public admin::KVStoreAdmin::Service {
 public:
  // `access` null: every caller may.
  AdminService(AdminTarget target, const AccessControl* access)
      : target_(std::move(target)), access_(access) {}

  grpc::Status Stats(grpc::ServerContext* context, const admin::StatsRequest* request,
                     admin::StatsResponse* response) override;
  grpc::Status Inspect(grpc::ServerContext* context, const admin::InspectRequest* request,
                       admin::InspectResponse* response) override;
  grpc::Status Get(grpc::ServerContext* context, const admin::GetRequest* request,
                   admin::GetResponse* response) override;
  grpc::Status Put(grpc::ServerContext* context, const admin::PutRequest* request,
                   admin::PutResponse* response) override;
  grpc::Status Delete(grpc::ServerContext* context, const admin::DeleteRequest* request,
                      admin::DeleteResponse* response) override;
  grpc::Status Purge(grpc::ServerContext* context, const admin::PurgeRequest* request,
                     admin::PurgeResponse* response) override;
  grpc::Status Export(grpc::ServerContext* context, const admin::ExportRequest* request,
                      grpc::ServerWriter<admin::ExportResponse>* writer) override;
  grpc::Status Set(grpc::ServerContext* context, const admin::SetRequest* request,
                   admin::SetResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const admin::DrainRequest* request,
                     admin::DrainResponse* response) override;
  grpc::Status Verify(grpc::ServerContext* context, const admin::VerifyRequest* request,
                      grpc::ServerWriter<admin::VerifyResponse>* writer) override;

 private:
  // Asks who calls, does the work where the caller may, and logs it.
  grpc::Status Run(const grpc::ServerContext& context, std::string_view method,
                   const std::function<absl::Status()>& work);

  const AdminTarget target_;
  const AccessControl* const access_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace kvstore

#endif  // KVSERVICE_RPC_ADMIN_SERVICE_H_
