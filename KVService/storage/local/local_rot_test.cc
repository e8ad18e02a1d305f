// A byte that rots in any file of a store at rest: what is served after it is right or a miss, the
// store opens, a loss is told, and the next write heals it.
//
// Samples of all positions, with a fixed seed. KVSTORE_ROT_EXHAUSTIVE=index/ takes every byte of
// the files whose path has that text, and leaves out the others; every byte of all where it is
// empty, which takes hours.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "KVService/storage/local/local_store_testing.h"
#include "KVService/storage/local/metadata.h"
#include "KVService/storage/local/segments.h"

namespace kvstore::testing {
namespace {

namespace fs = std::filesystem;

// Files up to this size are tried byte by byte; of others so many positions, and the ends.
constexpr size_t kSmallFile = 64;
constexpr size_t kSamples = 16;
constexpr size_t kEnds = 6;
// Of what RocksDB appends to: with its length damaged the last record looks like one that was cut
// off.
constexpr size_t kLastRecords = 160;

// Where syncs cost nothing, if there is such a place: thousands of stores are opened.
fs::path FastPlace() {
  const fs::path memory = "/dev/shm";
  std::error_code error;
  return ::access(memory.c_str(), W_OK) == 0 && fs::space(memory, error).available > (64 << 20)
             ? memory
             : fs::temp_directory_path();
}

LocalOptions RotOptions(const std::string& directory) {
  LocalOptions options = TestOptions(directory, Durability::kNone);
  options.segment_bytes = 64 << 10;
  options.read_threads = 1;
  options.write_threads = 1;
  options.io = AsyncIo::kThreads;
  return options;
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void FlipByte(const fs::path& path, size_t at, char mask) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char was = static_cast<char>(file.get());
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(was ^ mask));
  ASSERT_TRUE(file.good()) << path;
}

class LocalRotTest : public ::testing::Test {
 protected:
  // Blobs of all kinds: metadata in RocksDB's tables and in its log, records over deleted ones, in
  // shared segments and in ones of their own.
  void SetUp() override {
    constexpr size_t kSizes[] = {1, 900, 5000, 5000, 30000, 4096, 100000};
    auto store = OpenStore(RotOptions(directory_.path()));
    const auto put = [&](int seed) {
      const std::string name = "blob-" + std::to_string(seed);
      blobs_[name] = MakeBlob(kSizes[seed % 7], seed, "attributes-" + std::to_string(seed));
      ASSERT_TRUE(PutNow(*store, Id(name), blobs_[name]).ok());
    };
    for (int seed = 0; seed < 21; ++seed) put(seed);
    ASSERT_TRUE(store->Close().ok());
    store = OpenStore(RotOptions(directory_.path()));  // the log becomes a table
    for (int seed : {2, 3, 4}) Delete(*store, seed);
    for (int seed = 23; seed < 32; ++seed) put(seed);
    for (int seed : {1, 9, 25}) Delete(*store, seed);
    ASSERT_TRUE(store->Close().ok());
  }

  void Delete(LocalBlobStore& store, int seed) {
    const std::string name = "blob-" + std::to_string(seed);
    ASSERT_TRUE(DeleteNow(store, Id(name)).ok());
    deleted_[name] = blobs_.at(name);
    blobs_.erase(name);
  }

  std::vector<fs::path> Files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(directory_.path())) {
      if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), directory_.path()));
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  std::set<size_t> Positions(const fs::path& file) {
    const size_t size = fs::file_size(directory_.path() / file);
    std::set<size_t> positions;
    const char* const exhaustive = std::getenv("KVSTORE_ROT_EXHAUSTIVE");
    if (exhaustive != nullptr && file.string().find(exhaustive) == std::string::npos) return {};
    if (size <= kSmallFile || exhaustive != nullptr) {
      for (size_t at = 0; at < size; ++at) positions.insert(at);
      return positions;
    }
    for (size_t at = 0; at < kEnds; ++at) {
      positions.insert(at);
      positions.insert(size - 1 - at);
    }
    if (file.extension() == ".log" || file.stem().string().starts_with("MANIFEST")) {
      for (size_t at = size - std::min(size, kLastRecords); at < size; ++at) positions.insert(at);
    }
    for (size_t i = 0; i < kSamples; ++i) positions.insert(random_() % size);
    if (file.extension() == ".seg") AddRecordParts(file, size, positions);
    return positions;
  }

  // Of the file's first records: each part of the head, its checksum, the data's ends and middle,
  // the padding.
  void AddRecordParts(const fs::path& file, size_t size, std::set<size_t>& positions) {
    const std::string bytes = ReadFile(directory_.path() / file);
    int records = 0;
    for (size_t at = 0; at + 4096 <= size && records < 2; at += 4096) {
      const auto head =
          local::ParseRecordHead(std::string_view(bytes).substr(at, 4096),
                                 *local::ParseSegmentFileName(file.filename().string()), at);
      if (!head.ok()) continue;
      ++records;
      for (size_t part : {0, 4, 6, 8, 10, 12, 16, 24, 32, 36, 40}) positions.insert(at + part);
      const size_t data = at + local::DataOffset(head->key.size(), head->location);
      const size_t end = at + local::RecordSize(head->key.size(), head->location);
      for (size_t part : {data - 1, data, (data + end) / 2, end - 1}) positions.insert(part);
      if (end % 4096 != 0) positions.insert(end);
    }
  }

  // How many blobs were lost by the rot of one byte.
  int Try(const fs::path& file, size_t at, bool closed = true) {
    SCOPED_TRACE(file.string() + " byte " + std::to_string(at));
    const TempDir copy(FastPlace());
    fs::copy(directory_.path(), copy.path(),
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    if (!closed) fs::remove(copy.path() + "/CLOSED");
    FlipByte(copy.path() / file, at, static_cast<char>(1 << (random_() % 8)));
    auto store = OpenStore(RotOptions(copy.path()));
    if (store == nullptr) return 0;
    std::vector<std::string> missing;
    rebuilt_ += store->recovery().rebuilt;
    bool told = store->recovery().rebuilt || store->recovery().dangling_dropped > 0;
    for (const auto& [name, blob] : blobs_) {
      const absl::StatusOr<Blob> found = GetNow(*store, Id(name));
      if (found.ok()) {
        EXPECT_TRUE(SameBlob(*found, blob)) << name;
        continue;
      }
      EXPECT_TRUE(absl::IsDataLoss(found.status()) || absl::IsNotFound(found.status()))
          << found.status();
      told |= absl::IsDataLoss(found.status());
      missing.push_back(name);
    }
    for (const auto& [name, blob] : deleted_) {
      const absl::StatusOr<Blob> found = GetNow(*store, Id(name));
      EXPECT_TRUE(!found.ok() || SameBlob(*found, blob)) << name;
    }
    EXPECT_TRUE(missing.empty() || told || !closed) << missing.size() << " lost in silence";
    for (const std::string& name : missing) {
      const absl::Status gone = DeleteNow(*store, Id(name));
      EXPECT_TRUE(gone.ok() || absl::IsNotFound(gone)) << gone;
      EXPECT_TRUE(PutNow(*store, Id(name), blobs_[name]).ok());
      EXPECT_TRUE(Holds(*store, Id(name), blobs_[name]));
    }
    if (missing.empty()) return 0;
    EXPECT_TRUE(store->Close().ok());
    store = OpenStore(RotOptions(copy.path()));
    if (store == nullptr) return 0;
    EXPECT_FALSE(store->recovery().rebuilt);
    for (const auto& [name, blob] : blobs_) EXPECT_TRUE(Holds(*store, Id(name), blob));
    return static_cast<int>(missing.size());
  }

  TempDir directory_;
  std::map<std::string, Blob> blobs_, deleted_;
  std::mt19937_64 random_{20};
  int rebuilt_ = 0;  // stores that made their metadata anew
};

TEST_F(LocalRotTest, AnyByteOfAnyFile) {
  std::map<std::string, int> kinds;  // with the rebuilds
  for (const fs::path& file : Files()) {
    int tried = 0, harmful = 0, most = 0;
    rebuilt_ = 0;
    for (const size_t at : Positions(file)) {
      const int lost = Try(file, at);
      ++tried;
      harmful += lost > 0;
      most = std::max(most, lost);
      // One byte of a segment is one record's.
      EXPECT_TRUE(lost <= 1 || file.extension() != ".seg") << file << " byte " << at;
    }
    std::printf("%-28s bytes=%d losing=%d most_lost=%d rebuilt=%d\n", file.c_str(), tried, harmful,
                most, rebuilt_);
    const std::string kind = file.has_extension() ? file.extension() : file.stem();
    kinds[kind.substr(0, kind.find('-'))] += rebuilt_;
  }
  if (std::getenv("KVSTORE_ROT_EXHAUSTIVE") != nullptr) return;
  // What there is to rot.
  for (const char* kind : {".seg", ".sst", ".log", "CURRENT", "IDENTITY", "FORMAT", ".copy",
                           "CLOSED", "LOCK", "MANIFEST", "OPTIONS"}) {
    EXPECT_TRUE(kinds.contains(kind)) << kind;
  }
  for (const char* kind : {".sst", ".log", "MANIFEST", "CURRENT"})
    EXPECT_GT(kinds[kind], 0) << kind;
}

// What a crash left says less: a log or manifest that rots so that it seems to end earlier looks
// like one whose last writes were cut off. Blocks may go in silence then, and never wrongly.
TEST_F(LocalRotTest, AnyByteOfTheIndexAfterACrash) {
  for (const fs::path& file : Files()) {
    if (!file.string().starts_with("index/")) continue;
    if (file.string().find("OPTIONS") != std::string::npos) continue;
    for (const size_t at : Positions(file)) Try(file, at, /*closed=*/false);
  }
}

// RocksDB finds it at the first read of the table's block: a miss for each of its blobs, and no
// more than that, until the next start.
TEST_F(LocalRotTest, ATableThatRotsUnderARunningStore) {
  auto store = OpenStore(RotOptions(directory_.path()));
  fs::path table;
  for (const fs::path& file : Files()) {
    if (file.extension() == ".sst") table = directory_.path() / file;  // the newest
  }
  FlipByte(table, 100, 1);
  int lost = 0;
  for (const auto& [name, blob] : blobs_) {
    const absl::StatusOr<Blob> found = GetNow(*store, Id(name));
    if (found.ok()) {
      EXPECT_TRUE(SameBlob(*found, blob));
      continue;
    }
    EXPECT_TRUE(absl::IsDataLoss(found.status())) << found.status();
    // One is deleted before it is written again, as ChunkStore does, the next one is not.
    EXPECT_TRUE(lost++ % 2 == 0 || DeleteNow(*store, Id(name)).ok());
    EXPECT_TRUE(PutNow(*store, Id(name), blob).ok());
    EXPECT_TRUE(Holds(*store, Id(name), blob));
  }
  EXPECT_GT(lost, 0);
  EXPECT_TRUE(store->Close().ok());
  for (const bool rebuilt : {true, false}) {
    store = OpenStore(RotOptions(directory_.path()));
    EXPECT_EQ(store->recovery().rebuilt, rebuilt);
    for (const auto& [name, blob] : blobs_) EXPECT_TRUE(Holds(*store, Id(name), blob));
    EXPECT_TRUE(store->Close().ok());
  }
}

// A payload may hold anything, a record of somebody else's among it. It is never taken for one.
TEST_F(LocalRotTest, WhatLooksLikeARecordInAPayloadIsNone) {
  TempDir directory;
  const Blob evil = MakeBlob(5000, 99);
  local::RecordLocation place;
  place.segment = 1;
  place.offset = 8192;
  place.data_size = 5000;
  place.crc32c = evil.crc32c;
  // At the second page of the record of 5,000 bytes of the forger's own that lies at 4096.
  const std::string forged = local::EncodeRecordHead(local::KeyOf(Id("victim")), place);
  auto store = OpenStore(RotOptions(directory.path()));
  ASSERT_TRUE(PutNow(*store, Id("first"), MakeBlob(100, 1)).ok());
  const size_t head = local::DataOffset(local::KeyOf(Id("forger")).size(), {});
  std::string data(16384, 'x');
  data.replace(4096 - head, forged.size(), forged);
  Blob blob;
  blob.data = Slice::CopyOf(AsBytes(data));
  blob.crc32c = Crc32c(blob.data.bytes());
  ASSERT_TRUE(PutNow(*store, Id("forger"), blob).ok());
  ASSERT_TRUE(store->Close().ok());
  fs::remove(directory.path() + "/index/CURRENT");
  const std::string segment = SegmentFiles(directory.path()).at(0);
  const std::string bytes = ReadFile(segment);
  ASSERT_TRUE(local::ParseRecordHead(std::string_view(bytes).substr(8192, 4096), 1, 8192).ok());
  for (const bool head_rots : {false, true}) {
    TempDir copy;
    fs::copy(directory.path(), copy.path(),
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    if (head_rots) FlipByte(SegmentFiles(copy.path()).at(0), 4096 + 1, 1);
    auto reopened = OpenStore(RotOptions(copy.path()));
    EXPECT_TRUE(reopened->recovery().rebuilt);
    EXPECT_TRUE(Holds(*reopened, Id("first"), MakeBlob(100, 1)));
    EXPECT_EQ(GetNow(*reopened, Id("forger")).ok(), !head_rots);
    EXPECT_TRUE(absl::IsNotFound(GetNow(*reopened, Id("victim")).status()));
  }
}

TEST_F(LocalRotTest, AHundredThousandRecordsAreFoundAgain) {
  const TempDir directory;
  constexpr int kRecords = 100000;
  LocalOptions options = TestOptions(directory.path(), Durability::kNone);
  options.max_pending = kRecords;
  options.segment_bytes = 64 << 20;
  auto store = OpenStore(options);
  const Blob blob = MakeBlob(64, 7, "attributes");
  for (int i = 0; i < kRecords; ++i) {
    store->Put(Id("partition-digest-of-64-bytes/" + std::to_string(i)), blob,
               absl::InfiniteFuture(),
               [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  }
  ASSERT_TRUE(store->Close().ok());
  fs::remove(directory.path() + "/index/CURRENT");
  store = OpenStore(options);
  EXPECT_TRUE(store->recovery().rebuilt);
  EXPECT_EQ(store->recovery().records, kRecords);
  std::printf("made the metadata of %d records anew in %ld ms\n", kRecords,
              static_cast<long>(store->recovery().milliseconds));
}

}  // namespace
}  // namespace kvstore::testing
