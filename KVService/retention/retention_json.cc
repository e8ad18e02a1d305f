#include "KVService/retention/retention_json.h"

#include <spdlog/fmt/fmt.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "KVCommon/limits.h"
#include "KVCommon/status_macros.h"
#include "KVService/accounts/account_name.h"
#include "KVService/accounts/json_check.h"
#include "KVService/accounts/json_fields.h"

namespace kvstore {
namespace {

using nlohmann::json;

constexpr int64_t kMostSeconds = int64_t{100} * 365 * 86400;

absl::StatusOr<absl::Duration> ParseTtl(const std::string& text, const std::string& place) {
  const std::string hint =
      "must be a whole number and s, m, h or d, such as 12h, of a second at "
      "least";
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [unit, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || unit + 1 != end || number < 1) return WrongField(place, hint);
  const int64_t seconds = *unit == 's'   ? 1
                          : *unit == 'm' ? 60
                          : *unit == 'h' ? 3600
                          : *unit == 'd' ? 86400
                                         : 0;
  if (seconds == 0) return WrongField(place, hint);
  if (number > kMostSeconds / seconds) return WrongField(place, "is more than a hundred years");
  return absl::Seconds(number * seconds);
}

// As requests name it; empty where it is absent.
absl::StatusOr<std::string> AccountField(const json& object, const std::string& place) {
  KV_ASSIGN_OR_RETURN(const std::string account, TextField(object, "account", place));
  if (account.empty()) return account;
  absl::StatusOr<std::string> name = AccountNameOf(account);
  if (!name.ok()) return WrongField(place + ".account", std::string(name.status().message()));
  return name;
}

absl::StatusOr<RetentionRules::Rule> ParseRule(const json& object, const std::string& place) {
  KV_RETURN_IF_ERROR(CheckKeys(object, place, {"account", "container", "partition", "ttl"}));
  RetentionRules::Rule rule;
  KV_ASSIGN_OR_RETURN(rule.account, AccountField(object, place));
  KV_ASSIGN_OR_RETURN(rule.container, TextField(object, "container", place));
  KV_ASSIGN_OR_RETURN(const std::string partition, TextField(object, "partition", place));
  if (!partition.empty()) rule.partition = DigestPartition(partition);
  KV_ASSIGN_OR_RETURN(const std::string ttl, TextField(object, "ttl", place));
  if (ttl.empty()) return WrongField(place + ".ttl", "is missing");
  KV_ASSIGN_OR_RETURN(rule.ttl, ParseTtl(ttl, place + ".ttl"));
  return rule;
}

absl::StatusOr<RetentionRules::Capacity> ParseCapacity(const json& object,
                                                       const std::string& place) {
  KV_RETURN_IF_ERROR(CheckKeys(object, place, {"account", "container", "bytes"}));
  RetentionRules::Capacity capacity;
  KV_ASSIGN_OR_RETURN(capacity.container.account, AccountField(object, place));
  KV_ASSIGN_OR_RETURN(capacity.container.name, TextField(object, "container", place));
  if (capacity.container.account.empty()) return WrongField(place + ".account", "is missing");
  if (capacity.container.name.empty()) return WrongField(place + ".container", "is missing");
  const auto bytes = object.find("bytes");
  if (bytes == object.end() || !bytes->is_number_unsigned()) {
    return WrongField(place + ".bytes", "must be a whole number");
  }
  capacity.bytes = bytes->get<uint64_t>();
  return capacity;
}

template <typename Item, typename Parse>
absl::Status ParseList(const json& object, const std::string& key, Parse parse,
                       std::vector<Item>* items) {
  const auto list = object.find(key);
  if (list == object.end()) return absl::OkStatus();
  if (!list->is_array()) return WrongField(key, "must be a list");
  if (list->size() > kMaxRetentionRules) {
    return WrongField(key, fmt::format("has more than {} items", kMaxRetentionRules));
  }
  for (size_t i = 0; i < list->size(); ++i) {
    KV_ASSIGN_OR_RETURN(Item item, parse((*list)[i], fmt::format("{}[{}]", key, i)));
    items->push_back(std::move(item));
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<absl::Duration> RetentionRules::TtlOf(const Container& container,
                                                    const PartitionDigest& partition) const {
  for (const Rule& rule : rules) {
    const bool fits = (rule.account.empty() || rule.account == container.account) &&
                      (rule.container.empty() || rule.container == container.name) &&
                      (!rule.partition || *rule.partition == partition);
    if (fits) return rule.ttl;
  }
  return std::nullopt;
}

absl::StatusOr<RetentionRules> ParseRetention(std::string_view text) {
  KV_RETURN_IF_ERROR(CheckJson(text));
  const json file = json::parse(text, nullptr, /*allow_exceptions=*/false);
  KV_RETURN_IF_ERROR(CheckKeys(file, "the file", {"rules", "capacities"}));
  RetentionRules rules;
  KV_RETURN_IF_ERROR(ParseList(file, "rules", ParseRule, &rules.rules));
  KV_RETURN_IF_ERROR(ParseList(file, "capacities", ParseCapacity, &rules.capacities));
  return rules;
}

}  // namespace kvstore
