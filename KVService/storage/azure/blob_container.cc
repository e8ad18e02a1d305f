#include "KVService/storage/azure/blob_container.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <utility>

#include "KVCommon/digest.h"
#include "KVService/storage/azure/crypto.h"
#include "absl/strings/numbers.h"

namespace kvstore::azure {

namespace {

constexpr char kWriteId[] = "kvwriteid";

HttpRequest Until(const Patience& patience, HttpRequest request) {
  request.deadline = patience.deadline;
  request.cancellation = patience.cancellation;
  request.origin = patience.origin;
  return request;
}

// Its status, with what was asked of which blob.
absl::Status StatusOf(const absl::StatusOr<Exchange>& exchange, const char* operation,
                      const std::string& name) {
  if (!exchange.ok()) return exchange.status();
  return azure::StatusOf(exchange->response,
                         std::string_view(fmt::format("{} {}", operation, name)));
}

// The answer to something that may be there already.
absl::Status OkIfThere(const absl::Status& status) {
  return absl::IsAlreadyExists(status) ? absl::OkStatus() : status;
}

absl::StatusOr<BlobContent> ContentOf(absl::StatusOr<Exchange> exchange, const std::string& name,
                                      bool check_md5) {
  const absl::Status status = StatusOf(exchange, "get", name);
  if (!status.ok()) return status;
  absl::StatusOr<BlobProperties> properties = ParseProperties(exchange->response);
  if (!properties.ok()) return properties.status();
  BlobContent content{std::move(exchange->response.body), *std::move(properties)};
  const std::string& md5 = content.properties.md5_base64;
  if (content.data.size() != content.properties.size ||
      (check_md5 && !md5.empty() && Md5Base64(content.data.bytes()) != md5)) {
    return absl::DataLossError(fmt::format(
        "Azure Blob Storage, get {}: the body, {} bytes with CRC-32C {:08x}, does not fit its MD5",
        name, content.data.size(), Crc32c(content.data.bytes())));
  }
  return content;
}

}  // namespace

struct BlobContainer::PutOp {
  std::string name;
  Slice data;
  Metadata metadata;
  std::string write_id;
  Patience patience = absl::InfiniteFuture();
  bool made_container = false;
  bool ambiguous = false;
  StatusDone done;
};

void BlobContainer::Create(const Patience& patience, StatusDone done) {
  pipeline_->Send(Until(patience, CreateContainer(address_)),
                  [self = shared_from_this(),
                   done = std::move(done)](const absl::StatusOr<Exchange>& exchange) mutable {
                    std::move(done)(OkIfThere(
                        StatusOf(exchange, "create container", self->address_.container)));
                  });
}

void BlobContainer::PutIfAbsent(std::string name, Slice data, Metadata metadata, Patience patience,
                                StatusDone done) {
  auto op = std::make_unique<PutOp>();
  op->name = std::move(name);
  op->data = std::move(data);
  op->metadata = std::move(metadata);
  op->write_id = RandomHex(16);
  op->metadata.emplace_back(kWriteId, op->write_id);
  op->patience = std::move(patience);
  op->done = std::move(done);
  SendPut(std::move(op));
}

void BlobContainer::SendPut(std::unique_ptr<PutOp> op) {
  HttpRequest request =
      Until(op->patience, PutBlobIfAbsent(address_, op->name, op->data, op->metadata));
  pipeline_->Send(std::move(request), [self = shared_from_this(), op = std::move(op)](
                                          absl::StatusOr<Exchange> exchange) mutable {
    self->PutAnswered(std::move(op), std::move(exchange));
  });
}

void BlobContainer::PutAnswered(std::unique_ptr<PutOp> op, absl::StatusOr<Exchange> exchange) {
  absl::Status status = StatusOf(exchange, "put", op->name);
  op->ambiguous |= exchange.ok() && exchange->ambiguous;
  if (absl::IsAlreadyExists(status) && op->ambiguous) return ResolvePut(std::move(op));
  const bool no_container = exchange.ok() && ErrorCode(exchange->response) == "ContainerNotFound";
  if (!no_container || op->made_container) return std::move(op->done)(std::move(status));
  op->made_container = true;
  const Patience patience = op->patience;
  Create(patience, [self = shared_from_this(), op = std::move(op)](absl::Status created) mutable {
    if (!created.ok()) return std::move(op->done)(std::move(created));
    self->SendPut(std::move(op));
  });
}

void BlobContainer::ResolvePut(std::unique_ptr<PutOp> op) {
  const std::string name = op->name;
  const Patience patience = op->patience;
  Properties(name, patience, [op = std::move(op)](absl::StatusOr<BlobProperties> found) mutable {
    if (absl::IsNotFound(found.status())) {
      return std::move(op->done)(absl::UnavailableError(fmt::format(
          "Azure Blob Storage, put {}: the answer was lost and the blob deleted since", op->name)));
    }
    if (!found.ok()) return std::move(op->done)(found.status());
    const std::string* id = FindMetadata(found->metadata, kWriteId);
    const bool ours = id != nullptr && *id == op->write_id;
    std::move(op->done)(ours ? absl::OkStatus()
                             : absl::Status(absl::StatusCode::kAlreadyExists, ""));
  });
}

void BlobContainer::Get(std::string name, bool check_md5, const Patience& patience,
                        Done<BlobContent> done) {
  HttpRequest request = Until(patience, GetBlob(address_, name));
  pipeline_->Send(std::move(request), [name = std::move(name), check_md5, done = std::move(done)](
                                          absl::StatusOr<Exchange> exchange) mutable {
    std::move(done)(ContentOf(std::move(exchange), name, check_md5));
  });
}

void BlobContainer::GetRange(std::string name, ByteRange range, absl::Time deadline,
                             Done<BlobContent> done) {
  HttpRequest request = Until(deadline, GetBlob(address_, name, range));
  pipeline_->Send(std::move(request), [name = std::move(name), done = std::move(done)](
                                          absl::StatusOr<Exchange> exchange) mutable {
    absl::StatusOr<BlobContent> content = ContentOf(std::move(exchange), name, false);
    // What the service gives with a range is the whole blob's or the range's, as it likes.
    if (content.ok()) content->properties.md5_base64.clear();
    // Azurite's answer to what the service refuses with 416.
    if (content.ok() && content->data.empty()) {
      content = absl::OutOfRangeError(
          fmt::format("Azure Blob Storage, get {}: it ends before the range", name));
    }
    std::move(done)(std::move(content));
  });
}

void BlobContainer::Properties(std::string name, const Patience& patience,
                               Done<BlobProperties> done) {
  HttpRequest request = Until(patience, GetBlobProperties(address_, name));
  pipeline_->Send(std::move(request), [name = std::move(name), done = std::move(done)](
                                          absl::StatusOr<Exchange> exchange) mutable {
    absl::Status status = StatusOf(exchange, "get properties of", name);
    if (!status.ok()) return std::move(done)(std::move(status));
    std::move(done)(ParseProperties(exchange->response));
  });
}

void BlobContainer::Delete(std::string name, const std::string& etag, absl::Time deadline,
                           StatusDone done) {
  HttpRequest request = Until(deadline, DeleteBlob(address_, name, etag));
  pipeline_->Send(std::move(request), [name = std::move(name), done = std::move(done)](
                                          absl::StatusOr<Exchange> exchange) mutable {
    absl::Status status = StatusOf(exchange, "delete", name);
    // That version is gone: our own doing, whose answer was lost, or another's, which is as good.
    // Azurite finds the condition not met where there is no blob at all.
    const bool gone = absl::IsNotFound(status) || absl::IsFailedPrecondition(status);
    const bool deleted = gone && exchange.ok() && exchange->ambiguous;
    std::move(done)(deleted ? absl::OkStatus() : std::move(status));
  });
}

void BlobContainer::List(const std::string& prefix, const std::string& marker, int max_results,
                         const Patience& patience, Done<Listing> done) {
  HttpRequest request = Until(patience, ListBlobs(address_, prefix, marker, max_results));
  pipeline_->Send(std::move(request), [self = shared_from_this(), done = std::move(done)](
                                          absl::StatusOr<Exchange> exchange) mutable {
    absl::Status status = StatusOf(exchange, "list", self->address_.container);
    if (!status.ok()) return std::move(done)(std::move(status));
    std::move(done)(ParseListing(exchange->response.body.bytes()));
  });
}

void BlobContainer::CreateAppendBlob(std::string name, absl::Time deadline, StatusDone done) {
  HttpRequest request = Until(deadline, CreateAppendBlobIfAbsent(address_, name));
  pipeline_->Send(std::move(request), [name = std::move(name), done = std::move(done)](
                                          const absl::StatusOr<Exchange>& exchange) mutable {
    std::move(done)(OkIfThere(StatusOf(exchange, "create append blob", name)));
  });
}

void BlobContainer::Append(std::string name, Slice data, std::optional<uint64_t> position,
                           absl::Time deadline, Done<uint64_t> done) {
  HttpRequest request = Until(deadline, AppendBlock(address_, name, data, position));
  pipeline_->Send(
      std::move(request),
      [self = shared_from_this(), name = std::move(name), data = std::move(data), position,
       deadline, done = std::move(done)](absl::StatusOr<Exchange> exchange) mutable {
        absl::Status status = StatusOf(exchange, "append to", name);
        if (absl::IsFailedPrecondition(status) && exchange.ok() && exchange->ambiguous &&
            position.has_value()) {
          return self->ResolveAppend(std::move(name), data, *position, std::move(status), deadline,
                                     std::move(done));
        }
        if (!status.ok()) return std::move(done)(std::move(status));
        uint64_t offset = 0;
        const std::string* header = exchange->response.Find("x-ms-blob-append-offset");
        if (header == nullptr || !absl::SimpleAtoi(*header, &offset)) {
          return std::move(done)(
              absl::InternalError("Azure Blob Storage: an append without its offset"));
        }
        std::move(done)(offset);
      });
}

void BlobContainer::AcquireLease(std::string name, const std::string& lease_id, int seconds,
                                 absl::Time deadline, StatusDone done) {
  HttpRequest request = Until(deadline, azure::AcquireLease(address_, name, lease_id, seconds));
  pipeline_->Send(std::move(request), [name = std::move(name), done = std::move(done)](
                                          const absl::StatusOr<Exchange>& exchange) mutable {
    std::move(done)(StatusOf(exchange, "lease", name));
  });
}

void BlobContainer::ReleaseLease(std::string name, const std::string& lease_id, absl::Time deadline,
                                 StatusDone done) {
  HttpRequest request = Until(deadline, azure::ReleaseLease(address_, name, lease_id));
  pipeline_->Send(std::move(request), [name = std::move(name), done = std::move(done)](
                                          const absl::StatusOr<Exchange>& exchange) mutable {
    std::move(done)(StatusOf(exchange, "release the lease of", name));
  });
}

// Whose bytes are they? Appends carry no id, so they are told by themselves.
void BlobContainer::ResolveAppend(std::string name, const Slice& data, uint64_t position,
                                  absl::Status otherwise, absl::Time deadline,
                                  Done<uint64_t> done) {
  GetRange(std::move(name), {position, data.size()}, deadline,
           [data, position, otherwise = std::move(otherwise),
            done = std::move(done)](absl::StatusOr<BlobContent> there) mutable {
             if (absl::IsOutOfRange(there.status())) return std::move(done)(std::move(otherwise));
             if (!there.ok()) return std::move(done)(there.status());
             const ByteView bytes = there->data.bytes();
             const bool ours =
                 std::equal(bytes.begin(), bytes.end(), data.bytes().begin(), data.bytes().end());
             if (!ours) return std::move(done)(std::move(otherwise));
             std::move(done)(position);
           });
}

}  // namespace kvstore::azure
