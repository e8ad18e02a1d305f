#include "KVService/storage/azure/credential.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "KVService/storage/azure/connection_string.h"
#include "KVService/storage/azure/crypto.h"
#include "KVService/storage/azure/shared_key.h"
#include "KVService/storage/azure/url.h"

namespace kvstore::azure {
namespace {

constexpr char kEmulatorKey[] =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

HttpRequest Request(HttpMethod method, std::string url, HttpHeaders headers = {},
                    const std::string& body = "") {
  HttpRequest request;
  request.method = method;
  request.url = std::move(url);
  request.headers = std::move(headers);
  if (!body.empty()) request.body = {Slice::CopyOf(AsBytes(body))};
  return request;
}

HttpRequest Authorized(Credential& credential, HttpRequest request) {
  absl::StatusOr<HttpRequest> result;
  credential.Authorize(std::move(request),
                       [&](absl::StatusOr<HttpRequest> r) { result = std::move(r); });
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

// The three examples of "Authorize with Shared Key" in Microsoft's documentation.
TEST(SharedKeyTest, SignsWhatTheDocumentationSays) {
  EXPECT_EQ(StringToSign(Request(HttpMethod::kGet,
                                 "https://myaccount.blob.core.windows.net/mycontainer?"
                                 "comp=metadata&restype=container&timeout=20",
                                 {{"x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"},
                                  {"x-ms-version", "2015-02-21"}}),
                         "myaccount"),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
            "x-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\n"
            "restype:container\ntimeout:20");
  EXPECT_EQ(
      StringToSign(
          Request(HttpMethod::kGet,
                  "http://myaccount.blob.core.windows.net/mycontainer?restype=container"
                  "&comp=list&include=snapshots&include=metadata&include=uncommittedblobs",
                  {{"x-ms-version", "2015-02-21"}, {"X-MS-Date", "Fri, 26 Jun 2015 23:39:12 GMT"}}),
          "myaccount"),
      "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
      "x-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:list\n"
      "include:metadata,snapshots,uncommittedblobs\nrestype:container");
  EXPECT_EQ(
      StringToSign(Request(HttpMethod::kGet,
                           "https://myaccount-secondary.blob.core.windows.net/mycontainer/myblob"),
                   "myaccount"),
      "GET\n\n\n\n\n\n\n\n\n\n\n\n/myaccount/mycontainer/myblob");
}

TEST(SharedKeyTest, SignsTheHeadersOfAPut) {
  EXPECT_EQ(StringToSign(Request(HttpMethod::kPut, "http://127.0.0.1:10000/acct/c/a%20b",
                                 {{"Content-MD5", "md5=="},
                                  {"Content-Type", "application/octet-stream"},
                                  {"If-None-Match", "*"},
                                  {"Date", "superseded"},
                                  {"x-ms-date", "today"},
                                  {"x-ms-blob-type", " BlockBlob "},
                                  {"x-other", "ignored"}},
                                 "0123456789"),
                         "acct"),
            "PUT\n\n\n10\nmd5==\napplication/octet-stream\n\n\n\n*\n\n\n"
            "x-ms-blob-type:BlockBlob\nx-ms-date:today\n/acct/acct/c/a%20b");
}

// The signature was computed by: printf '<the string>' | openssl dgst -sha256 -mac HMAC
//   -macopt hexkey:<the key> -binary | base64
TEST(SharedKeyTest, GivesTheSignatureThatOpensslGives) {
  const auto credential = MakeSharedKeyCredential("devstoreaccount1", kEmulatorKey);
  ASSERT_TRUE(credential.ok());
  const HttpRequest request = Authorized(
      **credential,
      Request(HttpMethod::kGet,
              "https://myaccount.blob.core.windows.net/mycontainer?"
              "comp=metadata&restype=container&timeout=20",
              {{"x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"}, {"x-ms-version", "2015-02-21"}}));
  ASSERT_NE(FindHeader(request.headers, "Authorization"), nullptr);
  EXPECT_EQ(*FindHeader(request.headers, "Authorization"),
            "SharedKey devstoreaccount1:NpSCSjvDEU2u4o4Lo6MDCJInwPAoMzWC8rMVmx3r3aA=");
}

// RFC 4231, test case 2, and RFC 1321.
TEST(CryptoTest, MatchesPublishedVectors) {
  EXPECT_EQ(HmacSha256Base64("Jefe", "what do ya want for nothing?"),
            "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
  EXPECT_EQ(Md5Base64(AsBytes("")), "1B2M2Y8AsgTpgAmY7PhCfg==");
  EXPECT_EQ(Md5Base64(AsBytes("abc")), "kAFQmDzST7DWlj99KOF/cg==");
  EXPECT_EQ(RandomHex(16).size(), 32);
  EXPECT_NE(RandomHex(16), RandomHex(16));
}

TEST(SasTest, JoinsTheTokenToTheUrl) {
  const auto credential = MakeSasCredential("?sv=2021-08-06&sig=a%2Fb%3D");
  ASSERT_TRUE(credential.ok());
  EXPECT_EQ(Authorized(**credential, Request(HttpMethod::kGet, "https://h/c/b")).url,
            "https://h/c/b?sv=2021-08-06&sig=a%2Fb%3D");
  EXPECT_EQ(Authorized(**credential, Request(HttpMethod::kGet, "https://h/c?comp=list")).url,
            "https://h/c?comp=list&sv=2021-08-06&sig=a%2Fb%3D");
  EXPECT_FALSE(MakeSasCredential("sv=2021-08-06").ok());
  EXPECT_FALSE(MakeSasCredential("").ok());
}

TEST(ConnectionStringTest, NamesAnAccountAndItsKey) {
  const auto connection = ParseConnectionString(
      std::string("DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=") + kEmulatorKey +
      ";EndpointSuffix=core.chinacloudapi.cn;");
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ(connection->account, "acct");
  EXPECT_EQ(connection->endpoint, "https://acct.blob.core.chinacloudapi.cn");
  const HttpRequest request =
      Authorized(*connection->credential, Request(HttpMethod::kGet, "https://h/c"));
  EXPECT_EQ(FindHeader(request.headers, "Authorization")->rfind("SharedKey acct:", 0), 0);
}

TEST(ConnectionStringTest, KnowsTheEmulator) {
  const auto connection = ParseConnectionString("UseDevelopmentStorage=true");
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ(connection->account, "devstoreaccount1");
  EXPECT_EQ(connection->endpoint, "http://127.0.0.1:10000/devstoreaccount1");
  const auto elsewhere = ParseConnectionString(
      "usedevelopmentstorage=TRUE;DevelopmentStorageProxyUri=http://emulator/");
  ASSERT_TRUE(elsewhere.ok()) << elsewhere.status();
  EXPECT_EQ(elsewhere->endpoint, "http://emulator:10000/devstoreaccount1");
}

TEST(ConnectionStringTest, TakesAnEndpointAndASignature) {
  const auto connection = ParseConnectionString(
      " BlobEndpoint=http://127.0.0.1:1/acct/ ; "
      "SharedAccessSignature=sv=1&sig=x%3D;QueueEndpoint=q");
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ(connection->endpoint, "http://127.0.0.1:1/acct");
  EXPECT_EQ(Authorized(*connection->credential, Request(HttpMethod::kGet, "http://h/c")).url,
            "http://h/c?sv=1&sig=x%3D");
}

TEST(ConnectionStringTest, RefusesWhatItCannotUseWithoutRepeatingIt) {
  for (const char* text :
       {"", "SECRET", "=SECRET", "AccountKey=SECRET", "AccountName=a;AccountKey=*SECRET*",
        "BlobEndpoint=ftp://SECRET", "BlobEndpoint=https://h;AccountKey=SECRET",
        "AccountName=a;SharedAccessSignature=SECRET"}) {
    const auto connection = ParseConnectionString(text);
    EXPECT_TRUE(absl::IsInvalidArgument(connection.status())) << text;
    EXPECT_EQ(connection.status().ToString().find("SECRET"), std::string::npos) << text;
  }
}

TEST(ConnectionStringTest, ReadsTheEnvironment) {
  ::unsetenv("AZURE_STORAGE_CONNECTION_STRING");
  EXPECT_TRUE(absl::IsNotFound(ConnectionFromEnvironment().status()));
  ::setenv("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true", 1);
  EXPECT_TRUE(ConnectionFromEnvironment().ok());
  ::unsetenv("AZURE_STORAGE_CONNECTION_STRING");
}

TEST(UrlTest, EncodesAndDecodes) {
  EXPECT_EQ(EncodePath("a b/c?\xc3\xa9~"), "a%20b/c%3F%C3%A9~");
  EXPECT_EQ(EncodeQueryValue("a/b&c"), "a%2Fb%26c");
  EXPECT_EQ(PercentDecode("a%20b%2f%zz%4"), "a b/%zz%4");
  EXPECT_EQ(PercentDecode("%41"), "A");
  EXPECT_EQ(SplitUrl("http://h").path, "/");
  EXPECT_EQ(SplitUrl("http://h?a=/").path, "/");
  const UrlParts parts = SplitUrl("http://h/p?a=1&b&&c=%3D=");
  EXPECT_EQ(parts.query,
            (std::vector<std::pair<std::string, std::string>>{{"a", "1"}, {"b", ""}, {"c", "=="}}));
}

}  // namespace
}  // namespace kvstore::azure
