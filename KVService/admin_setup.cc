#include "KVService/admin_setup.h"

#include <spdlog/spdlog.h>

#include "KVCommon/status_macros.h"
#include "KVService/observe/log.h"

namespace kvstore {
namespace {

absl::Status CheckChange(const StorageSetup& storage, const AdminTarget::Settings& change) {
  if (!change.capacity_bytes) return absl::OkStatus();
  if (!storage.has_disk()) {
    return absl::FailedPreconditionError("this server has no disk whose capacity could be set");
  }
  if (*change.capacity_bytes < kLeastCapacityBytes) {
    return absl::InvalidArgumentError("a capacity of less than 16MiB holds no segment");
  }
  return absl::OkStatus();
}

absl::StatusOr<AdminTarget::Settings> Set(StorageSetup& storage,
                                          const AdminTarget::Settings& change) {
  // What can fail comes first, so that nothing is changed then.
  KV_RETURN_IF_ERROR(CheckChange(storage, change));
  if (change.log_level && !SetLogLevel(*change.log_level)) {
    return absl::InvalidArgumentError("a log level is error, info or verbose");
  }
  if (change.capacity_bytes) storage.SetDiskCapacity(*change.capacity_bytes);
  if (change.memory_bytes) storage.store().SetMemory(*change.memory_bytes);
  AdminTarget::Settings now;
  now.capacity_bytes = storage.disk_capacity();
  now.memory_bytes = storage.store().stats().ram.capacity_bytes;
  now.log_level = LogLevel();
  spdlog::warn("settings capacity_bytes={} memory_bytes={} log_level={}", *now.capacity_bytes,
               *now.memory_bytes, *now.log_level);
  return now;
}

void Drain(const AdminParts& parts, bool drain) {
  parts.server->SetDraining(drain);
  parts.readiness->Set(drain ? absl::UnavailableError("drained by an administrator")
                             : absl::OkStatus());
  spdlog::warn(drain ? "draining" : "taking calls again");
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdminServer>> StartAdmin(const ServerOptions& options,
                                                        const SecuritySetup& security,
                                                        AdminParts parts) {
  if (options.admin_address.empty()) return nullptr;
  AdminTarget target;
  target.store = &parts.storage->store();
  target.version = KVSTORE_VERSION;
  target.facts = parts.facts;
  target.metrics = parts.metrics;
  target.ready = [parts] { return parts.readiness->Get(); };
  target.set = [parts](const AdminTarget::Settings& change) { return Set(*parts.storage, change); };
  target.drain = [parts](bool drain) { Drain(parts, drain); };
  target.drained = [parts] {
    return AdminTarget::Drained{!parts.readiness->Get().ok(),
                                static_cast<uint64_t>(parts.server->running_calls()),
                                parts.storage->unshared_blobs()};
  };
  target.verify = [parts](uint64_t bytes_per_second,
                          const std::function<bool(const AdminTarget::Checked&)>& go_on) {
    return parts.storage->CheckDisk(bytes_per_second, [&](const ScrubStats& stats, uint64_t of) {
      return go_on({stats.records, of, stats.bytes, stats.errors});
    });
  };
  KV_ASSIGN_OR_RETURN(auto server, AdminServer::Start({options.admin_address,
                                                       security.admin_access(), security.tls()},
                                                      std::move(target)));
  spdlog::info(
      "administrators address={} port={} identities={}", options.admin_address, server->port(),
      security.admin_access() != nullptr ? std::to_string(security.admin_access()->identities())
                                         : "this user");
  return server;
}

}  // namespace kvstore
