// The format of one record in a segment file, and of where it is.
//
//   offset, a multiple of 4096
//   +-----------------+-----+------------+------+-------------------------+
//   | header 40 bytes | key | attributes | data | zeros to the next 4 KiB |
//   +-----------------+-----+------------+------+-------------------------+
//
// The header, all integers little-endian:
//    0 u32 magic "KVSR"   4 u16 format version 1   6 u16 key length
//    8 u16 attribute length   10 u16 zero   12 u32 segment   16 u64 offset in the segment
//   24 u64 data length   32 u32 CRC-32C of the data
//   36 u32 CRC-32C of the 36 bytes before, the key and the attributes
// Segment and offset make a record that lies at the wrong place a damaged one.
#ifndef KVSERVICE_STORAGE_LOCAL_RECORD_H_
#define KVSERVICE_STORAGE_LOCAL_RECORD_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "KVCommon/slice.h"
#include "KVService/storage/blob_store.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore::local {

inline constexpr uint64_t kRecordAlignment = Buffer::kDirectAlignment;
inline constexpr uint64_t kRecordHeaderBytes = 40;
inline constexpr size_t kMaxIdBytes = 512;

// account NUL container NUL name: unambiguous, since none of them has a NUL.
std::string KeyOf(const BlobId& id);
// INVALID_ARGUMENT unless the id can be a key.
absl::Status CheckId(const BlobId& id);
// DATA_LOSS if the key is none that KeyOf makes.
absl::StatusOr<BlobId> IdOf(std::string_view key);

// Where a record is and what its header must say: what the metadata keeps of it.
struct RecordLocation {
  uint32_t segment = 0;
  uint64_t offset = 0;
  uint64_t data_size = 0;
  uint32_t crc32c = 0;  // of the data
  std::string attributes;

  bool operator==(const RecordLocation&) const = default;
};

// Bytes from the start of the record to its data, and to the end of its data.
uint64_t DataOffset(size_t key_size, const RecordLocation& location);
uint64_t RecordSize(size_t key_size, const RecordLocation& location);
// RecordSize with the padding: what a record takes of the segment.
uint64_t Footprint(size_t key_size, const RecordLocation& location);

// Header, key and attributes: what is written before the data.
std::string EncodeRecordHead(const std::string& key, const RecordLocation& location);

struct RecordHead {
  std::string key;
  RecordLocation location;
};

// What EncodeRecordHead made, from the bytes at a place of a segment: the first page of them is
// enough. DATA_LOSS unless they begin with a whole head that was written for that very place. The
// data may still be damaged.
absl::StatusOr<RecordHead> ParseRecordHead(std::string_view bytes, uint32_t segment,
                                           uint64_t offset);

// Takes the blob out of the record's bytes (RecordSize of them or more), sharing their memory.
// DATA_LOSS, saying which part, unless every byte of it is as it was written for this key.
absl::StatusOr<Blob> DecodeRecord(const std::string& key, const RecordLocation& location,
                                  const Slice& record);

// The location as the metadata's value:
//   u8 version 1, u32 segment, u64 offset, u64 data length, u32 CRC-32C, the attributes.
std::string EncodeLocation(const RecordLocation& location);
absl::StatusOr<RecordLocation> DecodeLocation(std::string_view value);

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_RECORD_H_
