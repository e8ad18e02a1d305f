#include "KVService/auth/identities.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace kvstore {

NamePattern NamePattern::Parse(std::string_view text) {
  const bool prefix = text.ends_with('*');
  if (prefix) text.remove_suffix(1);
  return {std::string(text), prefix};
}

PartitionPattern PartitionPattern::Parse(std::string_view text) {
  PartitionPattern pattern{NamePattern::Parse(text), {}};
  if (!pattern.name.prefix) pattern.digest = DigestPartition(pattern.name.text);
  return pattern;
}

bool Rule::Covers(Right right, const Container& container) const {
  const auto match = [](const std::vector<NamePattern>& patterns, std::string_view name) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [name](const NamePattern& pattern) { return pattern.Matches(name); });
  };
  return (right == Right::kRead ? read : write) && match(accounts, container.account) &&
         match(containers, container.name);
}

bool Rule::Covers(Right right, const Container& container, std::string_view partition) const {
  return Covers(right, container) && std::any_of(partitions.begin(), partitions.end(),
                                                 [partition](const PartitionPattern& pattern) {
                                                   return pattern.name.Matches(partition);
                                                 });
}

bool Identity::May(Right right, const Container& container, std::string_view partition) const {
  return std::any_of(rules.begin(), rules.end(),
                     [&](const Rule& rule) { return rule.Covers(right, container, partition); });
}

int64_t Identity::StoredBytes(const Container& container, std::string_view partition) const {
  int64_t most = 0;
  for (const Rule& rule : rules) {
    if (!rule.Covers(Right::kWrite, container, partition)) continue;
    if (rule.stored_bytes == 0) return 0;
    most = std::max(most, rule.stored_bytes);
  }
  return most;
}

bool Identity::MaySomewhere(Right right, const Container& container) const {
  return std::any_of(rules.begin(), rules.end(),
                     [&](const Rule& rule) { return rule.Covers(right, container); });
}

DigestVerdict Identity::MayRead(const Container& container,
                                const PartitionDigest& partition) const {
  DigestVerdict verdict = DigestVerdict::kNo;
  for (const Rule& rule : rules) {
    if (!rule.Covers(Right::kRead, container)) continue;
    for (const PartitionPattern& pattern : rule.partitions) {
      const bool all = pattern.name.prefix && pattern.name.text.empty();
      if (all || (!pattern.name.prefix && pattern.digest == partition)) return DigestVerdict::kYes;
      if (pattern.name.prefix) verdict = DigestVerdict::kByName;
    }
  }
  return verdict;
}

Identities::Identities(std::vector<Identity> identities) : identities_(std::move(identities)) {
  for (const Identity& identity : identities_) {
    for (const Digest& digest : identity.tokens) tokens_.push_back({digest, &identity});
    for (const std::string& name : identity.certificate_names) {
      certificate_names_.push_back({name, &identity});
    }
  }
  std::sort(tokens_.begin(), tokens_.end(),
            [](const Token& a, const Token& b) { return a.digest < b.digest; });
  std::sort(certificate_names_.begin(), certificate_names_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
}

const Identity* Identities::ByToken(std::string_view token) const {
  const Digest digest = Sha256(AsBytes(token));
  const auto it =
      std::lower_bound(tokens_.begin(), tokens_.end(), digest,
                       [](const Token& known, const Digest& its) { return known.digest < its; });
  if (it == tokens_.end() || CRYPTO_memcmp(it->digest.data(), digest.data(), digest.size()) != 0) {
    return nullptr;
  }
  return it->identity;
}

const Identity* Identities::ByCertificateName(std::string_view name) const {
  const auto it = std::lower_bound(
      certificate_names_.begin(), certificate_names_.end(), name,
      [](const CertificateName& known, std::string_view its) { return known.name < its; });
  return it == certificate_names_.end() || it->name != name ? nullptr : it->identity;
}

}  // namespace kvstore
