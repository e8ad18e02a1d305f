// What the readers of JSON configuration share: places in messages, known keys, texts. For the
// sources of modules that read such files; the JSON library's types go no further.
#ifndef KVSERVICE_ACCOUNTS_JSON_FIELDS_H_
#define KVSERVICE_ACCOUNTS_JSON_FIELDS_H_

#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore {

// INVALID_ARGUMENT that says where ("accounts[1].name") and what.
absl::Status WrongField(const std::string& place, const std::string& what);

// A text of the file's that is not ours, on one line and not long, for a message.
std::string ShownText(std::string text);

// INVALID_ARGUMENT where `object` is none, or has a key that is not `known`.
absl::Status CheckKeys(const nlohmann::json& object, const std::string& place,
                       const std::set<std::string>& known);

// Empty where the key is absent; INVALID_ARGUMENT where it is there and no text, or empty.
absl::StatusOr<std::string> TextField(const nlohmann::json& object, const std::string& key,
                                      const std::string& place);

}  // namespace kvstore

#endif  // KVSERVICE_ACCOUNTS_JSON_FIELDS_H_
