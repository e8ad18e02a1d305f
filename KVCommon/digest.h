// The digests that prove what a block is: SHA-256 over tokens, CRC-32C over bytes.
#ifndef KVCOMMON_DIGEST_H_
#define KVCOMMON_DIGEST_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/limits.h"
#include "KVCommon/slice.h"

namespace kvstore {

using Digest = std::array<uint8_t, 32>;
using BlockTokens = std::span<const Token, kBlockTokens>;

// SHA-256 (FIPS 180-4) of the concatenation of `parts`. Thread-safe.
Digest Sha256(std::span<const ByteView> parts);
Digest Sha256(ByteView bytes);

// The prefix digest of a block: SHA-256(block) for the first of a prompt (`previous` empty),
// SHA-256(previous || block) behind it; tokens as little-endian int64.
Digest PrefixDigest(const std::optional<Digest>& previous, BlockTokens block);

// The prefix digests of all full blocks of `tokens`, in order.
std::vector<Digest> PrefixDigests(std::span<const Token> tokens);

// SHA-256(parent hash || block), both little-endian: names a block whose writer gave no prefix
// digest. Never equal to a prefix digest, since what is hashed differs in length.
Digest ParentDigest(uint64_t parent_hash, BlockTokens block);

// CRC-32C (Castagnoli, RFC 3720), by the processor's instructions. `seed` is the CRC of the bytes
// before these, 0 for none.
uint32_t Crc32c(ByteView bytes, uint32_t seed = 0);

// CRC-32C of the block's tokens as little-endian int64.
uint32_t TokensCrc(BlockTokens block);

// Lower-case hexadecimal, and back: false unless `text` is exactly 2 x size hex digits.
std::string ToHex(std::span<const uint8_t> bytes);
bool FromHex(std::string_view text, std::span<uint8_t> bytes);

}  // namespace kvstore

#endif  // KVCOMMON_DIGEST_H_
