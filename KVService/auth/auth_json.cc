#include "KVService/auth/auth_json.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"
#include "KVService/accounts/account_name.h"
#include "KVService/accounts/json_check.h"
#include "KVService/accounts/json_fields.h"

namespace kvstore {
namespace {

using nlohmann::json;

std::string ItemOf(const std::string& place, size_t i) { return fmt::format("{}[{}]", place, i); }

// The list `key` of `object`, of 1 to `most` items; `where_absent` says what its absence means.
absl::StatusOr<const json*> List(const json& object, const std::string& key,
                                 const std::string& place, size_t most,
                                 const std::string& where_absent) {
  const auto it = object.find(key);
  if (it == object.end()) return WrongField(place + "." + key, "is missing; " + where_absent);
  if (!it->is_array()) return WrongField(place + "." + key, "must be a list");
  if (it->empty()) return WrongField(place + "." + key, "is empty; " + where_absent);
  if (it->size() > most) {
    return WrongField(place + "." + key,
                      fmt::format("has {} items, more than the {} allowed", it->size(), most));
  }
  return &*it;
}

// The texts of a list, each of 1 to `most_bytes`.
absl::StatusOr<std::vector<std::string>> Texts(const json& list, const std::string& place,
                                               size_t most_bytes) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string() || list[i].get_ref<const std::string&>().empty()) {
      return WrongField(ItemOf(place, i), "must be a text that is not empty");
    }
    texts.push_back(list[i].get<std::string>());
    if (texts.back().size() > most_bytes) {
      return WrongField(ItemOf(place, i), fmt::format("has more than {} bytes", most_bytes));
    }
  }
  return texts;
}

absl::StatusOr<std::vector<std::string>> RuleNames(const json& rule, const std::string& key,
                                                   const std::string& place) {
  KV_ASSIGN_OR_RETURN(const json* list,
                      List(rule, key, place, kMaxNamesOfRule, R"(["*"] stands for all)"));
  return Texts(*list, place + "." + key, kMaxNameBytes);
}

absl::Status ParseAllow(const json& object, const std::string& place, Rule* rule) {
  const std::string hint = R"(give "read", "write" or both)";
  KV_ASSIGN_OR_RETURN(const json* list, List(object, "allow", place, 2, hint));
  KV_ASSIGN_OR_RETURN(const auto rights, Texts(*list, place + ".allow", kMaxNameBytes));
  for (size_t i = 0; i < rights.size(); ++i) {
    bool* right = rights[i] == "read" ? &rule->read : rights[i] == "write" ? &rule->write : nullptr;
    if (right == nullptr || *right) return WrongField(ItemOf(place + ".allow", i), hint);
    *right = true;
  }
  return absl::OkStatus();
}

// A limit of the object's, where it is there.
absl::Status ParseLimit(const json& object, const std::string& name, const std::string& place,
                        int64_t* value) {
  const auto its = object.find(name);
  if (its == object.end()) return absl::OkStatus();
  if (!its->is_number_integer() || *its < 1 || *its > kMaxTenantLimit) {
    return WrongField(place + "." + name,
                      fmt::format("must be a whole number from 1 to {}; leave it out for no limit",
                                  kMaxTenantLimit));
  }
  *value = its->get<int64_t>();
  return absl::OkStatus();
}

absl::StatusOr<Rule> ParseRule(const json& object, const std::string& place) {
  KV_RETURN_IF_ERROR(
      CheckKeys(object, place, {"accounts", "containers", "partitions", "allow", "stored_bytes"}));
  Rule rule;
  KV_ASSIGN_OR_RETURN(const auto accounts, RuleNames(object, "accounts", place));
  for (size_t i = 0; i < accounts.size(); ++i) {
    NamePattern pattern = NamePattern::Parse(accounts[i]);
    if (!pattern.prefix) {  // as requests are read: by URL or name
      absl::StatusOr<std::string> name = AccountNameOf(pattern.text);
      if (!name.ok()) {
        return WrongField(ItemOf(place + ".accounts", i), std::string(name.status().message()));
      }
      pattern.text = *std::move(name);
    }
    rule.accounts.push_back(std::move(pattern));
  }
  KV_ASSIGN_OR_RETURN(const auto containers, RuleNames(object, "containers", place));
  for (const std::string& name : containers) rule.containers.push_back(NamePattern::Parse(name));
  KV_ASSIGN_OR_RETURN(const auto partitions, RuleNames(object, "partitions", place));
  for (const std::string& name : partitions) {
    rule.partitions.push_back(PartitionPattern::Parse(name));
  }
  KV_RETURN_IF_ERROR(ParseAllow(object, place, &rule));
  KV_RETURN_IF_ERROR(ParseLimit(object, "stored_bytes", place, &rule.stored_bytes));
  if (rule.stored_bytes != 0 && !rule.write) {
    return WrongField(place + ".stored_bytes", "is for a rule that allows \"write\"");
  }
  return rule;
}

absl::StatusOr<Digest> ParseTokenHash(const std::string& text, const std::string& place) {
  Digest digest;
  std::string lower = text;
  for (char& c : lower) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  // The text may be the token itself, by mistake: it is not repeated.
  if (!FromHex(lower, digest)) {
    return WrongField(place, R"(must be the token's SHA-256, 64 hex digits: )"
                             R"(printf %s "$token" | sha256sum)");
  }
  if (digest == Sha256(ByteView())) {
    return WrongField(place, "is the SHA-256 of nothing: the token was empty when it was hashed");
  }
  return digest;
}

absl::Status ParseProofs(const json& object, const std::string& place, Identity* identity) {
  const bool tokens = object.contains("token_sha256");
  const bool certificates = object.contains("certificate_names");
  if (!tokens && !certificates) {
    return WrongField(place, "has neither token_sha256 nor certificate_names: nobody can be it");
  }
  if (tokens) {
    KV_ASSIGN_OR_RETURN(const json* list, List(object, "token_sha256", place, kMaxTokensOfIdentity,
                                               "leave it out where there is no token"));
    const std::string its_place = place + ".token_sha256";
    for (size_t i = 0; i < list->size(); ++i) {
      const std::string item = ItemOf(its_place, i);
      if (!(*list)[i].is_string()) return WrongField(item, "must be a text");
      KV_ASSIGN_OR_RETURN(Digest digest, ParseTokenHash((*list)[i].get<std::string>(), item));
      identity->tokens.push_back(digest);
    }
  }
  if (certificates) {
    KV_ASSIGN_OR_RETURN(const json* list,
                        List(object, "certificate_names", place, kMaxCertificateNamesOfIdentity,
                             "leave it out where there is no certificate"));
    const std::string its_place = place + ".certificate_names";
    KV_ASSIGN_OR_RETURN(identity->certificate_names, Texts(*list, its_place, kMaxNameBytes));
    for (size_t i = 0; i < identity->certificate_names.size(); ++i) {
      if (identity->certificate_names[i].find('*') == std::string::npos) continue;
      return WrongField(ItemOf(its_place, i), "names of certificates are exact, without *");
    }
  }
  return absl::OkStatus();
}

absl::Status ParseLimits(const json& identity, const std::string& place, TenantLimits* limits) {
  const auto object = identity.find("limits");
  if (object == identity.end()) return absl::OkStatus();
  const std::string its_place = place + ".limits";
  KV_RETURN_IF_ERROR(
      CheckKeys(*object, its_place, {"calls", "calls_per_second", "bytes_per_second"}));
  KV_RETURN_IF_ERROR(ParseLimit(*object, "calls", its_place, &limits->calls));
  KV_RETURN_IF_ERROR(ParseLimit(*object, "calls_per_second", its_place, &limits->calls_per_second));
  return ParseLimit(*object, "bytes_per_second", its_place, &limits->bytes_per_second);
}

absl::StatusOr<Identity> ParseIdentity(const json& object, const std::string& place) {
  KV_RETURN_IF_ERROR(
      CheckKeys(object, place, {"name", "token_sha256", "certificate_names", "rules", "limits"}));
  Identity identity;
  KV_ASSIGN_OR_RETURN(identity.name, TextField(object, "name", place));
  if (identity.name.empty()) return WrongField(place + ".name", "is missing");
  if (identity.name.size() > kMaxIdentityNameBytes) {
    return WrongField(place + ".name",
                      fmt::format("has more than {} bytes", kMaxIdentityNameBytes));
  }
  KV_RETURN_IF_ERROR(ParseProofs(object, place, &identity));
  KV_RETURN_IF_ERROR(ParseLimits(object, place, &identity.limits));
  const auto given = object.find("rules");
  if (given != object.end() && given->is_array() && given->empty()) return identity;
  KV_ASSIGN_OR_RETURN(const json* rules, List(object, "rules", place, kMaxRulesOfIdentity,
                                              "without a rule all is denied"));
  for (size_t i = 0; i < rules->size(); ++i) {
    KV_ASSIGN_OR_RETURN(Rule rule, ParseRule((*rules)[i], ItemOf(place + ".rules", i)));
    identity.rules.push_back(std::move(rule));
  }
  return identity;
}

// What only one identity can have.
struct Taken {
  std::set<std::string> names;
  std::set<Digest> tokens;
  std::set<std::string> certificate_names;

  absl::Status Add(const Identity& identity, const std::string& place) {
    if (!names.insert(identity.name).second) {
      return WrongField(place + ".name",
                        fmt::format("'{}' is given twice", ShownText(identity.name)));
    }
    for (size_t i = 0; i < identity.tokens.size(); ++i) {
      if (tokens.insert(identity.tokens[i]).second) continue;
      return WrongField(ItemOf(place + ".token_sha256", i), "this token is given twice");
    }
    for (size_t i = 0; i < identity.certificate_names.size(); ++i) {
      if (certificate_names.insert(identity.certificate_names[i]).second) continue;
      return WrongField(ItemOf(place + ".certificate_names", i), "this name is given twice");
    }
    return absl::OkStatus();
  }
};

}  // namespace

absl::StatusOr<std::vector<Identity>> ParseAuth(std::string_view text) {
  KV_RETURN_IF_ERROR(CheckJson(text));
  const json root = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  KV_RETURN_IF_ERROR(CheckKeys(root, "the file", {"identities"}));
  const auto list = root.find("identities");
  if (list == root.end() || !list->is_array()) return WrongField("identities", "must be a list");
  if (list->size() > kMaxIdentities) {
    return WrongField("identities", fmt::format("has {} items, more than the {} allowed",
                                                list->size(), kMaxIdentities));
  }
  std::vector<Identity> identities;
  Taken taken;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string place = ItemOf("identities", i);
    KV_ASSIGN_OR_RETURN(Identity identity, ParseIdentity((*list)[i], place));
    KV_RETURN_IF_ERROR(taken.Add(identity, place));
    identities.push_back(std::move(identity));
  }
  return identities;
}

}  // namespace kvstore
