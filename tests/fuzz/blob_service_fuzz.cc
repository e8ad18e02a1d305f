// What the blob service answers: listings, errors, headers, names; and connection strings.
#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/blob_name.h"
#include "KVService/storage/azure/blob_responses.h"
#include "KVService/storage/azure/connection_string.h"
#include "KVService/storage/azure/stored_form.h"

namespace azure = kvstore::azure;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto listing = azure::ParseListing(kvstore::AsBytes(text)); listing.ok()) {
    for (const azure::ListedBlob& blob : listing->blobs) {
      uint32_t crc32c = 0;
      std::string attributes;
      azure::ReadMetadata(blob.metadata, crc32c, attributes);
    }
  }
  kvstore::HttpResponse response;
  response.status = size > 0 ? 200 + data[0] * 2 : 500;
  response.body = kvstore::Slice::CopyOf(kvstore::AsBytes(text));
  response.headers = {{"Content-Length", std::string(text)},
                      {"x-ms-meta-kvcrc32c", std::string(text)},
                      {"ETag", std::string(text)}};
  azure::ErrorCode(response);
  azure::StatusOf(response, "fuzz").IgnoreError();
  azure::ParseProperties(response).status().IgnoreError();
  if (const auto name = azure::DecodeBlobName(text); name.ok()) {
    KV_CHECK(azure::EncodeBlobName(*name) == text);
  }
  azure::ParseConnectionString(text).status().IgnoreError();
  return 0;
}
