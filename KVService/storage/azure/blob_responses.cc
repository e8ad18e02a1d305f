#include "KVService/storage/azure/blob_responses.h"

#include <spdlog/fmt/fmt.h>

#include <pugixml.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace kvstore::azure {

namespace {

constexpr std::string_view kMetadataPrefix = "x-ms-meta-";

absl::StatusCode CodeOf(int status) {
  switch (status) {
    case 401:
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kAborted;
    case 412:
      return absl::StatusCode::kFailedPrecondition;
    case 416:
      return absl::StatusCode::kOutOfRange;
    case 408:
    case 429:
      return absl::StatusCode::kUnavailable;
    default:
      if (status >= 500) return absl::StatusCode::kUnavailable;
      return status >= 400 ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kInternal;
  }
}

}  // namespace

std::string ErrorCode(const HttpResponse& response) {
  if (const std::string* code = response.Find("x-ms-error-code")) return *code;
  pugi::xml_document document;
  if (response.body.empty() || !document.load_buffer(response.body.data(), response.body.size())) {
    return "";
  }
  return document.child("Error").child("Code").text().as_string();
}

absl::Status StatusOf(const HttpResponse& response, std::string_view operation) {
  if (response.status >= 200 && response.status < 300) return absl::OkStatus();
  const std::string code = ErrorCode(response);
  // A HEAD says no more than 404; a container that is missing has a code of its own even there.
  if (response.status == 404 && (code == "BlobNotFound" || code.empty())) {
    return absl::Status(absl::StatusCode::kNotFound, "");
  }
  if (response.status == 409 && (code == "BlobAlreadyExists" || code == "ContainerAlreadyExists")) {
    return absl::Status(absl::StatusCode::kAlreadyExists, "");
  }
  const std::string* id = response.Find("x-ms-request-id");
  return absl::Status(
      CodeOf(response.status),
      fmt::format("Azure Blob Storage, {}: {} {} (request {})", operation, response.status,
                  code.empty() ? "without a code" : code, id == nullptr ? "unknown" : *id));
}

absl::StatusOr<BlobProperties> ParseProperties(const HttpResponse& response) {
  BlobProperties properties;
  const std::string* length = response.Find("Content-Length");
  if (length == nullptr || !absl::SimpleAtoi(*length, &properties.size)) {
    return absl::InternalError("Azure Blob Storage: a blob's properties without Content-Length");
  }
  if (const std::string* etag = response.Find("ETag")) properties.etag = *etag;
  if (const std::string* md5 = response.Find("Content-MD5")) properties.md5_base64 = *md5;
  for (const HttpHeader& header : response.headers) {
    std::string name = absl::AsciiStrToLower(header.name);
    if (name.rfind(kMetadataPrefix, 0) != 0) continue;
    properties.metadata.emplace_back(name.substr(kMetadataPrefix.size()), header.value);
  }
  return properties;
}

absl::StatusOr<Listing> ParseListing(ByteView xml) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  const pugi::xml_node root = document.child("EnumerationResults");
  if (!parsed || !root) {
    return absl::InternalError(
        fmt::format("Azure Blob Storage: a listing that is none ({})", parsed.description()));
  }
  Listing listing;
  for (const pugi::xml_node node : root.child("Blobs").children("Blob")) {
    ListedBlob blob;
    blob.name = node.child("Name").text().as_string();
    const char* length = node.child("Properties").child("Content-Length").text().as_string();
    if (blob.name.empty() || !absl::SimpleAtoi(length, &blob.size)) {
      return absl::InternalError("Azure Blob Storage: a listed blob without name or length");
    }
    for (const pugi::xml_node item : node.child("Metadata").children()) {
      blob.metadata.emplace_back(absl::AsciiStrToLower(item.name()), item.text().as_string());
    }
    listing.blobs.push_back(std::move(blob));
  }
  listing.next_marker = root.child("NextMarker").text().as_string();
  return listing;
}

}  // namespace kvstore::azure
