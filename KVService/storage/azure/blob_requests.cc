#include "KVService/storage/azure/blob_requests.h"

#include <spdlog/fmt/fmt.h>

#include "KVService/storage/azure/crypto.h"
#include "KVService/storage/azure/url.h"

namespace kvstore::azure {

namespace {

HttpRequest ContainerRequest(HttpMethod method, const ContainerAddress& container) {
  HttpRequest request;
  request.method = method;
  request.url = fmt::format("{}/{}", container.endpoint, EncodePath(container.container));
  request.headers.push_back({"x-ms-version", std::string(kServiceVersion)});
  return request;
}

HttpRequest BlobRequest(HttpMethod method, const ContainerAddress& container,
                        std::string_view blob) {
  HttpRequest request = ContainerRequest(method, container);
  request.url += "/" + EncodePath(blob);
  return request;
}

void SetBody(HttpRequest& request, const Slice& data) {
  request.headers.push_back({"Content-Type", "application/octet-stream"});
  request.headers.push_back({"Content-MD5", Md5Base64(data.bytes())});
  request.body.push_back(data);
}

}  // namespace

const std::string* FindMetadata(const Metadata& metadata, std::string_view name) {
  for (const auto& [known, value] : metadata) {
    if (known == name) return &value;
  }
  return nullptr;
}

HttpRequest CreateContainer(const ContainerAddress& container) {
  HttpRequest request = ContainerRequest(HttpMethod::kPut, container);
  request.url += "?restype=container";
  return request;
}

HttpRequest PutBlobIfAbsent(const ContainerAddress& container, std::string_view blob,
                            const Slice& data, const Metadata& metadata) {
  HttpRequest request = BlobRequest(HttpMethod::kPut, container, blob);
  request.headers.push_back({"x-ms-blob-type", "BlockBlob"});
  request.headers.push_back({"If-None-Match", "*"});
  for (const auto& [name, value] : metadata) {
    request.headers.push_back({"x-ms-meta-" + name, value});
  }
  SetBody(request, data);
  return request;
}

HttpRequest GetBlob(const ContainerAddress& container, std::string_view blob,
                    std::optional<ByteRange> range) {
  HttpRequest request = BlobRequest(HttpMethod::kGet, container, blob);
  if (range.has_value()) {
    request.headers.push_back(
        {"x-ms-range", fmt::format("bytes={}-{}", range->offset, range->offset + range->size - 1)});
  }
  return request;
}

HttpRequest GetBlobProperties(const ContainerAddress& container, std::string_view blob) {
  return BlobRequest(HttpMethod::kHead, container, blob);
}

HttpRequest DeleteBlob(const ContainerAddress& container, std::string_view blob,
                       std::string_view etag) {
  HttpRequest request = BlobRequest(HttpMethod::kDelete, container, blob);
  if (!etag.empty()) request.headers.push_back({"If-Match", std::string(etag)});
  return request;
}

HttpRequest ListBlobs(const ContainerAddress& container, std::string_view prefix,
                      std::string_view marker, int max_results) {
  HttpRequest request = ContainerRequest(HttpMethod::kGet, container);
  request.url +=
      fmt::format("?restype=container&comp=list&include=metadata&maxresults={}", max_results);
  if (!prefix.empty()) request.url += "&prefix=" + EncodeQueryValue(prefix);
  if (!marker.empty()) request.url += "&marker=" + EncodeQueryValue(marker);
  return request;
}

HttpRequest CreateAppendBlobIfAbsent(const ContainerAddress& container, std::string_view blob) {
  HttpRequest request = BlobRequest(HttpMethod::kPut, container, blob);
  request.headers.push_back({"x-ms-blob-type", "AppendBlob"});
  request.headers.push_back({"If-None-Match", "*"});
  return request;
}

HttpRequest AppendBlock(const ContainerAddress& container, std::string_view blob, const Slice& data,
                        std::optional<uint64_t> position) {
  HttpRequest request = BlobRequest(HttpMethod::kPut, container, blob);
  request.url += "?comp=appendblock";
  if (position.has_value()) {
    request.headers.push_back({"x-ms-blob-condition-appendpos", std::to_string(*position)});
  }
  SetBody(request, data);
  return request;
}

HttpRequest AcquireLease(const ContainerAddress& container, std::string_view blob,
                         std::string_view lease_id, int seconds) {
  HttpRequest request = BlobRequest(HttpMethod::kPut, container, blob);
  request.url += "?comp=lease";
  request.headers.push_back({"x-ms-lease-action", "acquire"});
  request.headers.push_back({"x-ms-lease-duration", std::to_string(seconds)});
  request.headers.push_back({"x-ms-proposed-lease-id", std::string(lease_id)});
  return request;
}

HttpRequest ReleaseLease(const ContainerAddress& container, std::string_view blob,
                         std::string_view lease_id) {
  HttpRequest request = BlobRequest(HttpMethod::kPut, container, blob);
  request.url += "?comp=lease";
  request.headers.push_back({"x-ms-lease-action", "release"});
  request.headers.push_back({"x-ms-lease-id", std::string(lease_id)});
  return request;
}

}  // namespace kvstore::azure
