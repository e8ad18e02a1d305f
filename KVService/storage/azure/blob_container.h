// A container's blobs as asynchronous calls: what one request cannot settle is settled here (lost
// answers, containers that are not there yet, bodies that were damaged on their way).
#ifndef KVSERVICE_STORAGE_AZURE_BLOB_CONTAINER_H_
#define KVSERVICE_STORAGE_AZURE_BLOB_CONTAINER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "KVService/storage/azure/blob_requests.h"
#include "KVService/storage/azure/blob_responses.h"
#include "KVService/storage/azure/pipeline.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore::azure {

struct BlobContent {
  Slice data;
  BlobProperties properties;  // of a range: of what was read, without an MD5
};

// Thread-safe, and alive as long as a call runs. Names are Azure's (blob_name.h). Statuses are
// those of blob_responses.h and http_client.h; each `done` runs exactly once, outside locks.
class BlobContainer : public std::enable_shared_from_this<BlobContainer> {
 public:
  using StatusDone = absl::AnyInvocable<void(absl::Status) &&>;
  template <typename T>
  using Done = absl::AnyInvocable<void(absl::StatusOr<T>) &&>;

  BlobContainer(std::shared_ptr<Pipeline> pipeline, ContainerAddress address)
      : pipeline_(std::move(pipeline)), address_(std::move(address)) {}

  const ContainerAddress& address() const { return address_; }

  // OK too if it is there.
  void Create(const Patience& patience, StatusDone done);

  // ALREADY_EXISTS where another's blob has the name. Every put carries a write id of its own, so
  // that one whose answer was lost knows its blob again. Makes the container if it is missing.
  void PutIfAbsent(std::string name, Slice data, Metadata metadata, Patience patience,
                   StatusDone done);

  // Checked against the MD5 that the service keeps, where `check_md5`: DATA_LOSS if it differs.
  void Get(std::string name, bool check_md5, const Patience& patience, Done<BlobContent> done);
  // Up to range.size bytes: fewer where the blob ends before. OUT_OF_RANGE if it ends before them.
  void GetRange(std::string name, ByteRange range, absl::Time deadline, Done<BlobContent> done);

  void Properties(std::string name, const Patience& patience, Done<BlobProperties> done);

  // Only that version, unless `etag` is empty: FAILED_PRECONDITION otherwise.
  void Delete(std::string name, const std::string& etag, absl::Time deadline, StatusDone done);

  // One page; see ListBlobs.
  void List(const std::string& prefix, const std::string& marker, int max_results,
            const Patience& patience, Done<Listing> done);

  // OK too if it is there.
  void CreateAppendBlob(std::string name, absl::Time deadline, StatusDone done);

  // Gives the offset of what was appended. With a position it is appended once or not at all:
  // FAILED_PRECONDITION if the blob has another length, by another's append. Without one, an answer
  // that was lost may leave it there twice.
  void Append(std::string name, Slice data, std::optional<uint64_t> position, absl::Time deadline,
              Done<uint64_t> done);

  // See the requests of these names. ABORTED while another has the lease.
  void AcquireLease(std::string name, const std::string& lease_id, int seconds, absl::Time deadline,
                    StatusDone done);
  void ReleaseLease(std::string name, const std::string& lease_id, absl::Time deadline,
                    StatusDone done);

 private:
  struct PutOp;

  void SendPut(std::unique_ptr<PutOp> op);
  void PutAnswered(std::unique_ptr<PutOp> op, absl::StatusOr<Exchange> exchange);
  void ResolvePut(std::unique_ptr<PutOp> op);
  void ResolveAppend(std::string name, const Slice& data, uint64_t position, absl::Status otherwise,
                     absl::Time deadline, Done<uint64_t> done);

  const std::shared_ptr<Pipeline> pipeline_;
  const ContainerAddress address_;
};

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_BLOB_CONTAINER_H_
