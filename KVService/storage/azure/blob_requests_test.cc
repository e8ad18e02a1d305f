#include "KVService/storage/azure/blob_requests.h"

#include <gtest/gtest.h>

#include "KVService/storage/azure/blob_name.h"
#include "KVService/storage/azure/blob_responses.h"
#include "KVService/storage/azure/fake_http_client.h"

namespace kvstore::azure {
namespace {

using testing::Answer;

const ContainerAddress kContainer{"http://127.0.0.1:1/acct", "box"};

std::string Header(const HttpRequest& request, const char* name) {
  const std::string* value = FindHeader(request.headers, name);
  return value == nullptr ? "(none)" : *value;
}

TEST(BlobRequestsTest, PutsOnlyWhatIsNotThere) {
  const HttpRequest request =
      PutBlobIfAbsent(kContainer, "a/b c", Slice::CopyOf(AsBytes("abc")), {{"kvcrc32c", "1"}});
  EXPECT_EQ(request.method, HttpMethod::kPut);
  EXPECT_EQ(request.url, "http://127.0.0.1:1/acct/box/a/b%20c");
  EXPECT_EQ(Header(request, "if-none-match"), "*");
  EXPECT_EQ(Header(request, "x-ms-blob-type"), "BlockBlob");
  EXPECT_EQ(Header(request, "x-ms-version"), kServiceVersion);
  EXPECT_EQ(Header(request, "content-md5"), "kAFQmDzST7DWlj99KOF/cg==");
  EXPECT_EQ(Header(request, "x-ms-meta-kvcrc32c"), "1");
  ASSERT_EQ(request.body.size(), 1);
}

TEST(BlobRequestsTest, BuildsTheOthers) {
  EXPECT_EQ(CreateContainer(kContainer).url, "http://127.0.0.1:1/acct/box?restype=container");
  EXPECT_EQ(Header(GetBlob(kContainer, "b", ByteRange{10, 5}), "x-ms-range"), "bytes=10-14");
  EXPECT_EQ(Header(GetBlob(kContainer, "b"), "x-ms-range"), "(none)");
  EXPECT_EQ(GetBlobProperties(kContainer, "b").method, HttpMethod::kHead);
  EXPECT_EQ(Header(DeleteBlob(kContainer, "b", "\"1\""), "if-match"), "\"1\"");
  EXPECT_EQ(Header(DeleteBlob(kContainer, "b"), "if-match"), "(none)");
  EXPECT_EQ(ListBlobs(kContainer, "p/", "m&1", 10).url,
            "http://127.0.0.1:1/acct/box?restype=container&comp=list&include=metadata"
            "&maxresults=10&prefix=p%2F&marker=m%261");
  EXPECT_EQ(Header(CreateAppendBlobIfAbsent(kContainer, "l"), "x-ms-blob-type"), "AppendBlob");
  const HttpRequest append = AppendBlock(kContainer, "l", Slice::CopyOf(AsBytes("x")), 0);
  EXPECT_EQ(append.url, "http://127.0.0.1:1/acct/box/l?comp=appendblock");
  EXPECT_EQ(Header(append, "x-ms-blob-condition-appendpos"), "0");
}

TEST(BlobResponsesTest, GiveEachFailureItsCode) {
  const auto code = [](int status, const char* error) {
    HttpHeaders headers;
    if (*error != '\0') headers.push_back({"x-ms-error-code", error});
    return StatusOf(Answer(status, headers), "test").code();
  };
  EXPECT_EQ(code(201, ""), absl::StatusCode::kOk);
  EXPECT_EQ(code(206, ""), absl::StatusCode::kOk);
  EXPECT_EQ(code(404, "BlobNotFound"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(409, "BlobAlreadyExists"), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(code(409, "ContainerBeingDeleted"), absl::StatusCode::kAborted);
  EXPECT_EQ(code(412, "ConditionNotMet"), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(416, "InvalidRange"), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(code(400, "InvalidHeaderValue"), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(403, "AuthenticationFailed"), absl::StatusCode::kPermissionDenied);
  for (int status : {408, 429, 500, 502, 503, 504}) {
    EXPECT_EQ(code(status, "ServerBusy"), absl::StatusCode::kUnavailable) << status;
  }
}

TEST(BlobResponsesTest, AMissHasNoMessageAndAFailureSaysWhat) {
  EXPECT_TRUE(StatusOf(Answer(404), "get x").message().empty());
  const absl::Status missing =
      StatusOf(Answer(404, {}, "<Error><Code>ContainerNotFound</Code></Error>"), "get x");
  EXPECT_TRUE(absl::IsNotFound(missing));
  const std::string text(missing.message());
  EXPECT_NE(text.find("get x"), std::string::npos) << text;
  EXPECT_NE(text.find("ContainerNotFound"), std::string::npos) << text;
}

TEST(BlobResponsesTest, ReadsProperties) {
  const auto properties = ParseProperties(Answer(200, {{"Content-Length", "12"},
                                                       {"ETag", "\"0x1\""},
                                                       {"Content-MD5", "md5"},
                                                       {"X-Ms-Meta-KvCrc32c", "v"}}));
  ASSERT_TRUE(properties.ok());
  EXPECT_EQ(properties->size, 12);
  EXPECT_EQ(properties->etag, "\"0x1\"");
  EXPECT_EQ(properties->md5_base64, "md5");
  EXPECT_EQ(*FindMetadata(properties->metadata, "kvcrc32c"), "v");
  EXPECT_FALSE(ParseProperties(Answer(200)).ok());
  EXPECT_FALSE(ParseProperties(Answer(200, {{"Content-Length", "x"}})).ok());
}

// As in the documentation of List Blobs.
TEST(BlobResponsesTest, ReadsAListing) {
  const auto listing = ParseListing(AsBytes(
      "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint="
      "\"https://a/\" ContainerName=\"c\"><Blobs><Blob><Name>a&amp;b/1</Name><Properties>"
      "<Etag>0x1</Etag><Content-Length>10</Content-Length></Properties><Metadata><kvCrc32c>ff"
      "</kvCrc32c><Empty/></Metadata></Blob><Blob><Name>z</Name><Properties><Content-Length>0"
      "</Content-Length></Properties></Blob></Blobs><NextMarker>m!1</NextMarker>"
      "</EnumerationResults>"));
  ASSERT_TRUE(listing.ok()) << listing.status();
  ASSERT_EQ(listing->blobs.size(), 2);
  EXPECT_EQ(listing->blobs[0].name, "a&b/1");
  EXPECT_EQ(listing->blobs[0].size, 10);
  EXPECT_EQ(*FindMetadata(listing->blobs[0].metadata, "kvcrc32c"), "ff");
  EXPECT_EQ(listing->next_marker, "m!1");
}

TEST(BlobResponsesTest, RefusesWhatIsNoListing) {
  for (const char* xml :
       {"", "nonsense", "<EnumerationResults><Blobs>", "<Error/>",
        "<EnumerationResults><Blobs><Blob><Name>a</Name></Blob></Blobs></EnumerationResults>",
        "<EnumerationResults><Blobs><Blob><Properties><Content-Length>1</Content-Length>"
        "</Properties></Blob></Blobs></EnumerationResults>"}) {
    EXPECT_FALSE(ParseListing(AsBytes(xml)).ok()) << xml;
  }
}

TEST(BlobNameTest, KeepsPlainNamesAndIsReversible) {
  EXPECT_EQ(EncodeBlobName("0123abc/ff-1_2.x"), "0123abc/ff-1_2.x");
  for (const std::string name : {"", "a", "/", "a//b", "a/", "/a", ".", "a/../b", "a.", "a b", "~",
                                 "~YQ", "\xc3\xa9", "a?b", "a\\b", "\x01\xff"}) {
    const std::string encoded = EncodeBlobName(name);
    EXPECT_EQ(encoded == name, name == "a") << name;
    const auto decoded = DecodeBlobName(encoded);
    ASSERT_TRUE(decoded.ok()) << name;
    EXPECT_EQ(*decoded, name);
  }
  EXPECT_LE(EncodeBlobName(std::string(512, ' ')).size(), kMaxBlobNameBytes);
  for (const char* foreign : {"", "a b", "~*", "~YQ", "~YR"}) {
    EXPECT_FALSE(DecodeBlobName(foreign).ok()) << foreign;
  }
}

}  // namespace
}  // namespace kvstore::azure
