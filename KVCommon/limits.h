// Every limit of the protocol that both sides know.
#ifndef KVCOMMON_LIMITS_H_
#define KVCOMMON_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace kvstore {

using Token = int64_t;

inline constexpr size_t kBlockTokens = 128;

// gRPC refuses a longer message before we see it.
inline constexpr size_t kMaxMessageBytes = 100u << 20;
inline constexpr size_t kMaxAdminMessageBytes = kMaxMessageBytes + 4096;  // such a chunk, and more
// Leaves room for the tokens and names that travel beside a buffer.
inline constexpr size_t kMaxBufferBytes = 96u << 20;
// Of one Lookup: 4 million; today's longest contexts have 1 to 2.
inline constexpr size_t kMaxPromptTokens = 4u << 20;
// Of any one string field: resource, container, partition, completion id, location.
inline constexpr size_t kMaxNameBytes = 1024;
// Of an account's and of a container's name: they are part of every block's name in storage.
inline constexpr size_t kMaxAccountBytes = 128;
// Of a token that says who calls. gRPC takes 8 KiB of metadata.
inline constexpr size_t kMaxTokenBytes = 4096;
// Requests of one StreamingRead that are fetched at a time.
inline constexpr size_t kStreamWindow = 32;

// gRPC transport settings, the same on both sides: larger frames and windows are worth 1.2 x at
// 1.2 MB a message.
inline constexpr int kStreamWindowBytes = 64 << 20;
inline constexpr int kMaxFrameBytes = (16 << 20) - 1;  // HTTP/2's own bound
inline constexpr int kWriteBufferBytes = 8 << 20;

}  // namespace kvstore

#endif  // KVCOMMON_LIMITS_H_
