#include "KVService/store/chunk_identity.h"

#include <spdlog/fmt/fmt.h>

#include <cstring>

namespace kvstore {

absl::Status ValidateChunk(const wire::Chunk& chunk) {
  if (chunk.tokens.size() != kBlockTokens) {
    return absl::InvalidArgumentError(fmt::format("chunk.tokens must be exactly {} tokens, got {}",
                                                  kBlockTokens, chunk.tokens.size()));
  }
  if (chunk.buffer.size == 0) {
    return absl::InvalidArgumentError("chunk.buffer is empty: there is nothing to store");
  }
  if (chunk.buffer.size > kMaxBufferBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "chunk.buffer has {} bytes, more than the {} allowed", chunk.buffer.size, kMaxBufferBytes));
  }
  if (chunk.partition_key.size() > kMaxNameBytes || chunk.completion_id.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(fmt::format(
        "chunk.partition_key or chunk.completion_id is longer than {} bytes", kMaxNameBytes));
  }
  return absl::OkStatus();
}

BlockVersion VersionOf(const wire::Chunk& chunk) {
  const BlockTokens tokens = std::span(chunk.tokens).first<kBlockTokens>();
  BlockVersion version;
  if (chunk.prefix_digest) {
    version.digest = *chunk.prefix_digest;
  } else if (chunk.parent_hash == 0) {
    version.digest = PrefixDigest(std::nullopt, tokens);  // a first block is its whole prefix
  } else {
    version.digest = ParentDigest(chunk.parent_hash, tokens);
  }
  version.tokens_crc = TokensCrc(tokens);
  version.hash = chunk.hash;
  return version;
}

std::string EncodeAttributes(const BlockAttributes& attributes) {
  std::string bytes(17, '\0');
  std::memcpy(bytes.data(), &attributes.parent_hash, 8);
  std::memcpy(bytes.data() + 8, &attributes.created_us, 8);
  bytes[16] = attributes.by_parent ? 1 : 0;
  return bytes;
}

bool MayReturn(std::string_view attributes) {
  const std::optional<BlockAttributes> block = DecodeAttributes(attributes);
  return !block || !block->by_parent;  // what is no block is a key or a mark, and harmless
}

std::optional<BlockAttributes> DecodeAttributes(std::string_view bytes) {
  if (bytes.size() != 17 || static_cast<unsigned char>(bytes[16]) > 1) return std::nullopt;
  BlockAttributes attributes;
  std::memcpy(&attributes.parent_hash, bytes.data(), 8);
  std::memcpy(&attributes.created_us, bytes.data() + 8, 8);
  attributes.by_parent = bytes[16] == 1;
  return attributes;
}

}  // namespace kvstore
