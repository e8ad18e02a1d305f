// Many varints at a time: a Lookup is thousands of them. Internal to KVCommon.
#ifndef KVCOMMON_WIRE_VARINTS_H_
#define KVCOMMON_WIRE_VARINTS_H_

#include <cstddef>
#include <cstdint>

#include "KVCommon/slice.h"

namespace kvstore::wire {

// How many varints end within the bytes.
size_t CountVarints(ByteView bytes);

// Decodes the varints of `bytes` one behind the other, as far as they end within it, into `values`,
// which has room for CountVarints. Returns the bytes taken; short of the last one that ends where a
// varint is longer than ten bytes, which none may be.
size_t DecodeVarints(ByteView bytes, uint64_t* values);

}  // namespace kvstore::wire

#endif  // KVCOMMON_WIRE_VARINTS_H_
