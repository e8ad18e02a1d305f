// What Blob Storage answers, understood.
#ifndef KVSERVICE_STORAGE_AZURE_BLOB_RESPONSES_H_
#define KVSERVICE_STORAGE_AZURE_BLOB_RESPONSES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/storage/azure/blob_requests.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore::azure {

// The service's own name for an error, such as "BlobAlreadyExists"; empty if it gave none.
std::string ErrorCode(const HttpResponse& response);

// OK for 2xx. Otherwise the message names the operation, the service's code and its request id:
//   NOT_FOUND            404; without a message where it is the blob that is missing
//   ALREADY_EXISTS       409 of a blob or container, without a message
//   FAILED_PRECONDITION  412
//   OUT_OF_RANGE         416
//   INVALID_ARGUMENT     400 and its like: our request is wrong
//   PERMISSION_DENIED    401, 403
//   ABORTED              any other 409
//   UNAVAILABLE          408, 429, 5xx
absl::Status StatusOf(const HttpResponse& response, std::string_view operation);

struct BlobProperties {
  uint64_t size = 0;
  std::string etag;
  std::string md5_base64;  // of the whole blob; empty if the service has none
  Metadata metadata;
};
// Of a Get Blob (of all of it), or Get Blob Properties.
absl::StatusOr<BlobProperties> ParseProperties(const HttpResponse& response);

struct ListedBlob {
  std::string name;
  uint64_t size = 0;
  Metadata metadata;
};
struct Listing {
  std::vector<ListedBlob> blobs;
  std::string next_marker;  // empty at the end
};
// INTERNAL if it is no listing.
absl::StatusOr<Listing> ParseListing(ByteView xml);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_BLOB_RESPONSES_H_
