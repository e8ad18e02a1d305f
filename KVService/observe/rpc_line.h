// The form of the console metrics: one JSON line a call.
//
//   {"time":"2026-01-31T12:00:00.123Z","rpc":"Read","code":"OK","storage_latency_us":0,
//    "total_latency_us":41,"overhead_us":41,"blocks":1,"found":1,"bytes":1258291,
//    "completion_id":"chat-7","identity":"team-a","request_id":"1f0c…"}
//
// blocks: asked for or brought; found: of those, the ones that were there; bytes: of buffers and
// chunks moved; identity: who called, where the server asks (--auth); request_id: the caller's, or
// else the server's own; trace_id, beside it: of the trace that the call is part of, if any. A
// StreamingRead is one line, with the sums of its blocks.
#ifndef KVSERVICE_OBSERVE_RPC_LINE_H_
#define KVSERVICE_OBSERVE_RPC_LINE_H_

#include <chrono>
#include <string>

#include "KVService/observe/rpc_record.h"

namespace kvstore {

// Appends the line, with its newline. Allocates nothing where `line` has room, but for a caller's
// text that is not plain ASCII. REQUIRES: a time between the years 1970 and 9999.
void AppendRpcLine(const RpcRecord& record, std::chrono::system_clock::time_point time,
                   std::string* line);

}  // namespace kvstore

#endif  // KVSERVICE_OBSERVE_RPC_LINE_H_
