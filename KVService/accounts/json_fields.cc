#include "KVService/accounts/json_fields.h"

#include <spdlog/fmt/fmt.h>

#include <nlohmann/json.hpp>

namespace kvstore {

absl::Status WrongField(const std::string& place, const std::string& what) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", place, what));
}

std::string ShownText(std::string text) {
  if (text.size() > 64) text.resize(64);
  for (char& c : text) {
    if (c < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

absl::Status CheckKeys(const nlohmann::json& object, const std::string& place,
                       const std::set<std::string>& known) {
  if (!object.is_object()) return WrongField(place, "must be an object");
  for (const auto& [key, value] : object.items()) {
    if (known.count(key) == 0) {
      return WrongField(place + "." + ShownText(key),
                        fmt::format("unknown key; known are {}", fmt::join(known, ", ")));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> TextField(const nlohmann::json& object, const std::string& key,
                                      const std::string& place) {
  const auto it = object.find(key);
  if (it == object.end()) return std::string();
  if (!it->is_string() || it->get_ref<const std::string&>().empty()) {
    return WrongField(place + "." + key, "must be a text that is not empty");
  }
  return it->get<std::string>();
}

}  // namespace kvstore
