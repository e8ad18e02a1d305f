// The class that existing callers compile against.
#include <cstdlib>
#include <list>
#include <thread>

#include "AzureStorageKVStoreLibV2.h"
#include "KVClient/test/testing.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using kvstore::FakeServer;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The lines that a store logs.
class Lines {
 public:
  AzureStorageKVStoreLibV2::LogCallback callback() {
    return [this](LogLevel, const std::string& message) {
      absl::MutexLock lock(&mutex_);
      text_ += message + "\n";
    };
  }
  std::string Take() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(text_, "");
  }

 private:
  absl::Mutex mutex_;
  std::string text_;
};

class CompatTest : public ::testing::Test {
 protected:
  CompatTest() {
    setenv("KVSTORE_GRPC_SERVER", server_.address().c_str(), 1);
    store_ = std::make_unique<AzureStorageKVStoreLibV2>();
    store_->SetLogCallback(lines_.callback());
    EXPECT_TRUE(store_->Initialize("https://account.blob.core.windows.net", "container"));
  }

  static PromptChunk Chunk(hash_t hash, size_t bytes = 1000) {
    PromptChunk chunk;
    chunk.hash = hash;
    chunk.partitionKey = "my-partition";
    chunk.tokens.assign(128, static_cast<Token>(hash));
    chunk.buffer.assign(bytes, static_cast<uint8_t>(hash));
    chunk.completionId = "c";
    return chunk;
  }

  FakeServer server_;
  Lines lines_;  // outlives the calls
  std::unique_ptr<AzureStorageKVStoreLibV2> store_;
};

TEST_F(CompatTest, RoundTrip) {
  const PromptChunk chunk = Chunk(12345, kvstore::kTypicalBlock);
  store_->WriteAsync(chunk).get();
  const std::list<Token> tokens(chunk.tokens.begin(), chunk.tokens.end());  // any iterator
  const auto result = store_->Lookup("my-partition", "completion-001", tokens.begin(), tokens.end(),
                                     std::vector<hash_t>{12345});
  ASSERT_EQ(result.cachedBlocks, 1);
  EXPECT_EQ(result.lastHash, 12345u);
  EXPECT_EQ(result.server_metrics.total_latency_us, 5);
  auto [success, read] = store_->ReadAsync(result.locations[0].location).get();
  ASSERT_TRUE(success);
  EXPECT_EQ(read.hash, 12345u);
  EXPECT_EQ(read.partitionKey, "my-partition");
  EXPECT_EQ(read.tokens, chunk.tokens);
  EXPECT_EQ(read.buffer, chunk.buffer);
  EXPECT_EQ(read.bufferSize, chunk.buffer.size());
  EXPECT_EQ(read.completionId, "c");
  EXPECT_THAT(lines_.Take(), IsEmpty());
}

TEST_F(CompatTest, BufferSizeSaysHowMuchCounts) {
  PromptChunk chunk = Chunk(1);
  chunk.bufferSize = 10;
  store_->WriteAsync(chunk).get();
  EXPECT_EQ(server_.stored()[0].buffer.size(), 10u);
  chunk.bufferSize = 1001;
  EXPECT_THROW(store_->WriteAsync(chunk).get(), KVStoreError);
  EXPECT_THAT(lines_.Take(), HasSubstr("bufferSize is 1001"));
  chunk.buffer.clear();
  chunk.bufferSize = 0;
  EXPECT_THROW(store_->WriteAsync(chunk).get(), KVStoreError);
}

TEST_F(CompatTest, WriteFailuresAreThrownAndLogged) {
  PromptChunk chunk = Chunk(1);
  chunk.tokens.pop_back();
  std::string what;
  try {
    store_->WriteAsync(chunk).get();
  } catch (const KVStoreError& error) {
    what = error.what();
  }
  EXPECT_THAT(what, HasSubstr("tokens must be exactly 128"));
  EXPECT_THAT(lines_.Take(), HasSubstr("tokens must be exactly 128"));
}

TEST_F(CompatTest, ReadsInTheOrderAsked) {
  std::vector<BlockLocation> locations;
  for (hash_t hash = 1; hash <= 50; ++hash) {
    store_->WriteAsync(Chunk(hash, 1000 + hash)).get();
    locations.push_back({hash, "my-partition/" + std::to_string(hash)});
  }
  locations[7].location = "gone";
  locations[9].location = "";
  const auto results = store_->StreamingReadAsync(locations, "c").get();
  ASSERT_EQ(results.size(), 50u);
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].first, i != 7 && i != 9) << i;
    if (results[i].first) {
      EXPECT_EQ(results[i].second.buffer, Chunk(i + 1, 1001 + i).buffer);
    } else {
      EXPECT_THAT(results[i].second.buffer, IsEmpty());
    }
  }
  EXPECT_THAT(lines_.Take(), HasSubstr("empty"));
}

TEST_F(CompatTest, AMissIsLoggedOnlyWhenVerbose) {
  EXPECT_FALSE(store_->ReadAsync("gone").get().first);
  EXPECT_THAT(lines_.Take(), IsEmpty());
  store_->SetLogLevel(LogLevel::Verbose);
  EXPECT_FALSE(store_->ReadAsync("gone").get().first);
  EXPECT_THAT(lines_.Take(), HasSubstr("gone"));
  server_.ReportError("the disk\nis gone");
  EXPECT_FALSE(store_->ReadAsync("there").get().first);
  EXPECT_THAT(lines_.Take(), HasSubstr("the disk is gone"));  // in one line
}

TEST_F(CompatTest, ALookupThatFailsIsAMiss) {
  const std::vector<Token> none;
  EXPECT_EQ(store_->Lookup("p", "c", none.begin(), none.end(), {}).cachedBlocks, 0);
  EXPECT_THAT(lines_.Take(), HasSubstr("tokens are missing"));
}

TEST_F(CompatTest, FuturesOutliveTheStore) {
  store_->WriteAsync(Chunk(1)).get();
  server_.Hang(true);
  auto read = store_->ReadAsync("my-partition/1");
  auto stream = store_->StreamingReadAsync(std::vector<std::string>{"my-partition/1"});
  auto write = store_->WriteAsync(Chunk(2));
  store_.reset();
  server_.Hang(false);
  EXPECT_TRUE(read.get().first);
  EXPECT_TRUE(stream.get()[0].first);
  EXPECT_NO_THROW(write.get());
}

TEST_F(CompatTest, BeforeInitializeNothingWorksAndEverythingSaysSo) {
  AzureStorageKVStoreLibV2 store;
  store.SetLogCallback(lines_.callback());
  const std::vector<Token> tokens(128);
  EXPECT_EQ(store.Lookup("p", "c", tokens.begin(), tokens.end(), {}).cachedBlocks, 0);
  EXPECT_FALSE(store.ReadAsync("l").get().first);
  EXPECT_EQ(store.StreamingReadAsync(std::vector<std::string>{"a", "b"}).get().size(), 2u);
  EXPECT_THROW(store.WriteAsync(Chunk(1)).get(), KVStoreError);
  const std::string lines = lines_.Take();
  for (const char* method : {"Lookup", "ReadAsync", "StreamingReadAsync", "WriteAsync"}) {
    EXPECT_THAT(lines, HasSubstr(std::string(method) + ": Initialize"));
  }
}

TEST_F(CompatTest, InitializeRefusesWhatCannotWork) {
  AzureStorageKVStoreLibV2 store;
  store.SetLogCallback(lines_.callback());
  EXPECT_FALSE(store.Initialize("", "c"));
  EXPECT_FALSE(store.Initialize("a", ""));
  setenv("KVSTORE_GRPC_SERVER", "host:port", 1);
  EXPECT_FALSE(store.Initialize("a", "c"));
  EXPECT_THAT(lines_.Take(), HasSubstr("the port must be a number"));
}

TEST_F(CompatTest, AThreadsTraceIsThatOfItsCalls) {
  const std::string trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  AzureStorageKVStoreLibV2::SetThreadTrace(trace, "chat-7");
  store_->WriteAsync(Chunk(1)).get();
  std::thread([this] { store_->WriteAsync(Chunk(2)).get(); }).join();  // another's
  AzureStorageKVStoreLibV2::SetThreadTrace("");
  EXPECT_FALSE(store_->ReadAsync("").get().first);
  const std::vector<std::string> ids = server_.metadata("x-request-id");
  ASSERT_GE(ids.size(), 2u);
  EXPECT_EQ(ids[0], "chat-7");
  EXPECT_THAT(ids[1], ::testing::MatchesRegex("[0-9a-f]{16}"));
  EXPECT_EQ(server_.metadata("traceparent")[0], trace);
  EXPECT_EQ(server_.metadata("traceparent")[1], "");
}

}  // namespace
