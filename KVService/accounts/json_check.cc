#include "KVService/accounts/json_check.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace kvstore {

namespace {

constexpr size_t kMaxDepth = 16;
constexpr size_t kMaxShownBytes = 64;

// nlohmann's events; false ends the parse.
class Checker : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Checker(std::string_view text) : text_(text) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t) override { return true; }
  bool number_unsigned(uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(nlohmann::json::binary_t&) override { return true; }
  bool start_object(std::size_t) override { return Open(); }
  bool start_array(std::size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    if (keys_.back().insert(name).second) return true;
    error_ = fmt::format("the key \"{}\" is given twice", Shown(name));
    return false;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    // The position is that of the byte behind the one that was read last.
    const std::string_view before = text_.substr(0, position == 0 ? 0 : position - 1);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t newline = before.rfind('\n');
    const size_t column = before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
    error_ = fmt::format("line {}, column {}: this is no JSON", line, column);
    return false;
  }

  const std::string& error() const { return error_; }

 private:
  bool Open() {
    keys_.emplace_back();
    if (keys_.size() <= kMaxDepth) return true;
    error_ = fmt::format("it is nested more than {} deep", kMaxDepth);
    return false;
  }
  bool Close() {
    keys_.pop_back();
    return true;
  }
  static std::string Shown(std::string name) {
    if (name.size() > kMaxShownBytes) name.resize(kMaxShownBytes);
    for (char& c : name) {
      if (c < 0x20 || c == 0x7f) c = '?';
    }
    return name;
  }

  const std::string_view text_;
  std::vector<std::set<std::string>> keys_;  // of the objects and arrays that are open
  std::string error_;
};

}  // namespace

absl::Status CheckJson(std::string_view text) {
  Checker checker(text);
  if (nlohmann::json::sax_parse(text.begin(), text.end(), &checker)) return absl::OkStatus();
  return absl::InvalidArgumentError(checker.error());
}

}  // namespace kvstore
