// Who may call, how each proves to be that, and what each may do: an unchangeable table, made from
// the auth file (auth_json.h). Nothing is allowed that no rule allows.
#ifndef KVSERVICE_AUTH_IDENTITIES_H_
#define KVSERVICE_AUTH_IDENTITIES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "KVCommon/digest.h"
#include "KVService/admission/limits.h"
#include "KVService/block/block_id.h"

namespace kvstore {

// A name, or with `prefix` the beginning of names; the empty prefix is every name.
struct NamePattern {
  std::string text;
  bool prefix = false;

  // "acct": that name; "acct*": all that begin so; "*": all.
  static NamePattern Parse(std::string_view text);
  bool Matches(std::string_view name) const {
    return prefix ? name.starts_with(text) : name == text;
  }
};

struct PartitionPattern {
  NamePattern name;
  PartitionDigest digest{};  // of an exact name

  static PartitionPattern Parse(std::string_view text);
};

enum class Right : uint8_t { kRead, kWrite };

struct Rule {
  std::vector<NamePattern> accounts;
  std::vector<NamePattern> containers;
  std::vector<PartitionPattern> partitions;
  bool read = false;
  bool write = false;
  int64_t stored_bytes = 0;  // that each of the partitions may hold; 0: no limit

  bool Covers(Right right, const Container& container) const;
  bool Covers(Right right, const Container& container, std::string_view partition) const;
};

// Whether a block may be read, of whose partition the digest alone is known: a location has no
// name.
enum class DigestVerdict : uint8_t {
  kNo,
  kYes,
  kByName,  // a rule names the beginnings of partitions: the block's own name must be asked
};

struct Identity {
  std::string name;
  std::vector<Digest> tokens;                  // SHA-256 of each token that is this identity's
  std::vector<std::string> certificate_names;  // exact, as DNS or URI names of the certificate
  std::vector<Rule> rules;
  TenantLimits limits;

  // None of these allocates.
  bool May(Right right, const Container& container, std::string_view partition) const;
  // The most that the partition may hold, by what lets this identity write there; 0: no limit.
  int64_t StoredBytes(const Container& container, std::string_view partition) const;
  // In some partition of the container.
  bool MaySomewhere(Right right, const Container& container) const;
  DigestVerdict MayRead(const Container& container, const PartitionDigest& partition) const;
};

// Thread-safe, since nothing changes.
class Identities {
 public:
  // REQUIRES: no name, token or certificate name is given twice (ParseAuth sees to it).
  explicit Identities(std::vector<Identity> identities);
  Identities(const Identities&) = delete;  // its tables point into it
  Identities& operator=(const Identities&) = delete;

  // Null where nobody has that token.
  //
  // In constant time as far as it matters: the token is hashed first, and what is searched is
  // SHA-256 digests by binary search. Where the search goes depends on the stored digests and on
  // that of the token presented, whose bits nobody can choose without trying 2^n tokens for n of
  // them; and who learned a digest in full could not present it, since tokens have too much entropy
  // to be found from their hash. The digest found is compared whole, by CRYPTO_memcmp.
  const Identity* ByToken(std::string_view token) const;

  // Null where no identity has that name. The certificate was verified by TLS; its names are no
  // secret.
  const Identity* ByCertificateName(std::string_view name) const;

  const std::vector<Identity>& all() const { return identities_; }

 private:
  struct Token {
    Digest digest;
    const Identity* identity;
  };
  struct CertificateName {
    std::string_view name;
    const Identity* identity;
  };

  const std::vector<Identity> identities_;
  std::vector<Token> tokens_;                       // by digest
  std::vector<CertificateName> certificate_names_;  // by name
};

}  // namespace kvstore

#endif  // KVSERVICE_AUTH_IDENTITIES_H_
