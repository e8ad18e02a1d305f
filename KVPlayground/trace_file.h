// Reads traces in Mooncake's format, JSON lines:
//   {"timestamp": ms, "input_length": n, "output_length": n, "hash_ids": [..]}
// Each hash id stands for one trace block of a fixed number of tokens (512 in Mooncake's); two
// requests whose first k ids are equal have their first k trace blocks in common.
#ifndef KVPLAYGROUND_TRACE_FILE_H_
#define KVPLAYGROUND_TRACE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/limits.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore::playground {

// Longer prompts than any model takes are taken for a mistake.
inline constexpr int64_t kMaxPromptTokens = int64_t{16} << 20;
inline constexpr size_t kMaxTraceLineBytes = size_t{16} << 20;

struct TraceRequest {
  int64_t timestamp_ms = 0;
  size_t input_length = 0;  // tokens
  size_t first_id = 0;      // its hash ids: [first_id, first_id + id_count) of Trace::ids
  size_t id_count = 0;      // enough for input_length
  size_t line = 0;          // from 1
};

struct Trace {
  std::vector<TraceRequest> requests;
  std::vector<uint64_t> ids;

  std::span<const uint64_t> IdsOf(const TraceRequest& request) const {
    return std::span(ids).subspan(request.first_id, request.id_count);
  }
};

// Appends the request of one line. INVALID_ARGUMENT with the key that is wrong, or with line and
// column within the line where it is no JSON.
absl::Status ParseTraceLine(std::string_view text, size_t block_tokens, Trace* trace);

// The first `limit` requests of a file (0: all); empty lines are passed over. Messages begin with
// path and line: trace.jsonl:17: hash_ids[3]: expected …
absl::StatusOr<Trace> ReadTraceFile(const std::string& path, size_t block_tokens, size_t limit);

// The tokens of a request, input_length of them: each is derived from its hash id and its place in
// the trace block, the last of which may be cut short. REQUIRES: a request of `trace`.
void ExpandTokens(const Trace& trace, const TraceRequest& request, size_t block_tokens,
                  std::vector<Token>* tokens);

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_TRACE_FILE_H_
