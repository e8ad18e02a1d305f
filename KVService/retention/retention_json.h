// The retention file's text, understood.
//
//   {"rules": [{"account": "acct", "container": "box", "partition": "llama-70b", "ttl": "12h"},
//              {"account": "acct", "ttl": "7d"}],
//    "capacities": [{"account": "acct", "container": "box", "bytes": 10000000000000}]}
//
// A block goes once it was written longer ago than `ttl` (s, m, h or d) of the first rule that fits
// it; what a rule leaves out fits all. Where no rule fits it stays. A container that has more bytes
// than its capacity gives up what is least worth keeping. Either list may be left out.
#ifndef KVSERVICE_RETENTION_RETENTION_JSON_H_
#define KVSERVICE_RETENTION_RETENTION_JSON_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/block/block_id.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore {

inline constexpr size_t kMaxRetentionFileBytes = 4 << 20;
inline constexpr size_t kMaxRetentionRules = 4096;  // and capacities

struct RetentionRules {
  struct Rule {
    std::string account;    // empty: any
    std::string container;  // likewise
    std::optional<PartitionDigest> partition;
    absl::Duration ttl;
  };
  struct Capacity {
    Container container;
    uint64_t bytes = 0;
  };
  std::vector<Rule> rules;
  std::vector<Capacity> capacities;

  // nullopt: it stays.
  std::optional<absl::Duration> TtlOf(const Container& container,
                                      const PartitionDigest& partition) const;
};

// INVALID_ARGUMENT for what is no JSON, by line and column, for keys that are unknown or given
// twice, and for values that make no sense, by their place ("rules[1].ttl").
absl::StatusOr<RetentionRules> ParseRetention(std::string_view json);

}  // namespace kvstore

#endif  // KVSERVICE_RETENTION_RETENTION_JSON_H_
