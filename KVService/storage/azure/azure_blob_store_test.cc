// What the contract's tests leave open: credentials, sharing, what is on the service, and failures.
#include "KVService/storage/azure/azure_blob_store.h"

#include <gtest/gtest.h>

#include <future>

#include "KVService/http/test_server.h"
#include "KVService/storage/azure/azure_store_testing.h"
#include "KVService/storage/azure/fake_http_client.h"
#include "KVService/storage/azure/url.h"
#include "KVService/storage/blob_store_testing.h"
#include "absl/strings/escaping.h"

namespace kvstore::testing {
namespace {

using azure::BlobContainer;
using azure::BlobContent;

// An account's shared access signature, as the service's documentation has it.
std::string AccountSas(const std::string& permissions) {
  std::string key;
  EXPECT_TRUE(absl::Base64Unescape(kAzuriteKey, &key));
  const std::string expiry = "2099-01-01T00:00:00Z";
  const std::string text = std::string(kAzuriteAccount) + "\n" + permissions + "\nb\nsco\n\n" +
                           expiry + "\n\nhttps,http\n2021-08-06\n\n";
  return "sv=2021-08-06&ss=b&srt=sco&sp=" + permissions + "&se=" + azure::EncodeQueryValue(expiry) +
         "&spr=https,http&sig=" + azure::EncodeQueryValue(azure::HmacSha256Base64(key, text));
}

std::shared_ptr<azure::Credential> Sas(const std::string& permissions) {
  auto credential = azure::MakeSasCredential(AccountSas(permissions));
  EXPECT_TRUE(credential.ok());
  return *std::move(credential);
}

// Waits for a call of BlobContainer's.
template <typename T, typename Call>
T Wait(Call call) {
  std::promise<T> promise;
  call([&](T result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

class AzuriteTest : public ::testing::Test {
 protected:
  std::unique_ptr<OwningStore> Store(std::shared_ptr<azure::Credential> credential,
                                     AzureOptions options = {}) {
    return std::make_unique<OwningStore>(Azurite::Http(), std::move(credential), options, name_);
  }
  std::shared_ptr<BlobContainer> Container() {
    return std::make_shared<BlobContainer>(
        azure::Pipeline::Make(&http_, Azurite::SharedKey(), {}),
        azure::ContainerAddress{Azurite::Http().endpoint(), name_});
  }

  const std::string name_ = "c" + azure::RandomHex(8);
  CurlHttpClient http_{HttpClientOptions()};
};

TEST_F(AzuriteTest, ASharedAccessSignatureIsEnough) {
  const auto store = Store(Sas("rwdlacx"));
  const Blob blob = MakeBlob(5000, 1, std::string("\0\xff binary", 9));
  ASSERT_TRUE(PutNow(*store, Id("a"), blob).ok());
  EXPECT_TRUE(Holds(*store, Id("a"), blob));
  EXPECT_TRUE(DeleteNow(*store, Id("a")).ok());
}

TEST_F(AzuriteTest, WhatACredentialMayNotDoIsAnErrorWithoutSecrets) {
  ASSERT_TRUE(PutNow(*Store(Azurite::SharedKey()), Id("a"), MakeBlob(10, 1)).ok());
  const auto reader = Store(Sas("r"));
  EXPECT_TRUE(GetNow(*reader, Id("a")).ok());
  const absl::Status put = PutNow(*reader, Id("b"), MakeBlob(10, 1));
  EXPECT_EQ(put.code(), absl::StatusCode::kInternal) << put;
  EXPECT_EQ(put.ToString().find("sig="), std::string::npos) << put;
  const auto wrong = azure::MakeSharedKeyCredential(kAzuriteAccount, "d3Jvbmc=");
  const absl::Status get = GetNow(*Store(*wrong), Id("a")).status();
  EXPECT_EQ(get.code(), absl::StatusCode::kInternal) << get;
  EXPECT_NE(get.ToString().find("403"), std::string::npos) << get;
}

TEST_F(AzuriteTest, TwoStoresOnOneContainerSeeEachOther) {
  const auto one = Store(Azurite::SharedKey());
  const auto two = Store(Azurite::SharedKey());
  const Blob blob = MakeBlob(5000, 1, "one's");
  ASSERT_TRUE(PutNow(*one, Id("a"), blob).ok());
  EXPECT_TRUE(Holds(*two, Id("a"), blob));
  EXPECT_TRUE(absl::IsAlreadyExists(PutNow(*two, Id("a"), MakeBlob(10, 2))));
  EXPECT_TRUE(DeleteNow(*two, Id("a")).ok());
  EXPECT_EQ(two->Usage().used_bytes, 0);
  EXPECT_TRUE(absl::IsNotFound(GetNow(*one, Id("a")).status()));
}

TEST_F(AzuriteTest, ABlobOnTheServiceIsTheDataItself) {
  const auto store = Store(Azurite::SharedKey());
  const Blob blob = MakeBlob(5000, 1);
  ASSERT_TRUE(PutNow(*store, Id("p/a-1"), blob).ok());
  const auto content = Wait<absl::StatusOr<BlobContent>>(
      [&](auto done) { Container()->Get("0/p/a-1", true, Soon(), done); });
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(AsText(content->data.bytes()), AsText(blob.data.bytes()));
  EXPECT_EQ(content->properties.md5_base64, azure::Md5Base64(blob.data.bytes()));
}

TEST_F(AzuriteTest, ForeignBlobsAreNeitherListedNorRead) {
  const auto store = Store(Azurite::SharedKey());
  ASSERT_TRUE(PutNow(*store, Id("ours"), MakeBlob(10, 1)).ok());
  const auto put = Wait<absl::Status>([&](auto done) {
    Container()->PutIfAbsent("0/foreign", Slice::CopyOf(AsBytes("x")), {}, Soon(), done);
  });
  ASSERT_TRUE(put.ok()) << put;
  std::vector<std::string> names;
  ASSERT_TRUE(store->List([&](BlobInfo info) { names.push_back(info.id.name); }).ok());
  EXPECT_EQ(names, std::vector<std::string>{"ours"});
  EXPECT_TRUE(absl::IsDataLoss(GetNow(*store, Id("foreign")).status()));
}

TEST_F(AzuriteTest, AppendsInOrderAndReadsRanges) {
  const auto container = Container();
  ASSERT_TRUE(Wait<absl::Status>([&](auto done) { container->Create(Soon(), done); }).ok());
  ASSERT_TRUE(Wait<absl::Status>([&](auto done) { container->Create(Soon(), done); }).ok());
  for (int i = 0; i < 2; ++i) {
    const auto made =
        Wait<absl::Status>([&](auto done) { container->CreateAppendBlob("log", Soon(), done); });
    ASSERT_TRUE(made.ok()) << made;
  }
  const auto append = [&](const std::string& text, std::optional<uint64_t> position) {
    return Wait<absl::StatusOr<uint64_t>>([&](auto done) {
      container->Append("log", Slice::CopyOf(AsBytes(text)), position, Soon(), done);
    });
  };
  const auto first = append("hello ", 0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, 0);
  const auto second = append("world", std::nullopt);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*second, 6);
  EXPECT_TRUE(absl::IsFailedPrecondition(append("late", 6).status()));
  const auto range = Wait<absl::StatusOr<BlobContent>>([&](auto done) {
    container->GetRange("log", {4, 100}, Soon(), done);
  });
  ASSERT_TRUE(range.ok()) << range.status();
  EXPECT_EQ(AsText(range->data.bytes()), "o world");
  const auto beyond = Wait<absl::StatusOr<BlobContent>>([&](auto done) {
    container->GetRange("log", {11, 5}, Soon(), done);
  });
  EXPECT_TRUE(absl::IsOutOfRange(beyond.status())) << beyond.status();
}

TEST(AzureBlobStoreTest, AnUnknownCertificateIsRefused) {
  CurlHttpClient http({});
  OneContainerResolver resolver(Azurite::Https().endpoint(), Azurite::SharedKey(), "c1234");
  AzureBlobStore store(&http, &resolver, {});
  const absl::Status status = GetNow(store, Id("a")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
}

TEST(AzureBlobStoreTest, NobodyThereIsUnavailableWithinTheDeadline) {
  CurlHttpClient http({});
  OneContainerResolver resolver("http://127.0.0.1:1/acct", Azurite::SharedKey(), "c1234");
  AzureBlobStore store(&http, &resolver, {});
  const absl::Time begin = absl::Now();
  const absl::Status status = GetAsync(store, Id("a"), begin + absl::Seconds(1)).get().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
}

class NoResolver : public AzureResolver {
 public:
  absl::StatusOr<AzurePlace> Resolve(const std::string& account, const std::string&) override {
    return absl::NotFoundError("unknown account " + account);
  }
  std::vector<std::pair<std::string, std::string>> Known() override { return {}; }
};

TEST(AzureBlobStoreTest, AnUnknownAccountCostsNoCall) {
  FakeHttpClient http;
  NoResolver resolver;
  AzureBlobStore store(&http, &resolver, {});
  EXPECT_EQ(PutNow(store, Id("a"), MakeBlob(1, 1)).message(), "unknown account account");
  EXPECT_EQ(GetNow(store, Id("a")).status().message(), "unknown account account");
  EXPECT_TRUE(http.requests.empty());
}

TEST(AzureBlobStoreTest, ItsQueueIsBounded) {
  FakeHttpClient http;
  http.hold_answers = true;
  OneContainerResolver resolver("http://h/acct", azure::MakeAnonymousCredential(), "c1234");
  AzureOptions options;
  options.max_pending = 3;
  options.max_pending_put_bytes = 1000;
  AzureBlobStore store(&http, &resolver, options);
  auto large = PutAsync(store, Id("a"), MakeBlob(5000, 1));
  EXPECT_TRUE(absl::IsResourceExhausted(PutNow(store, Id("b"), MakeBlob(1, 1))));
  auto get = GetAsync(store, Id("a"));
  auto another = GetAsync(store, Id("a"));
  EXPECT_TRUE(absl::IsResourceExhausted(GetNow(store, Id("a")).status()));
  http.AnswerNext(Answer(201));
  while (!http.held.empty()) http.AnswerNext(Answer(404));
  EXPECT_TRUE(large.get().ok());
  EXPECT_EQ(get.get().status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(another.get().status().code(), absl::StatusCode::kNotFound);
}

TEST(AzureBlobStoreTest, TheEndOfTheClientEndsWhatRuns) {
  TestServer server(
      [](const TestRequest&, TestConnection& connection) { connection.WaitForPeerToClose(); });
  CurlHttpClient http({});
  OneContainerResolver resolver(server.Url("/acct"), azure::MakeAnonymousCredential(), "c1234");
  AzureBlobStore store(&http, &resolver, {});
  auto put = PutAsync(store, Id("a"), MakeBlob(5000, 1));
  auto get = GetAsync(store, Id("a"));
  auto erase = DeleteAsync(store, Id("a"));
  while (server.requests() < 3) absl::SleepFor(absl::Milliseconds(1));
  http.Shutdown();
  EXPECT_TRUE(absl::IsUnavailable(put.get()));
  EXPECT_TRUE(absl::IsUnavailable(get.get().status()));
  EXPECT_TRUE(absl::IsUnavailable(erase.get()));
  EXPECT_TRUE(store.Close().ok());
  EXPECT_EQ(store.Usage().blobs, 0);
}

TEST(AzureBlobStoreTest, DamageOnTheWayIsReadAgain) {
  FakeHttpClient http;
  const Blob blob = MakeBlob(1000, 1);
  int gets = 0;
  http.handler = [&](const HttpRequest&) {
    std::string body(AsText(blob.data.bytes()));
    if (++gets == 1) body[500] ^= 4;
    char crc[9];
    std::snprintf(crc, sizeof(crc), "%08x", blob.crc32c);
    return Answer(200, {{"Content-Length", "1000"}, {"x-ms-meta-kvcrc32c", crc}}, body);
  };
  OneContainerResolver resolver("http://h/acct", azure::MakeAnonymousCredential(), "c1234");
  AzureBlobStore store(&http, &resolver, {});
  EXPECT_TRUE(Holds(store, Id("a"), blob));
  EXPECT_EQ(gets, 2);
}

}  // namespace
}  // namespace kvstore::testing
