// The hand-written framing against protobuf itself: same meaning for every message, same verdict on
// every mutation of one.
#include "KVCommon/wire.h"

#include <gmock/gmock.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "kvstore.pb.h"

namespace kvstore::wire {
namespace {

namespace pb = ::kvstore;
using Random = std::mt19937_64;

size_t Below(Random& random, size_t bound) { return random() % bound; }

uint64_t AnyInteger(Random& random) {
  const uint64_t value = random();
  return value >> Below(random, 64);
}

std::string AnyText(Random& random) {
  static const char* const kTexts[] = {"",     "a", "llama-70b", "sch\xc3\xb6n", "\xe2\x82\xac",
                                       "x/y z"};
  return kTexts[Below(random, std::size(kTexts))];
}

std::string AnyBytes(Random& random, size_t most) {
  std::string bytes(Below(random, most + 1), '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

pb::PromptChunk AnyChunk(Random& random) {
  pb::PromptChunk chunk;
  if (random() % 4) chunk.set_hash(AnyInteger(random));
  chunk.set_partition_key(AnyText(random));
  if (random() % 2) chunk.set_parent_hash(AnyInteger(random));
  chunk.set_buffer(AnyBytes(random, 3000));
  const size_t tokens = random() % 3 ? kBlockTokens : Below(random, kBlockTokens);
  for (size_t i = 0; i < tokens; ++i) chunk.add_tokens(static_cast<int64_t>(AnyInteger(random)));
  chunk.set_completion_id(AnyText(random));
  if (random() % 2) chunk.set_prefix_digest(std::string(32, 'd'));
  return chunk;
}

void AnyMetrics(Random& random, pb::ServerMetrics* metrics) {
  metrics->set_storage_latency_us(static_cast<int64_t>(AnyInteger(random)));
  metrics->set_total_latency_us(static_cast<int64_t>(AnyInteger(random)));
  metrics->set_overhead_us(static_cast<int64_t>(AnyInteger(random)));
}

// A message cut at random, as gRPC's slices may cut it; some pieces are empty.
class Cut {
 public:
  Cut(Random& random, std::string_view message) {
    const size_t cuts = Below(random, 6);
    for (size_t i = 0; i < cuts && !message.empty(); ++i) {
      const size_t size = Below(random, std::min<size_t>(message.size(), i % 2 ? 20 : 2000) + 1);
      pieces_.push_back(AsBytes(message.substr(0, size)));
      message.remove_prefix(size);
    }
    pieces_.push_back(AsBytes(message));
  }
  Pieces pieces() const { return pieces_; }

 private:
  std::vector<ByteView> pieces_;
};

std::string BufferOf(Pieces message, const Chunk& chunk) {
  std::string buffer(chunk.buffer.size, '\0');
  CopyOut(message, chunk.buffer, reinterpret_cast<std::byte*>(buffer.data()));
  return buffer;
}

void ExpectSame(const Chunk& ours, const pb::PromptChunk& theirs, Pieces message) {
  EXPECT_EQ(ours.hash, theirs.hash());
  EXPECT_EQ(ours.partition_key, theirs.partition_key());
  EXPECT_EQ(ours.parent_hash, theirs.parent_hash());
  EXPECT_EQ(BufferOf(message, ours), theirs.buffer());
  EXPECT_THAT(ours.tokens, testing::ElementsAreArray(theirs.tokens()));
  EXPECT_EQ(ours.completion_id, theirs.completion_id());
  const std::string digest =
      ours.prefix_digest ? std::string(AsText(std::as_bytes(std::span(*ours.prefix_digest)))) : "";
  EXPECT_EQ(digest, theirs.prefix_digest());
}

void ExpectSame(const ServerMetrics& ours, const pb::ServerMetrics& theirs) {
  EXPECT_EQ(ours.storage_latency_us, theirs.storage_latency_us());
  EXPECT_EQ(ours.total_latency_us, theirs.total_latency_us());
  EXPECT_EQ(ours.overhead_us, theirs.overhead_us());
}

class WireTest : public testing::Test {
 protected:
  Random random_{20221117};
};

TEST_F(WireTest, ReadsEveryChunkThatProtobufWrites) {
  for (int round = 0; round < 500; ++round) {
    const pb::PromptChunk theirs = AnyChunk(random_);
    const std::string message = theirs.SerializeAsString();
    const Cut cut(random_, message);
    const absl::StatusOr<Chunk> ours = ParseChunk(cut.pieces());
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_TRUE(ours->canonical);
    ExpectSame(*ours, theirs, cut.pieces());
  }
}

TEST_F(WireTest, PartitionsAreReadFromACanonicalChunksBeginning) {
  for (int i = 0; i < 300; ++i) {
    pb::PromptChunk chunk = AnyChunk(random_);
    const std::string bytes = chunk.SerializeAsString();
    EXPECT_EQ(PartitionOf(AsBytes(bytes)), chunk.partition_key());
  }
  EXPECT_FALSE(PartitionOf({}));
  EXPECT_FALSE(
      PartitionOf(AsBytes(std::string_view("\x12\x05"
                                           "four"))));  // cut short
  EXPECT_FALSE(PartitionOf(AsBytes(std::string_view("\x08\xff"))));
}

TEST_F(WireTest, WritesEveryChunkAsProtobufDoes) {
  for (int round = 0; round < 200; ++round) {
    const pb::PromptChunk theirs = AnyChunk(random_);
    const std::string message = theirs.SerializeAsString();
    const ByteView whole = AsBytes(message);
    const absl::StatusOr<Chunk> ours = ParseChunk(Pieces(&whole, 1));
    ASSERT_TRUE(ours.ok()) << ours.status();
    const Frame frame = FrameChunk(*ours, theirs.buffer().size());
    EXPECT_EQ(frame.head + theirs.buffer() + frame.tail, message);
  }
}

TEST_F(WireTest, WriteRequestsNameTheirChunksBytes) {
  for (int round = 0; round < 200; ++round) {
    pb::WriteRequest theirs;
    theirs.set_resource_name(AnyText(random_));
    theirs.set_container_name(AnyText(random_));
    *theirs.mutable_chunk() = AnyChunk(random_);
    const std::string message = theirs.SerializeAsString();
    const Cut cut(random_, message);
    const absl::StatusOr<WriteRequest> ours = ParseWriteRequest(cut.pieces());
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_EQ(ours->resource_name, theirs.resource_name());
    EXPECT_EQ(ours->container_name, theirs.container_name());
    ExpectSame(ours->chunk, theirs.chunk(), cut.pieces());
    EXPECT_EQ(message.substr(ours->chunk_extent.offset, ours->chunk_extent.size),
              theirs.chunk().SerializeAsString());
    const std::string& buffer = theirs.chunk().buffer();
    const Frame frame = FrameWriteRequest(theirs.resource_name(), theirs.container_name(),
                                          ours->chunk, buffer.size());
    EXPECT_EQ(frame.head + buffer + frame.tail, message);
  }
}

TEST_F(WireTest, ReadResponsesGoBothWays) {
  for (int round = 0; round < 200; ++round) {
    pb::ReadResponse theirs;
    theirs.set_found(random_() % 2);
    if (theirs.found()) *theirs.mutable_chunk() = AnyChunk(random_);
    theirs.set_error(AnyText(random_));
    theirs.set_success(random_() % 2);
    AnyMetrics(random_, theirs.mutable_server_metrics());
    const std::string message = theirs.SerializeAsString();
    const Cut cut(random_, message);
    const absl::StatusOr<ReadResponse> ours = ParseReadResponse(cut.pieces());
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_EQ(ours->found, theirs.found());
    EXPECT_EQ(ours->has_chunk, theirs.has_chunk());
    EXPECT_EQ(ours->success, theirs.success());
    EXPECT_EQ(ours->error, theirs.error());
    ExpectSame(ours->metrics, theirs.server_metrics());
    if (theirs.has_chunk()) ExpectSame(ours->chunk, theirs.chunk(), cut.pieces());
    const std::string chunk = theirs.chunk().SerializeAsString();
    const Frame frame = FrameReadResponse(*ours, chunk.size());
    EXPECT_EQ(frame.head + (theirs.has_chunk() ? chunk : "") + frame.tail, message);
  }
}

TEST_F(WireTest, LookupsGoBothWays) {
  for (int round = 0; round < 200; ++round) {
    pb::LookupRequest request;
    request.set_resource_name(AnyText(random_));
    request.set_container_name(AnyText(random_));
    request.set_partition_key(AnyText(random_));
    request.set_completion_id(AnyText(random_));
    for (size_t i = Below(random_, 700); i > 0; --i) {
      request.add_tokens(static_cast<int64_t>(AnyInteger(random_)));
    }
    for (size_t i = Below(random_, 9); i > 0; --i) {
      request.add_precomputed_hashes(AnyInteger(random_));
    }
    std::string message = request.SerializeAsString();
    const Cut cut(random_, message);
    const absl::StatusOr<LookupRequest> ours = ParseLookupRequest(cut.pieces());
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_EQ(Encode(*ours), message);

    pb::LookupResponse response;
    response.set_cached_blocks(static_cast<int32_t>(random_()));
    response.set_last_hash(AnyInteger(random_));
    for (size_t i = Below(random_, 20); i > 0; --i) {
      pb::BlockLocation* location = response.add_locations();
      location->set_hash(AnyInteger(random_));
      location->set_location(AnyText(random_));
      location->set_size(AnyInteger(random_));
      location->set_tier(static_cast<pb::BlockTier>(Below(random_, 4)));
    }
    response.set_error(AnyText(random_));
    response.set_success(random_() % 2);
    AnyMetrics(random_, response.mutable_server_metrics());
    response.set_shared_store(random_() % 2);
    message = response.SerializeAsString();
    const Cut response_cut(random_, message);
    const absl::StatusOr<LookupResponse> answer = ParseLookupResponse(response_cut.pieces());
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(Encode(*answer), message);
  }
}

TEST_F(WireTest, IntegersOfAllSizesAreEncodedFromWhereTheyLie) {
  std::vector<int64_t> tokens = {0};
  for (int bits = 0; bits < 64; ++bits) {
    for (const uint64_t value : {uint64_t{1} << bits, (uint64_t{1} << bits) - 1}) {
      tokens.push_back(static_cast<int64_t>(value));
    }
  }
  tokens.push_back(-1);
  // The first few are small ones alone.
  for (const size_t count :
       {size_t{0}, size_t{1}, size_t{2}, size_t{16}, size_t{45}, tokens.size()}) {
    for (const size_t hashes : {size_t{0}, count}) {
      pb::LookupRequest request;
      request.mutable_tokens()->Add(tokens.begin(), tokens.begin() + count);
      request.mutable_precomputed_hashes()->Add(tokens.begin(), tokens.begin() + hashes);
      const std::vector<uint64_t> unsigned_ones(tokens.begin(), tokens.begin() + hashes);
      const LookupRequestView view{.tokens = std::span(tokens).first(count),
                                   .precomputed_hashes = unsigned_ones};
      EXPECT_EQ(AsText(Encode(view).bytes), request.SerializeAsString())
          << count << " and " << hashes;
    }
  }
}

TEST_F(WireTest, SmallMessagesGoBothWays) {
  for (int round = 0; round < 100; ++round) {
    pb::ReadRequest request;
    request.set_resource_name(AnyText(random_));
    request.set_container_name(AnyText(random_));
    request.set_location(AnyText(random_));
    request.set_completion_id(AnyText(random_));
    const std::string message = request.SerializeAsString();
    EXPECT_EQ(Encode(*ParseReadRequest(Cut(random_, message).pieces())), message);

    pb::WriteResponse response;
    response.set_success(random_() % 2);
    response.set_error(AnyText(random_));
    AnyMetrics(random_, response.mutable_server_metrics());
    const std::string answer = response.SerializeAsString();
    EXPECT_EQ(Encode(*ParseWriteResponse(Cut(random_, answer).pieces())), answer);
  }
}

TEST_F(WireTest, WhatALookupFoundIsEncodedAsItsResponse) {
  std::string encoded = "left over";
  for (size_t count : {0, 1, 3, 200}) {
    LookupResponse response;
    std::vector<FoundLocation> found;
    for (size_t i = 0; i < count; ++i) {
      const uint64_t hash = i % 5 == 4 ? 0 : random_() >> (random_() % 64);
      response.locations.push_back({hash, std::string(i % 7 == 6 ? 0 : i, 'x'),
                                    i % 3 == 2 ? 0 : random_() >> (random_() % 64),
                                    static_cast<BlockTier>(i % 4)});
      response.last_hash = hash;
    }
    for (const auto& each : response.locations) {
      found.push_back({each.hash, each.location, each.size, each.tier});
    }
    response.cached_blocks = static_cast<int32_t>(count);
    response.success = true;
    response.metrics = {1, 300, 299};
    for (const bool shared : {false, true}) {
      response.shared_store = shared;
      EncodeFound(found, response.metrics, shared, &encoded);
      EXPECT_EQ(encoded, Encode(response));
    }
  }
}

// Valid encodings that nobody's generated code writes: they mean the same and are not canonical.
TEST_F(WireTest, OddButValidChunksMeanTheSameAndAreNotCanonical) {
  const std::string hash_5("\x08\x05", 2);
  const std::string hash_6("\x08\x06", 2);
  const std::string buffer("\x22\x01x", 3);
  const std::string token_unpacked("\x28\x07", 2);
  const std::string token_packed("\x2a\x01\x08", 3);
  const std::string unknown_varint("\x98\x06\x01", 3);
  const std::string unknown_group("\x9b\x06\x08\x01\x9c\x06", 6);
  const std::string unknown_fixed(
      "\x9d\x06"
      "abcd",
      6);
  const std::string hash_as_bytes("\x0a\x01z", 3);  // the wrong wire type is an unknown field
  const std::string odd[] = {
      buffer + hash_5,
      hash_5 + hash_6,
      hash_5 + buffer + token_unpacked,
      token_packed + token_unpacked + token_packed,
      hash_5 + unknown_varint,
      unknown_group + buffer,
      hash_5 + unknown_fixed,
      hash_as_bytes + buffer,
  };
  for (const std::string& message : odd) {
    pb::PromptChunk theirs;
    ASSERT_TRUE(theirs.ParseFromString(message));
    const ByteView whole = AsBytes(message);
    const absl::StatusOr<Chunk> ours = ParseChunk(Pieces(&whole, 1));
    ASSERT_TRUE(ours.ok()) << ours.status();
    EXPECT_FALSE(ours->canonical);
    ExpectSame(*ours, theirs, Pieces(&whole, 1));
  }
}

// Tokens one by one, in several fields, with varints longer than they need be, cut anywhere; and
// messages that are nearly that: as protobuf has it.
TEST_F(WireTest, TokensOfALookupComeInAnyEncoding) {
  const std::string parts[] = {
      std::string("\x28\x07", 2),                                           // one by itself
      std::string("\x2a\x01\x08", 3),                                       // packed
      std::string("\x2a\x00", 2),                                           // none, packed
      std::string("\x2a\x04\x81\x80\x00\x05", 6),                           // 1 in three bytes, 5
      std::string("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11),      // -1
      std::string("\x2a\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12),  // the least
      std::string("\x2a\x0b\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 13),  // too long
      std::string("\x2a\x02\x05\x85", 4),                                       // ends within one
      std::string("\x98\x06\x01", 3),                                           // unknown
      std::string("\x1a\x01p", 3)};                                             // the partition
  int good = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string message;
    for (size_t i = Below(random_, 8); i > 0; --i) message += parts[Below(random_, 10)];
    pb::LookupRequest theirs;
    const bool valid = theirs.ParseFromString(message);
    const Cut cut(random_, message);
    const absl::StatusOr<LookupRequest> ours = ParseLookupRequest(cut.pieces());
    ASSERT_EQ(ours.ok(), valid) << testing::PrintToString(message);
    if (!valid) continue;
    ++good;
    EXPECT_EQ(ours->tokens.Unpack(),
              std::vector<Token>(theirs.tokens().begin(), theirs.tokens().end()));
    EXPECT_EQ(ours->partition_key, theirs.partition_key());
  }
  EXPECT_GT(good, 1000);
}

// No more tokens than a prompt may have, refused before they are copied where they are many; and
// what was large is given back.
TEST_F(WireTest, LookupsAreBounded) {
  LookupRequest request;
  const auto parse = [&](const std::string& message) {
    const ByteView whole = AsBytes(message);
    return ParseLookupRequest(Pieces(&whole, 1), &request);
  };
  pb::LookupRequest large;
  large.mutable_tokens()->Resize(kMaxPromptTokens, 300);
  EXPECT_TRUE(parse(large.SerializeAsString()).ok());
  EXPECT_EQ(request.tokens.size(), kMaxPromptTokens);
  large.add_tokens(1);
  EXPECT_EQ(parse(large.SerializeAsString()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_LT(request.capacity_bytes(), kMaxPromptTokens * 3);
  large.Clear();
  large.mutable_tokens()->Resize(kMaxPromptTokens + 1, -1);
  EXPECT_EQ(parse(large.SerializeAsString()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_LT(request.capacity_bytes(), LookupRequest::kKeptBytes);
  large.Clear();
  large.set_resource_name(std::string(2 * LookupRequest::kKeptBytes, 'x'));
  EXPECT_TRUE(parse(large.SerializeAsString()).ok());
  EXPECT_TRUE(parse("").ok());
  EXPECT_LT(request.capacity_bytes(), LookupRequest::kKeptBytes);
}

TEST_F(WireTest, AChunkInTwoPartsIsMergedAndHasNoBytesOfItsOwn) {
  pb::WriteRequest first, second, both;
  first.mutable_chunk()->set_hash(1);
  first.mutable_chunk()->set_buffer("abc");
  second.mutable_chunk()->set_hash(2);
  second.mutable_chunk()->add_tokens(9);
  const std::string message = first.SerializeAsString() + second.SerializeAsString();
  ASSERT_TRUE(both.ParseFromString(message));
  const ByteView whole = AsBytes(message);
  const absl::StatusOr<WriteRequest> ours = ParseWriteRequest(Pieces(&whole, 1));
  ASSERT_TRUE(ours.ok()) << ours.status();
  EXPECT_FALSE(ours->chunk.canonical);
  EXPECT_EQ(ours->chunk_extent.size, 0u);
  ExpectSame(ours->chunk, both.chunk(), Pieces(&whole, 1));
}

// Whatever protobuf accepts we accept with the same meaning, and the other way round; but for the
// limits of ours, which only ever refuse more.
TEST_F(WireTest, AgreesWithProtobufOnEveryMutation) {
  int accepted = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    pb::WriteRequest source;
    source.set_resource_name("acct");
    source.set_container_name("box");
    *source.mutable_chunk() = AnyChunk(random_);
    if (source.chunk().buffer().size() > 40) source.mutable_chunk()->mutable_buffer()->resize(40);
    std::string message = source.SerializeAsString();
    for (size_t edits = 1 + Below(random_, 3); edits > 0 && !message.empty(); --edits) {
      const size_t at = Below(random_, message.size());
      switch (random_() % 4) {
        case 0:
          message[at] = static_cast<char>(random_());
          break;
        case 1:
          message.erase(at, 1 + Below(random_, 4));
          break;
        case 2:
          message.insert(at, AnyBytes(random_, 4));
          break;
        default:
          message.resize(at);
          break;
      }
    }
    pb::WriteRequest theirs;
    const bool valid = theirs.ParseFromString(message);
    const Cut cut(random_, message);
    const absl::StatusOr<WriteRequest> ours = ParseWriteRequest(cut.pieces());
    const size_t digest = theirs.chunk().prefix_digest().size();
    const bool beyond = theirs.chunk().tokens_size() > static_cast<int>(kBlockTokens) ||
                        (digest != 0 && digest != 32);
    if (ours.ok()) {
      ASSERT_TRUE(valid) << round;
      ExpectSame(ours->chunk, theirs.chunk(), cut.pieces());
      ++accepted;
    } else {
      ASSERT_TRUE(!valid || beyond || theirs.chunk().prefix_digest().empty())
          << round << ours.status();
      ++refused;
    }
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 1000);
}

TEST_F(WireTest, RefusesWhatItMust) {
  pb::PromptChunk chunk;
  for (size_t i = 0; i <= kBlockTokens; ++i) chunk.add_tokens(1);
  std::string message = chunk.SerializeAsString();
  ByteView whole = AsBytes(message);
  EXPECT_EQ(ParseChunk(Pieces(&whole, 1)).status().code(), absl::StatusCode::kInvalidArgument);

  message = std::string("\x82\x01\x02zz", 5);  // prefix_digest of two bytes
  whole = AsBytes(message);
  EXPECT_EQ(ParseChunk(Pieces(&whole, 1)).status().code(), absl::StatusCode::kInvalidArgument);

  message = std::string("\x12\x01\xff", 3);  // partition_key that is not UTF-8
  whole = AsBytes(message);
  const absl::Status status = ParseChunk(Pieces(&whole, 1)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("UTF-8"));

  message = std::string(400, '\x0b');  // groups nested without end
  whole = AsBytes(message);
  EXPECT_FALSE(ParseChunk(Pieces(&whole, 1)).ok());
}

TEST(Utf8, FollowsTheStandard) {
  for (const char* good :
       {"", "plain", "\xc3\xb6", "\xe2\x82\xac", "\xf0\x9f\x92\xbe", "\xed\x9f\xbf"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
                          "\xe2\x82", "\xf8\x88\x80\x80\x80", "a\xc3z"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
  // Wherever it stands in a long text.
  for (size_t at = 0; at < 40; ++at) {
    std::string text(40, 'x');
    EXPECT_TRUE(IsUtf8(text));
    text[at] = '\xff';
    EXPECT_FALSE(IsUtf8(text)) << at;
    text.replace(at, 1, "\u00e9");
    EXPECT_TRUE(IsUtf8(text)) << at;
  }
}

}  // namespace
}  // namespace kvstore::wire
