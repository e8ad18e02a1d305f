#include "KVService/store/shared_containers.h"

#include "KVService/store/location_key.h"
#include "absl/time/clock.h"

namespace kvstore {
namespace {

constexpr absl::Duration kOpenTimeout = absl::Seconds(10);
// How long a container that was not there is taken not to be.
constexpr absl::Duration kMissingMemory = absl::Seconds(1);
// Each needs another server to make or delete the key just between two requests of ours.
constexpr int kMaxAttempts = 3;
// Entries of containers that are not open are dropped beyond it.
constexpr size_t kMaxEntries = 4096;

// Nobody has written to the container. With a message NOT_FOUND speaks of the account.
bool IsMissing(const absl::Status& status) {
  return absl::IsNotFound(status) && status.message().empty();
}

// In the words of a call that names a container: one that cannot be found is its argument.
absl::Status AsCallError(const absl::Status& status) {
  if (!absl::IsNotFound(status) || IsMissing(status)) return status;
  return absl::InvalidArgumentError(std::string(status.message()));
}

}  // namespace

void SharedContainers::Open(const Container& container, Use use, Done done) {
  absl::StatusOr<const LocationCodec*> known = absl::Status(absl::StatusCode::kNotFound, "");
  {
    absl::MutexLock lock(&mutex_);
    if (entries_.size() >= kMaxEntries) {
      std::erase_if(entries_, [](const auto& e) { return !e.second.codec && !e.second.opening; });
    }
    Entry& entry = entries_[{container.account, container.name}];
    if (entry.codec) {
      known = entry.codec.get();
    } else if (use == Use::kWrite || absl::Now() >= entry.missing_until) {
      entry.waiting.emplace_back(use, std::move(done));
      if (entry.opening) return;
      entry.opening = true;
    }
  }
  if (done) return std::move(done)(std::move(known));
  FetchKey(container, use, 1);
}

void SharedContainers::FetchKey(const Container& container, Use use, int attempts) {
  storage_->Get(LocationKeyId(container), absl::Now() + kOpenTimeout,
                [this, container, use, attempts](absl::StatusOr<Blob> blob) {
                  if (IsMissing(blob.status()) && use == Use::kWrite && attempts <= kMaxAttempts) {
                    return MakeKey(container, attempts);
                  }
                  if (!blob.ok()) return Opened(container, blob.status());
                  KeyFetched(container, ParseLocationKey(*blob));
                });
}

void SharedContainers::MakeKey(const Container& container, int attempts) {
  absl::StatusOr<Blob> fresh = NewLocationKey();
  if (!fresh.ok()) return Opened(container, fresh.status());
  storage_->Put(LocationKeyId(container), *std::move(fresh), absl::Now() + kOpenTimeout,
                [this, container, attempts](const absl::Status& status) {
                  if (!status.ok() && !absl::IsAlreadyExists(status)) {
                    return Opened(container, status);
                  }
                  FetchKey(container, Use::kWrite, attempts + 1);  // the winner's
                });
}

void SharedContainers::KeyFetched(const Container& container,
                                  absl::StatusOr<LocationCodec::Key> key) {
  if (!key.ok()) return Opened(container, key.status());
  storage_->Follow(container.account, container.name, &listener_, absl::Now() + kOpenTimeout,
                   [this, container, key](const absl::Status& followed) {
                     // Where the log is away, blobs are asked for one by one until it is back.
                     if (absl::IsResourceExhausted(followed)) return Opened(container, followed);
                     Opened(container, key);
                   });
}

void SharedContainers::Opened(const Container& container, absl::StatusOr<LocationCodec::Key> key) {
  std::vector<std::pair<Use, Done>> waiting;
  const LocationCodec* codec = nullptr;
  bool again = false;
  {
    absl::MutexLock lock(&mutex_);
    Entry& entry = entries_[{container.account, container.name}];
    if (key.ok()) {
      entry.codec = std::make_unique<LocationCodec>(*key);
      codec = entry.codec.get();
    } else if (IsMissing(key.status())) {
      entry.missing_until = absl::Now() + kMissingMemory;
    }
    for (auto& [use, done] : entry.waiting) {
      // A writer that came while a reader asked has the container made.
      const bool waits = IsMissing(key.status()) && use == Use::kWrite;
      if (!waits) waiting.emplace_back(use, std::move(done));
      again |= waits;
    }
    std::erase_if(entry.waiting, [](const auto& each) { return !each.second; });
    entry.opening = again;
  }
  for (auto& [use, done] : waiting) {
    if (codec != nullptr) {
      std::move(done)(codec);
    } else {
      std::move(done)(AsCallError(key.status()));
    }
  }
  if (again) FetchKey(container, Use::kWrite, 1);
}

}  // namespace kvstore
