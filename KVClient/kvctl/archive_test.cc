#include "KVClient/kvctl/archive.h"

#include <gtest/gtest.h>

#include <sstream>
#include <vector>

namespace kvstore::kvctl {
namespace {

std::string Written(const std::vector<std::string>& chunks) {
  std::ostringstream out;
  ArchiveWriter writer(&out);
  for (const std::string& chunk : chunks) writer.Add(chunk);
  writer.Finish();
  return out.str();
}

// All chunks, or the first error.
absl::StatusOr<std::vector<std::string>> Read(const std::string& bytes) {
  std::istringstream in(bytes);
  absl::StatusOr<ArchiveReader> reader = ArchiveReader::Open(&in);
  if (!reader.ok()) return reader.status();
  std::vector<std::string> chunks;
  while (true) {
    absl::StatusOr<std::optional<std::string>> chunk = reader->Next();
    if (!chunk.ok()) {
      EXPECT_EQ(reader->Next().status(), chunk.status());
      return chunk.status();
    }
    if (!*chunk) {
      EXPECT_EQ(*reader->Next(), std::nullopt);
      return chunks;
    }
    chunks.push_back(**std::move(chunk));
  }
}

const std::vector<std::string> kChunks = {"first", std::string(3'000'000, 'x'),
                                          std::string(1, '\0')};

TEST(ArchiveTest, GivesBackWhatWasAdded) {
  EXPECT_EQ(*Read(Written(kChunks)), kChunks);
  EXPECT_TRUE(Read(Written({}))->empty());
}

TEST(ArchiveTest, EveryCutIsFound) {
  const std::string whole = Written({"first", "second"});
  for (size_t size = 0; size < whole.size(); ++size) {
    const absl::Status status = Read(whole.substr(0, size)).status();
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsInvalidArgument(status)) << size << status;
  }
}

TEST(ArchiveTest, EveryFlippedBitIsFound) {
  const std::string whole = Written({"first", "second"});
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    EXPECT_FALSE(Read(damaged).ok()) << bit;
  }
}

TEST(ArchiveTest, ASizeThatLiesTakesNoMemory) {
  std::string lying = Written({});
  lying.resize(lying.size() - 12);
  lying += std::string("\xff\xff\x3f\x06\0\0\0\0", 8) + "short";  // 100 MiB less one byte
  EXPECT_TRUE(absl::IsDataLoss(Read(lying).status()));
}

}  // namespace
}  // namespace kvstore::kvctl
