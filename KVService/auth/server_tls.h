// The server's certificate, key and the authorities of its clients, which may be replaced while it
// serves.
#ifndef KVSERVICE_AUTH_SERVER_TLS_H_
#define KVSERVICE_AUTH_SERVER_TLS_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "KVCommon/tls_files.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// Thread-safe.
class ServerTls {
 public:
  struct Version {
    uint64_t number = 0;  // of each Reload that changed something, another
    TlsPems pems;
  };

  // As Reload, which must go well. With authorities, clients must present a certificate of theirs.
  static absl::StatusOr<std::unique_ptr<ServerTls>> Open(TlsPaths paths);

  // Reads the files again. They count for connections made from now on, or, after an error
  // (tls_files.h), nothing does. Whether anything has changed.
  absl::StatusOr<bool> Reload() ABSL_LOCKS_EXCLUDED(mutex_, reload_mutex_);

  std::shared_ptr<const Version> Current() const ABSL_LOCKS_EXCLUDED(mutex_);

  bool asks_for_certificates() const { return !paths_.authorities.empty(); }

 private:
  explicit ServerTls(TlsPaths paths) : paths_(std::move(paths)) {}

  const TlsPaths paths_;
  absl::Mutex reload_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // one at a time, or the older may win
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Version> current_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_AUTH_SERVER_TLS_H_
