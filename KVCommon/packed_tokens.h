// A prompt's tokens as protobuf packs them, one varint behind another. A server that knows a block
// already has only to compare these bytes: a third of what the tokens take.
#ifndef KVCOMMON_PACKED_TOKENS_H_
#define KVCOMMON_PACKED_TOKENS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "KVCommon/limits.h"
#include "KVCommon/slice.h"

namespace kvstore {

// Not thread-safe.
class PackedTokens {
 public:
  PackedTokens() = default;
  explicit PackedTokens(std::span<const Token> tokens);

  size_t size() const { return size_; }  // tokens
  bool empty() const { return size_ == 0; }
  size_t blocks() const { return size_ / kBlockTokens; }  // full ones

  // Whole varints, size() of them. Not always the shortest: as the sender wrote them.
  ByteView bytes() const { return AsBytes(bytes_); }
  size_t capacity_bytes() const { return bytes_.capacity(); }

  std::vector<Token> Unpack() const;

  // Empties it, and keeps the memory.
  void Clear();

  // Adds what `append` appends to the bytes. False, and of no use until it is cleared, where
  // `append` gives false or what it appended are no whole varints of at most ten bytes.
  template <typename Append>
  bool Add(Append&& append) {
    const size_t before = bytes_.size();
    return append(&bytes_) && Count(before);
  }

 private:
  bool Count(size_t begin);

  std::string bytes_;
  size_t size_ = 0;
};

// Unpacks the block that `packed` begins with, and returns the bytes that it takes. REQUIRES: that
// many tokens, of PackedTokens.
size_t UnpackBlock(ByteView packed, std::span<Token, kBlockTokens> into);

}  // namespace kvstore

#endif  // KVCOMMON_PACKED_TOKENS_H_
