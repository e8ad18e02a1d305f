// Two servers' stores on one container of Azurite, one of them behind a proxy that loses, damages,
// refuses and stalls: no wrong byte, no acknowledged write lost, and soon well again.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "KVService/http/curl_http_client.h"
#include "KVService/storage/azure/azure_blob_store.h"
#include "KVService/storage/azure/azurite.h"
#include "KVService/storage/azure/crypto.h"
#include "KVService/storage/azure/fault_proxy.h"
#include "KVService/store/chunk_store_testing.h"

namespace kvstore {
namespace {

using testing::Azurite;  // kvstore::testing
using testing::Fault;
using testing::FaultProxy;

class OnePlace : public AzureResolver {
 public:
  OnePlace(std::string endpoint, std::string container) : container_(std::move(container)) {
    Move(std::move(endpoint));
  }
  void Move(std::string endpoint) {
    absl::MutexLock lock(&mutex_);
    endpoint_ = std::move(endpoint);
  }
  absl::StatusOr<AzurePlace> Resolve(const std::string& /*account*/,
                                     const std::string& /*container*/) override {
    absl::MutexLock lock(&mutex_);
    return AzurePlace{endpoint_, credential_, container_, ""};
  }
  std::vector<std::pair<std::string, std::string>> Known() override { return {}; }

 private:
  const std::shared_ptr<azure::Credential> credential_ = Azurite::SharedKey();
  const std::string container_;
  absl::Mutex mutex_;
  std::string endpoint_ ABSL_GUARDED_BY(mutex_);
};

struct TestServer {
  TestServer(const std::string& endpoint, const std::string& container)
      : http(FaultProxy::ClientOptions()), place(endpoint, container) {
    AzureOptions options;
    options.shared_log = true;
    options.log.poll = absl::Milliseconds(100);
    options.log.request_timeout = absl::Seconds(2);
    options.log.roll_bytes = 20'000;  // so that it is compacted under the faults, too
    options.log.compact_after = absl::Milliseconds(300);
    options.pipeline.retry.first_delay = absl::Milliseconds(2);
    options.pipeline.retry.max_delay = absl::Milliseconds(50);
    options.pipeline.attempt_timeout = absl::Seconds(1);
    options.max_time = absl::Seconds(10);
    auto storage = std::make_unique<AzureBlobStore>(&http, &place, options);
    azure = storage.get();
    ChunkStoreOptions store_options;
    store_options.memory_bytes = 0;  // every Read goes through
    store = *ChunkStore::OpenShared(store_options, std::move(storage));
  }

  CurlHttpClient http;
  OnePlace place;
  AzureBlobStore* azure;
  std::unique_ptr<ChunkStore> store;
};

// Prompt `n` has one block; what it holds follows from n.
TestChunk ChunkOf(uint64_t n) {
  TestChunk chunk;
  chunk.hash = n + 1;
  chunk.tokens = BlockOf(static_cast<Token>(n));
  chunk.digest = PrefixDigests(chunk.tokens)[0];
  chunk.buffer = std::string(1000 + n * 37 % 5000, static_cast<char>('a' + n % 26));
  return chunk;
}

class SharedStoreFaultsTest : public ::testing::Test {
 protected:
  SharedStoreFaultsTest()
      : proxy_(Azurite::Http(), [this](const testing::TestRequest&) { return Choose(); }),
        faulty_(proxy_.endpoint(), container_),
        sound_(Azurite::Http().endpoint(), container_) {}

  Fault Choose() {
    absl::MutexLock lock(&mutex_);
    if (one_in_ == 0 || random_() % one_in_ != 0) return Fault::kNone;
    return faults_[random_() % faults_.size()];
  }
  void FailOneIn(uint64_t requests, std::vector<Fault> faults) {
    absl::MutexLock lock(&mutex_);
    one_in_ = requests;
    faults_ = std::move(faults);
  }

  // Never a wrong byte; whether it was there.
  static bool ReadRight(ChunkStore& store, uint64_t n) {
    const auto found = TryLookup(store, BlockOf(static_cast<Token>(n)));
    if (!found.ok() || found->blocks.empty()) return false;
    const auto read = ReadNow(store, std::string(AsText(found->blocks[0].location)));
    if (!read.ok()) return false;
    EXPECT_EQ(BufferOf(read->chunk), ChunkOf(n).buffer) << n;
    return true;
  }
  static bool SoonRight(ChunkStore& store, uint64_t n, absl::Duration within) {
    for (const absl::Time end = absl::Now() + within; absl::Now() < end;) {
      if (ReadRight(store, n)) return true;
      absl::SleepFor(absl::Milliseconds(50));
    }
    return false;
  }

  void WriteAndReadUnder(std::vector<Fault> faults, uint64_t one_in, uint64_t first,
                         uint64_t count) {
    FailOneIn(one_in, std::move(faults));
    std::vector<uint64_t> acknowledged;
    for (uint64_t n = first; n < first + count; ++n) {
      if (WriteNow(*faulty_.store, ChunkOf(n)).ok()) acknowledged.push_back(n);
      if (!acknowledged.empty()) ReadRight(*faulty_.store, acknowledged[n % acknowledged.size()]);
    }
    EXPECT_FALSE(acknowledged.empty());
    FailOneIn(0, {});
    // To the server itself at once, as soon as the storage is well; to the other by the log.
    for (const uint64_t n : acknowledged) {
      EXPECT_TRUE(SoonRight(*faulty_.store, n, absl::Seconds(10))) << n;
      EXPECT_TRUE(SoonRight(*sound_.store, n, absl::Seconds(10))) << n;
    }
    EXPECT_TRUE(WriteNow(*faulty_.store, ChunkOf(first + count)).ok());
    EXPECT_EQ(faulty_.store->stats().pending_write_bytes, 0u);
  }

  const std::string container_ = "s" + azure::RandomHex(8);
  absl::Mutex mutex_;
  std::mt19937_64 random_ ABSL_GUARDED_BY(mutex_){7};
  uint64_t one_in_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Fault> faults_ ABSL_GUARDED_BY(mutex_);
  FaultProxy proxy_;
  TestServer faulty_;
  TestServer sound_;
};

TEST_F(SharedStoreFaultsTest, LosesNothingToFaultsOfEveryKind) {
  WriteAndReadUnder({Fault::kResetBefore, Fault::kResetInRequest, Fault::kLoseAnswer,
                     Fault::kTruncateAnswer, Fault::kDelay},
                    3, 0, 60);
  WriteAndReadUnder({Fault::kCorruptAnswer, Fault::kCorruptRequest}, 3, 1000, 60);
  WriteAndReadUnder({Fault::kBusy, Fault::kThrottle, Fault::kFail}, 3, 2000, 60);
  EXPECT_EQ(faulty_.store->stats().corrupt_chunks, 0u) << "damage was of the way, not of the place";
}

TEST_F(SharedStoreFaultsTest, StallsCostTimeAndNothingElse) {
  WriteAndReadUnder({Fault::kStall}, 10, 0, 20);
}

TEST_F(SharedStoreFaultsTest, DropsOfDnsCostTimeAndNothingElse) {
  WriteAndReadUnder({Fault::kDropDns}, 5, 0, 40);
}

TEST_F(SharedStoreFaultsTest, EverythingAtOnce) {
  WriteAndReadUnder({Fault::kDelay, Fault::kResetBefore, Fault::kResetInRequest, Fault::kLoseAnswer,
                     Fault::kTruncateAnswer, Fault::kCorruptAnswer, Fault::kCorruptRequest,
                     Fault::kBusy, Fault::kThrottle, Fault::kFail, Fault::kDropDns},
                    3, 0, 100);
}

TEST_F(SharedStoreFaultsTest, NamesThatDoNotResolveAreUnavailableUntilTheyDo) {
  ASSERT_TRUE(WriteNow(*faulty_.store, ChunkOf(1)).ok());
  faulty_.place.Move("http://nowhere.invalid/devstoreaccount1");
  EXPECT_TRUE(absl::IsUnavailable(WriteNow(*faulty_.store, ChunkOf(2)).status()));
  faulty_.place.Move(proxy_.endpoint());
  EXPECT_TRUE(WriteNow(*faulty_.store, ChunkOf(2)).ok());
  EXPECT_TRUE(SoonRight(*sound_.store, 2, absl::Seconds(10)));
}

}  // namespace
}  // namespace kvstore
