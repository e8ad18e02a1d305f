// Blob Storage's REST requests, built but neither signed nor sent. Names are plain; what the URL
// needs encoded is encoded here. https://learn.microsoft.com/rest/api/storageservices
#ifndef KVSERVICE_STORAGE_AZURE_BLOB_REQUESTS_H_
#define KVSERVICE_STORAGE_AZURE_BLOB_REQUESTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "KVService/http/http_client.h"

namespace kvstore::azure {

// Of all requests. The first that knows all we use; Azurite and sovereign clouds have it.
inline constexpr std::string_view kServiceVersion = "2021-08-06";

struct ContainerAddress {
  std::string endpoint;  // the blob service's URL, without a '/' at its end
  std::string container;
};

// Metadata names are C# identifiers in lower case; values are printable ASCII.
using Metadata = std::vector<std::pair<std::string, std::string>>;
const std::string* FindMetadata(const Metadata& metadata, std::string_view name);

struct ByteRange {
  uint64_t offset = 0;
  uint64_t size = 0;  // REQUIRES: > 0
};

HttpRequest CreateContainer(const ContainerAddress& container);

// Fails with 409 where the blob is there already. Carries the data's MD5, which the service checks
// and keeps.
HttpRequest PutBlobIfAbsent(const ContainerAddress& container, std::string_view blob,
                            const Slice& data, const Metadata& metadata);

HttpRequest GetBlob(const ContainerAddress& container, std::string_view blob,
                    std::optional<ByteRange> range = std::nullopt);
HttpRequest GetBlobProperties(const ContainerAddress& container, std::string_view blob);

// Only the version of that ETag, unless it is empty; 412 otherwise.
HttpRequest DeleteBlob(const ContainerAddress& container, std::string_view blob,
                       std::string_view etag = "");

// A page of names with their sizes and metadata, in order; `marker` is empty or the last page's.
HttpRequest ListBlobs(const ContainerAddress& container, std::string_view prefix,
                      std::string_view marker, int max_results);

// An empty append blob; 409 where there is one.
HttpRequest CreateAppendBlobIfAbsent(const ContainerAddress& container, std::string_view blob);

// At `position`, the blob's length so far, where given; 412 if it is another.
HttpRequest AppendBlock(const ContainerAddress& container, std::string_view blob, const Slice& data,
                        std::optional<uint64_t> position = std::nullopt);

// A lease of the blob under an id of the caller's, a GUID: the same id again is granted again, any
// other is refused with 409 until the lease is released or has run out. 15 to 60 seconds.
HttpRequest AcquireLease(const ContainerAddress& container, std::string_view blob,
                         std::string_view lease_id, int seconds);
HttpRequest ReleaseLease(const ContainerAddress& container, std::string_view blob,
                         std::string_view lease_id);

}  // namespace kvstore::azure

#endif  // KVSERVICE_STORAGE_AZURE_BLOB_REQUESTS_H_
