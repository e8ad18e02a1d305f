// What administrators see and change, made of the program's parts.
#ifndef KVSERVICE_ADMIN_SETUP_H_
#define KVSERVICE_ADMIN_SETUP_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "KVService/observe/metrics.h"
#include "KVService/observe/readiness.h"
#include "KVService/options.h"
#include "KVService/rpc/admin_server.h"
#include "KVService/rpc/server.h"
#include "KVService/security_setup.h"
#include "KVService/storage_setup.h"
#include "absl/status/statusor.h"

namespace kvstore {

struct AdminParts {
  StorageSetup* storage = nullptr;
  RpcServer* server = nullptr;
  Readiness* readiness = nullptr;
  MetricSource metrics;
  std::vector<std::pair<std::string, std::string>> facts;
};

// Null where the options ask for none. All outlive it.
absl::StatusOr<std::unique_ptr<AdminServer>> StartAdmin(const ServerOptions& options,
                                                        const SecuritySetup& security,
                                                        AdminParts parts);

}  // namespace kvstore

#endif  // KVSERVICE_ADMIN_SETUP_H_
