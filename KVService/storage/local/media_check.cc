#include "KVService/storage/local/media_check.h"

#include <memory>
#include <string>
#include <vector>

#include "KVCommon/slice.h"
#include "KVService/storage/local/record.h"

namespace kvstore::local {
namespace {

constexpr size_t kMostSegments = 8;  // that are tried

// A record's head proves a read from the device, past the page cache where that can be; what is a
// hole would be answered without it.
bool ReadsRecordAt(FileSystem* files, Segment& segment, uint64_t offset) {
  Buffer page = Buffer::AllocateForDirectIo(kRecordAlignment);
  if (!segment.DirectFile(files).ReadAt(offset, page.bytes()).ok()) return false;
  return ParseRecordHead(AsText(ByteView(page.bytes())), segment.id(), offset).ok();
}

}  // namespace

bool IsLostOnMedia(const SegmentSet& segments, FileSystem* files, Segment& segment, uint64_t offset,
                   uint64_t size) {
  Buffer again = Buffer::AllocateForDirectIo(size);
  if (segment.DirectFile(files).ReadAt(offset, again.bytes()).ok()) return false;
  if (ReadsRecordAt(files, segment, offset + size)) return true;
  for (const std::shared_ptr<Segment>& other : segments.First(kMostSegments)) {
    if (other->id() == segment.id() && offset == 0) continue;
    if (ReadsRecordAt(files, *other, 0)) return true;
  }
  return false;
}

}  // namespace kvstore::local
