// Telling sectors that a device has lost from a device that is away.
#ifndef KVSERVICE_STORAGE_LOCAL_MEDIA_CHECK_H_
#define KVSERVICE_STORAGE_LOCAL_MEDIA_CHECK_H_

#include <cstdint>

#include "KVService/platform/file.h"
#include "KVService/storage/local/segments.h"

namespace kvstore::local {

// For a record that could not be read: whether it is lost, since it cannot be read now either, and
// the device still reads other records. Else all of them may come back. Blocks on the disk.
bool IsLostOnMedia(const SegmentSet& segments, FileSystem* files, Segment& segment, uint64_t offset,
                   uint64_t size);

}  // namespace kvstore::local

#endif  // KVSERVICE_STORAGE_LOCAL_MEDIA_CHECK_H_
