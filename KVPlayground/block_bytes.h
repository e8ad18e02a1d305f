// What a block's buffer must hold: bytes that follow from the partition and the prefix digest
// alone.
//
// The digest covers every token up to the block's last, so a buffer that was stored for another
// prefix, another place in it or another partition differs from the first bytes on.
#ifndef KVPLAYGROUND_BLOCK_BYTES_H_
#define KVPLAYGROUND_BLOCK_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "KVCommon/digest.h"

namespace kvstore::playground {

// Names one stream of bytes. The stream is endless, so buffers of any size begin alike.
struct BlockSeed {
  uint64_t start = 0;
  uint64_t salt = 0;
};

BlockSeed SeedOf(std::string_view partition, const Digest& prefix_digest);

// Writes the stream's first bytes.
void FillBlock(const BlockSeed& seed, std::span<std::byte> buffer);

// Where `buffer` first differs from the stream; nothing where it does not. Allocates nothing.
std::optional<size_t> FirstDifference(const BlockSeed& seed, std::span<const std::byte> buffer);

// The stream's byte at `offset`.
std::byte ByteAt(const BlockSeed& seed, size_t offset);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_BLOCK_BYTES_H_
