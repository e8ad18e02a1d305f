// Tells who calls and what the caller may do, by a file that can be read again.
#ifndef KVSERVICE_AUTH_ACCESS_CONTROL_H_
#define KVSERVICE_AUTH_ACCESS_CONTROL_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "KVService/auth/identities.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace kvstore {

// An identity that has proved itself. Keeps the rules as they were at that moment. Its messages say
// nothing of what exists: they are the same for all that is not allowed.
class Caller {
 public:
  const std::string& name() const { return identity_->name; }
  const TenantLimits& limits() const { return identity_->limits; }

  // PERMISSION_DENIED where it may not.
  absl::Status Check(Right right, const Container& container, std::string_view partition) const;

  // The most that the partition may hold where this caller writes; 0: no limit.
  int64_t StoredBytes(const Container& container, std::string_view partition) const {
    return identity_->StoredBytes(container, partition);
  }

  // For a read, by the partition digest in its location; nullopt where that is no location.
  // PERMISSION_DENIED where the caller may read nothing of the container. Another's partition is
  // kNo: to be answered as what is not there, like a forged location.
  absl::StatusOr<DigestVerdict> CheckRead(const Container& container,
                                          const std::optional<PartitionDigest>& partition) const;

  // What kByName leaves open, once the block is there and tells its partition.
  bool MayRead(const Container& container, std::string_view partition) const {
    return identity_->May(Right::kRead, container, partition);
  }

 private:
  friend class AccessControl;
  Caller(std::shared_ptr<const Identities> identities, const Identity* identity)
      : identities_(std::move(identities)), identity_(identity) {}

  std::shared_ptr<const Identities> identities_;  // which owns it
  const Identity* identity_;
};

// Thread-safe.
class AccessControl {
 public:
  // As Reload, which must go well.
  static absl::StatusOr<std::unique_ptr<AccessControl>> Open(std::string path);

  // Reads the file again. All of it counts for calls and reads from now on, or, after an error that
  // names the file and the place in it, nothing.
  absl::Status Reload() ABSL_LOCKS_EXCLUDED(mutex_, reload_mutex_);

  // Who presents this value of the metadata "authorization" (nullopt: none), on a connection whose
  // verified certificate has these names. A token counts alone where one is given: a wrong one is
  // refused, whatever the certificate. UNAUTHENTICATED for nobody that the file knows. Costs a
  // SHA-256, a lock held for an instant, and a search.
  absl::StatusOr<Caller> Authenticate(std::optional<std::string_view> authorization,
                                      std::span<const std::string_view> certificate_names) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  size_t identities() const { return Current()->all().size(); }
  // Whether some identity can only be told by a client's certificate.
  bool NeedsCertificates() const;

 private:
  explicit AccessControl(std::string path) : path_(std::move(path)) {}
  std::shared_ptr<const Identities> Current() const ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string path_;
  absl::Mutex reload_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // one at a time, or the older may win
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Identities> identities_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace kvstore

#endif  // KVSERVICE_AUTH_ACCESS_CONTROL_H_
