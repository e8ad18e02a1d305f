#include "KVService/auth/server_tls.h"

#include "KVCommon/status_macros.h"

namespace kvstore {

absl::StatusOr<std::unique_ptr<ServerTls>> ServerTls::Open(TlsPaths paths) {
  std::unique_ptr<ServerTls> tls(new ServerTls(std::move(paths)));
  KV_RETURN_IF_ERROR(tls->Reload().status());
  return tls;
}

absl::StatusOr<bool> ServerTls::Reload() {
  absl::MutexLock reload(&reload_mutex_);
  KV_ASSIGN_OR_RETURN(TlsPems pems, ReadTlsFiles(paths_));
  const std::shared_ptr<const Version> before = Current();
  if (before != nullptr && before->pems == pems) return false;
  auto fresh = std::make_shared<const Version>(
      Version{before == nullptr ? 1 : before->number + 1, std::move(pems)});
  absl::MutexLock lock(&mutex_);
  current_ = std::move(fresh);
  return true;
}

std::shared_ptr<const ServerTls::Version> ServerTls::Current() const {
  absl::MutexLock lock(&mutex_);
  return current_;
}

}  // namespace kvstore
