#include "KVCommon/varints.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "KVCommon/wire_cursor.h"

namespace kvstore::wire {
namespace {

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

// Of every length, the short ones mostly.
uint64_t SomeValue(std::mt19937_64& random) {
  return random() >> (random() % 4 ? 43 + random() % 20 : random() % 64);
}

TEST(Varints, DecodesWhatWasEncoded) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint64_t> values(random() % (round % 10 ? 100 : 3000));
    std::string bytes;
    for (uint64_t& value : values) bytes += Varint(value = SomeValue(random));
    ASSERT_EQ(CountVarints(AsBytes(bytes)), values.size());
    std::vector<uint64_t> decoded(values.size());
    ASSERT_EQ(DecodeVarints(AsBytes(bytes), decoded.data()), bytes.size());
    ASSERT_EQ(decoded, values);
    decoded.assign(values.size(), 0);
    ASSERT_EQ(DecodeVarintsPortably(AsBytes(bytes), decoded.data()), bytes.size());
    ASSERT_EQ(decoded, values);
  }
}

TEST(Varints, CountsManyAndFew) {
  std::mt19937_64 random(3);
  for (size_t size : {0, 1, 7, 8, 15, 16, 17, 31, 4079, 4080, 4081, 4096, 20'000}) {
    for (int ones : {0, 1, 2}) {  // none, all, or some of the bytes end one
      std::string bytes(size, ones == 1 ? '\x01' : '\x81');
      size_t ends = ones == 1 ? size : 0;
      for (char& byte : bytes) {
        if (ones != 2 || random() % 2 == 0) continue;
        byte = '\x7f';
        ++ends;
      }
      EXPECT_EQ(CountVarints(AsBytes(bytes)), ends) << size << " bytes, " << ones;
    }
  }
}

TEST(Varints, StopsBeforeWhatDoesNotEnd) {
  uint64_t values[3];
  const std::string bytes = Varint(300) + Varint(5) + "\xff\xff";
  EXPECT_EQ(CountVarints(AsBytes(bytes)), 2u);
  EXPECT_EQ(DecodeVarints(AsBytes(bytes), values), 3u);
  const std::string endless = Varint(1) + std::string(10, '\xff') + '\x01' + Varint(2);
  EXPECT_EQ(DecodeVarints(AsBytes(endless), values), 1u);
}

// Wherever among many it is, in whichever of the parts that are decoded side by side.
TEST(Varints, StopsBeforeAnEndlessOneAmongMany) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 300; ++round) {
    std::string before, bytes;
    size_t count = random() % 1500;
    for (size_t i = 0; i < count; ++i) before += Varint(SomeValue(random));
    bytes = before + std::string(10, '\xff') + '\x01';
    while (bytes.size() < 3000) bytes += Varint(SomeValue(random));
    std::vector<uint64_t> values(CountVarints(AsBytes(bytes)));
    EXPECT_EQ(DecodeVarints(AsBytes(bytes), values.data()), before.size());
    values.assign(values.size(), 0);
    EXPECT_EQ(DecodeVarintsPortably(AsBytes(bytes), values.data()), before.size());
  }
}

// However the bytes are cut into pieces, and whatever they are, the cursor's run of varints is what
// reading them one by one gives.
TEST(Varints, ARunOverPiecesIsWhatOneByOneGives) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes;
    for (size_t i = random() % (round % 50 ? 80 : 2000); i > 0; --i) {
      bytes += Varint(SomeValue(random));
    }
    if (!bytes.empty() && random() % 3 == 0) bytes[random() % bytes.size()] ^= '\x80';
    const size_t size = random() % 4 ? bytes.size() : random() % (bytes.size() + 1);
    std::vector<ByteView> pieces;
    for (size_t at = 0; at < bytes.size();) {
      const size_t step = std::min<size_t>(bytes.size() - at, random() % 9);
      pieces.push_back(AsBytes(bytes).subspan(at, step));
      at += step;
    }
    std::vector<uint64_t> expected;
    Cursor one_by_one(pieces);
    const size_t outer = one_by_one.Enter(size);
    bool good = true;
    while (good && one_by_one.left() > 0) {
      expected.emplace_back();
      good = one_by_one.ReadVarint(&expected.back());
    }
    one_by_one.Leave(outer);
    const size_t limit = random() % 2 ? 1000 : random() % 30;
    good &= expected.size() <= limit;

    Cursor run(pieces);
    std::vector<int64_t> values;
    ASSERT_EQ(run.ReadVarints(size, limit, &values), good) << round;
    if (!good) continue;
    ASSERT_EQ(std::vector<uint64_t>(values.begin(), values.end()), expected);
    ASSERT_EQ(run.position(), size);
    ASSERT_EQ(run.left(), bytes.size() - size);
  }
}

}  // namespace
}  // namespace kvstore::wire
