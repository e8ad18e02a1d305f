// The auth file's text, understood.
//
//   {"identities": [{"name": "team-a",
//                    "token_sha256": ["9f86d081884c7d65…"],
//                    "certificate_names": ["spiffe://example.net/team-a", "node1.example.net"],
//                    "rules": [{"accounts": ["acct"], "containers": ["kvstore"],
//                               "partitions": ["llama-70b", "team-a/*"],
//                               "allow": ["read", "write"], "stored_bytes": 500000000000}],
//                    "limits": {"calls": 64, "calls_per_second": 2000,
//                               "bytes_per_second": 1000000000}}]}
//
// An identity has tokens, certificate names or both, several of each for the time of a rotation. A
// token stands here as its SHA-256, in hex: `printf %s "$token" | sha256sum`. A list of a rule must
// hold something; a name that ends in * is the beginning of names, and "*" is all. What no rule
// allows is denied, so that a file without identities denies all. An identity says so by `"rules":
// []`, as those may who only administer a server. `limits` and each of them may be left out: then
// the identity has its share of the server's (admission/limits.h). `stored_bytes`, of a rule that
// allows writing, is the most that each of its partitions may hold; of several such rules the most
// generous counts.
#ifndef KVSERVICE_AUTH_AUTH_JSON_H_
#define KVSERVICE_AUTH_AUTH_JSON_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "KVService/auth/identities.h"
#include "absl/status/statusor.h"

namespace kvstore {

inline constexpr size_t kMaxAuthFileBytes = 4 << 20;
inline constexpr size_t kMaxIdentities = 4096;
inline constexpr size_t kMaxIdentityNameBytes = 128;
inline constexpr size_t kMaxTokensOfIdentity = 16;
inline constexpr size_t kMaxCertificateNamesOfIdentity = 64;
// A call walks the rules of its identity, and a rule's lists.
inline constexpr size_t kMaxRulesOfIdentity = 64;
inline constexpr size_t kMaxNamesOfRule = 256;
inline constexpr int64_t kMaxTenantLimit = int64_t{1} << 50;

// In the file's order. INVALID_ARGUMENT for what is no JSON, by line and column, for keys that are
// unknown or given twice, for values that make no sense or go beyond the limits, by their place
// ("identities[1].rules[0].allow"). No message holds what stands where a hash should.
absl::StatusOr<std::vector<Identity>> ParseAuth(std::string_view json);

}  // namespace kvstore

#endif  // KVSERVICE_AUTH_AUTH_JSON_H_
