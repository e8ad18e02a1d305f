// What BlobContainer makes of lost answers, missing containers and damage, on a fake service.
#include "KVService/storage/azure/blob_container.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "KVService/storage/azure/crypto.h"
#include "KVService/storage/azure/fake_http_client.h"
#include "absl/time/clock.h"

namespace kvstore::azure {
namespace {

using testing::Answer;
using testing::FakeHttpClient;

class BlobContainerTest : public ::testing::Test {
 protected:
  BlobContainerTest() {
    http_.handler = [this](const HttpRequest& request) { return Serve(request); };
    container_ = std::make_shared<BlobContainer>(
        Pipeline::Make(&http_, MakeAnonymousCredential(), {}), ContainerAddress{"http://h", "box"});
  }

  // A service with one blob, that acts on a request and then may lose its answer.
  absl::StatusOr<HttpResponse> Serve(const HttpRequest& request) {
    absl::StatusOr<HttpResponse> answer = Act(request);
    if (lose_answers_ > 0 && request.method == HttpMethod::kPut) {
      --lose_answers_;
      return absl::UnavailableError("connection lost");
    }
    return answer;
  }

  HttpResponse Act(const HttpRequest& request) {
    if (request.url.find("restype=container") != std::string::npos) {
      has_container_ = true;
      return Answer(201);
    }
    if (!has_container_) return Answer(404, {{"x-ms-error-code", "ContainerNotFound"}});
    const std::string body =
        request.body.empty() ? "" : std::string(AsText(request.body[0].bytes()));
    if (request.url.find("comp=appendblock") != std::string::npos) {
      const size_t offset = data_->size();
      const std::string* at = FindHeader(request.headers, "x-ms-blob-condition-appendpos");
      if (at != nullptr && *at != std::to_string(offset)) return Answer(412);
      *data_ += body;
      return Answer(201, {{"x-ms-blob-append-offset", std::to_string(offset)}});
    }
    switch (request.method) {
      case HttpMethod::kPut:
        ++puts_;
        if (data_.has_value()) return Answer(409, {{"x-ms-error-code", "BlobAlreadyExists"}});
        data_ = body;
        write_id_ = *FindHeader(request.headers, "x-ms-meta-kvwriteid");
        return Answer(201);
      case HttpMethod::kDelete:
        if (!data_.has_value()) return Answer(404, {{"x-ms-error-code", "BlobNotFound"}});
        data_.reset();
        return Answer(202);
      default:
        return Read(request);
    }
  }

  HttpResponse Read(const HttpRequest& request) {
    if (!data_.has_value()) return Answer(404, {{"x-ms-error-code", "BlobNotFound"}});
    std::string body = *data_;
    if (const std::string* range = FindHeader(request.headers, "x-ms-range")) {
      const size_t from = std::stoul(range->substr(6));
      if (from >= body.size()) return Answer(416);
      body = body.substr(from, std::stoul(range->substr(range->find('-') + 1)) - from + 1);
    }
    const std::string md5 = Md5Base64(AsBytes(*data_));
    if (damage_) body[0] ^= 1;
    return Answer(200,
                  {{"Content-Length", std::to_string(body.size())},
                   {"Content-MD5", md5},
                   {"x-ms-meta-kvwriteid", write_id_}},
                  request.method == HttpMethod::kHead ? "" : body);
  }

  absl::Status Put(const std::string& data) {
    absl::Status status = absl::UnknownError("not called");
    container_->PutIfAbsent("b", Slice::CopyOf(AsBytes(data)), {}, Deadline(),
                            [&](absl::Status s) { status = std::move(s); });
    return status;
  }
  absl::StatusOr<uint64_t> Append(const std::string& data, std::optional<uint64_t> position) {
    absl::StatusOr<uint64_t> offset = absl::UnknownError("not called");
    container_->Append("b", Slice::CopyOf(AsBytes(data)), position, Deadline(),
                       [&](absl::StatusOr<uint64_t> o) { offset = std::move(o); });
    return offset;
  }
  static absl::Time Deadline() { return absl::Now() + absl::Hours(1); }

  FakeHttpClient http_;
  std::shared_ptr<BlobContainer> container_;
  bool has_container_ = true;
  bool damage_ = false;
  int lose_answers_ = 0;
  int puts_ = 0;
  std::optional<std::string> data_;
  std::string write_id_;
};

TEST_F(BlobContainerTest, APutWhoseAnswerWasLostSucceeds) {
  lose_answers_ = 2;
  EXPECT_TRUE(Put("mine").ok());
  EXPECT_EQ(puts_, 3);
  EXPECT_EQ(data_, "mine");
}

TEST_F(BlobContainerTest, APutWhoseAnswerWasLostStillLosesToAnother) {
  data_ = "theirs";
  write_id_ = "another";
  lose_answers_ = 1;
  const absl::Status status = Put("mine");
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_TRUE(status.message().empty());
  EXPECT_EQ(data_, "theirs");
}

TEST_F(BlobContainerTest, APlainConflictCostsNoSecondCall) {
  data_ = "theirs";
  EXPECT_TRUE(absl::IsAlreadyExists(Put("mine")));
  EXPECT_EQ(http_.requests.size(), 1);
}

TEST_F(BlobContainerTest, TwoPutsHaveDifferentWriteIds) {
  ASSERT_TRUE(Put("1").ok());
  const std::string first = write_id_;
  data_.reset();
  ASSERT_TRUE(Put("2").ok());
  EXPECT_NE(write_id_, first);
}

TEST_F(BlobContainerTest, APutMakesTheMissingContainer) {
  has_container_ = false;
  EXPECT_TRUE(Put("mine").ok());
  EXPECT_EQ(http_.requests.size(), 3);
}

TEST_F(BlobContainerTest, ADeleteWhoseAnswerWasLostSucceeds) {
  int lost = 0;
  http_.handler = [&](const HttpRequest& request) -> absl::StatusOr<HttpResponse> {
    HttpResponse answer = Act(request);
    if (lost++ == 0) return absl::UnavailableError("connection lost");
    return answer;
  };
  data_ = "x";
  absl::Status status = absl::UnknownError("not called");
  container_->Delete("b", "", Deadline(), [&](absl::Status s) { status = std::move(s); });
  EXPECT_TRUE(status.ok()) << status;
  container_->Delete("b", "", Deadline(), [&](absl::Status s) { status = std::move(s); });
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
}

TEST_F(BlobContainerTest, AnAppendAtAPositionHappensOnce) {
  data_ = "ab";
  lose_answers_ = 1;
  auto offset = Append("cd", 2);
  ASSERT_TRUE(offset.ok()) << offset.status();
  EXPECT_EQ(*offset, 2);
  EXPECT_EQ(data_, "abcd");
  EXPECT_TRUE(absl::IsFailedPrecondition(Append("ef", 2).status()));
  // Another's bytes are where ours should be.
  lose_answers_ = 1;
  EXPECT_TRUE(absl::IsFailedPrecondition(Append("zz", 2).status()));
  offset = Append("g", std::nullopt);
  ASSERT_TRUE(offset.ok());
  EXPECT_EQ(*offset, 4);
}

TEST_F(BlobContainerTest, ADamagedBodyIsDataLoss) {
  data_ = "abc";
  std::optional<absl::StatusOr<BlobContent>> content;
  const auto get = [&](bool check) {
    container_->Get("b", check, Deadline(),
                    [&](absl::StatusOr<BlobContent> c) { content = std::move(c); });
  };
  get(true);
  ASSERT_TRUE(content->ok()) << content->status();
  EXPECT_EQ(AsText((*content)->data.bytes()), "abc");
  damage_ = true;
  get(true);
  EXPECT_TRUE(absl::IsDataLoss(content->status())) << content->status();
  get(false);
  EXPECT_TRUE(content->ok());
}

TEST_F(BlobContainerTest, ReadsARange) {
  data_ = "0123456789";
  std::optional<absl::StatusOr<BlobContent>> content;
  const auto get = [&](ByteRange range) {
    container_->GetRange("b", range, Deadline(),
                         [&](absl::StatusOr<BlobContent> c) { content = std::move(c); });
  };
  get({3, 4});
  ASSERT_TRUE(content->ok()) << content->status();
  EXPECT_EQ(AsText((*content)->data.bytes()), "3456");
  get({8, 4});
  ASSERT_TRUE(content->ok()) << content->status();
  EXPECT_EQ(AsText((*content)->data.bytes()), "89");
  get({10, 4});
  EXPECT_TRUE(absl::IsOutOfRange(content->status()));
}

}  // namespace
}  // namespace kvstore::azure
