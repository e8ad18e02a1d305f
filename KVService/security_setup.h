// What the options say about who may connect and call, opened and kept up to date.
#ifndef KVSERVICE_SECURITY_SETUP_H_
#define KVSERVICE_SECURITY_SETUP_H_

#include <memory>
#include <string>
#include <thread>

#include "KVService/auth/access_control.h"
#include "KVService/auth/server_tls.h"
#include "KVService/options.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace kvstore {

class SecuritySetup {
 public:
  // Blocks on disk; where there is TLS, starts the thread that looks at its files. Warns of what
  // is open to others than this machine.
  static absl::StatusOr<std::unique_ptr<SecuritySetup>> Open(const ServerOptions& options);
  ~SecuritySetup();

  // Null where it was not asked for. Live as long as this.
  const AccessControl* access() const { return access_.get(); }
  const ServerTls* tls() const { return tls_.get(); }
  const AccessControl* admin_access() const { return admin_access_.get(); }

  // Whether there are files to read again.
  bool has_files() const {
    return access_ != nullptr || tls_ != nullptr || admin_access_ != nullptr;
  }
  // Does so and logs how that went. A file that is bad changes nothing. Thread-safe.
  void Reload();

 private:
  SecuritySetup() = default;
  void ReloadTls(bool tell_all) ABSL_LOCKS_EXCLUDED(mutex_);

  std::unique_ptr<AccessControl> access_;
  std::unique_ptr<AccessControl> admin_access_;
  std::unique_ptr<ServerTls> tls_;
  absl::Mutex mutex_;
  std::string last_error_ ABSL_GUARDED_BY(mutex_);  // of TLS, so that each is told once
  absl::Notification ending_;
  std::thread watcher_;
};

}  // namespace kvstore

#endif  // KVSERVICE_SECURITY_SETUP_H_
