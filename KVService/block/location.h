// Locations: what Lookup hands out and Read takes back.
//
//   base64url( partition digest 16 | digest 32 | tokens crc 4 | hash 8 | MAC 12 ), 96 characters
//
// A location carries all that Read needs, with no index. The MAC covers the account and container
// too, so that none can be made up, changed into another partition's, or used with another
// container. SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012), cut to 96, under a
// key that never leaves the storage.
//
// Clients read the two digests, so that all of them ask one server for a block, and trust nothing
// in it: what the first 48 bytes are stays as it is.
#ifndef KVSERVICE_BLOCK_LOCATION_H_
#define KVSERVICE_BLOCK_LOCATION_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "KVService/block/block_id.h"

namespace kvstore {

using LocationText = std::array<char, 96>;
inline std::string_view AsText(const LocationText& text) { return {text.data(), text.size()}; }

// The partition that a text would be a location of, were it one: nothing but Decode tells that.
// nullopt where it cannot be one.
std::optional<PartitionDigest> ClaimedPartition(std::string_view location);

// Thread-safe.
class LocationCodec {
 public:
  using Key = std::array<uint8_t, 16>;

  explicit LocationCodec(const Key& key) : key_(key) {}

  // Whether both have one key.
  bool operator==(const LocationCodec&) const = default;

  LocationText Encode(const Container& container, const NamedBlock& block) const;

  // nullopt for anything that Encode did not make for this container with this key.
  std::optional<NamedBlock> Decode(const Container& container, std::string_view location) const;

 private:
  Key key_;
};

}  // namespace kvstore

#endif  // KVSERVICE_BLOCK_LOCATION_H_
