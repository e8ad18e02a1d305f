#include "KVService/block/block_id.h"

#include <algorithm>

namespace kvstore {
namespace {

std::array<uint8_t, 16> First16(const Digest& digest) {
  std::array<uint8_t, 16> first;
  std::copy_n(digest.begin(), first.size(), first.begin());
  return first;
}

// Big-endian, so that the text reads as the number does.
template <size_t kBytes>
std::string NumberToHex(uint64_t value) {
  std::array<uint8_t, kBytes> bytes;
  for (size_t i = kBytes; i > 0; --i, value >>= 8) bytes[i - 1] = static_cast<uint8_t>(value);
  return ToHex(bytes);
}

template <size_t kBytes>
bool NumberFromHex(std::string_view text, uint64_t* value) {
  std::array<uint8_t, kBytes> bytes;
  if (!FromHex(text, bytes)) return false;
  *value = 0;
  for (uint8_t byte : bytes) *value = *value << 8 | byte;
  return true;
}

}  // namespace

PartitionDigest DigestPartition(std::string_view partition) {
  return First16(Sha256(AsBytes(partition)));
}

Space SpaceOf(const Container& container, const PartitionDigest& partition) {
  // Lengths first, so that no two pairs of names run together into the same bytes.
  const uint64_t lengths[] = {container.account.size(), container.name.size()};
  const ByteView parts[] = {std::as_bytes(std::span(lengths)), AsBytes(container.account),
                            AsBytes(container.name), std::as_bytes(std::span(partition))};
  return First16(Sha256(parts));
}

std::string BlobNameOf(const PartitionDigest& partition, const BlockVersion& version) {
  std::string name = ToHex(partition);
  name.reserve(32 + 1 + 64 + 8 + 1 + 16);
  name += '/';
  name += ToHex(version.digest);
  name += NumberToHex<4>(version.tokens_crc);
  name += '-';
  name += NumberToHex<8>(version.hash);
  return name;
}

std::optional<NamedBlock> ParseBlobName(std::string_view name) {
  if (name.size() != 32 + 1 + 64 + 8 + 1 + 16 || name[32] != '/' || name[105] != '-') {
    return std::nullopt;
  }
  NamedBlock block;
  uint64_t crc, hash;
  if (!FromHex(name.substr(0, 32), block.partition) ||
      !FromHex(name.substr(33, 64), block.version.digest) ||
      !NumberFromHex<4>(name.substr(97, 8), &crc) || !NumberFromHex<8>(name.substr(106), &hash)) {
    return std::nullopt;
  }
  block.version.tokens_crc = static_cast<uint32_t>(crc);
  block.version.hash = hash;
  return block;
}

}  // namespace kvstore
