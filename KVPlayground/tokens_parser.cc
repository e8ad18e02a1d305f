#include "KVPlayground/tokens_parser.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <limits>

namespace kvstore::playground {

bool TokensParser::Fail(const std::string& path, const std::string& what) {
  error_ = path.empty() ? what : fmt::format("{}: {}", path, what);
  return false;
}

std::string TokensParser::Prompt() const {
  // The object at hand is in the list from its opening on.
  const size_t started = prompts_.size() - (at_ == At::kPrompts ? 0 : 1);
  return fmt::format("prompts[{}]", started);
}

std::string TokensParser::Path() const {
  switch (at_) {
    case At::kStart:
      return "";
    case At::kRoot:
      return "prompts";
    case At::kPrompts:
      return Prompt();
    case At::kTokens:
      return fmt::format("{}.tokens[{}]", Prompt(), prompts_.back().size());
    case At::kPrompt:
      break;
  }
  return Prompt() + (key_ == Key::kText     ? ".text"
                     : key_ == Key::kTokens ? ".tokens"
                                            : ".token_count");
}

bool TokensParser::Unexpected(const std::string& got) {
  std::string wanted = "an integer";
  if (at_ == At::kStart || at_ == At::kPrompts) wanted = "an object";
  if (at_ == At::kRoot || (at_ == At::kPrompt && key_ == Key::kTokens)) wanted = "a list";
  if (at_ == At::kPrompt && key_ == Key::kText) wanted = "a string";
  if (at_ == At::kStart) wanted = "an object with the key \"prompts\"";
  return Fail(Path(), fmt::format("expected {}, got {}", wanted, got));
}

bool TokensParser::Scalar(const std::string& text) {
  if (ignored_depth_ > 0) return true;
  const bool of_object = at_ == At::kRoot || at_ == At::kPrompt;
  if (of_object && key_ == Key::kOther) return true;
  return Unexpected(text);
}

bool TokensParser::Integer(int64_t value) {
  if (ignored_depth_ == 0 && at_ == At::kTokens) {
    if (value < 0) return Fail(Path(), fmt::format("a token is 0 or more, got {}", value));
    prompts_.back().push_back(value);
    return true;
  }
  if (ignored_depth_ == 0 && at_ == At::kPrompt && key_ == Key::kTokenCount) {
    token_count_ = value;
    return true;
  }
  return Scalar(std::to_string(value));
}

bool TokensParser::number_unsigned(number_unsigned_t value) {
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return Scalar(fmt::format("{}, which is beyond 64 bits", value));
  }
  return Integer(static_cast<int64_t>(value));
}

bool TokensParser::number_float(number_float_t, const string_t& text) {
  return Scalar(text.size() > 40 ? text.substr(0, 40) + "..." : text);
}

bool TokensParser::string(string_t& value) {
  if (ignored_depth_ == 0 && at_ == At::kPrompt && key_ == Key::kText) return true;
  return Scalar(Quoted(value));
}

bool TokensParser::binary(binary_t&) { return Scalar("binary data"); }

bool TokensParser::Open(const char* kind) {
  const bool of_object = at_ == At::kRoot || at_ == At::kPrompt;
  if (ignored_depth_ == 0 && !(of_object && key_ == Key::kOther)) return Unexpected(kind);
  ++ignored_depth_;
  return true;
}

bool TokensParser::start_object(size_t) {
  if (ignored_depth_ == 0 && at_ == At::kStart) {
    at_ = At::kRoot;
    return true;
  }
  if (ignored_depth_ == 0 && at_ == At::kPrompts) {
    prompts_.emplace_back();
    saw_text_ = saw_tokens_ = false;
    token_count_.reset();
    at_ = At::kPrompt;
    return true;
  }
  return Open("an object");
}

bool TokensParser::key(string_t& value) {
  if (ignored_depth_ > 0) return true;
  key_ = Key::kOther;
  bool seen = false;
  if (at_ == At::kRoot && value == "prompts") {
    key_ = Key::kPrompts;
    seen = std::exchange(saw_prompts_, true);
  } else if (at_ == At::kPrompt && value == "text") {
    key_ = Key::kText;
    seen = std::exchange(saw_text_, true);
  } else if (at_ == At::kPrompt && value == "tokens") {
    key_ = Key::kTokens;
    seen = std::exchange(saw_tokens_, true);
  } else if (at_ == At::kPrompt && value == "token_count") {
    key_ = Key::kTokenCount;
    seen = token_count_.has_value();
  }
  return seen ? Fail(Path(), "the key appears twice") : true;
}

bool TokensParser::end_object() {
  if (ignored_depth_ > 0) {
    --ignored_depth_;
    return true;
  }
  if (at_ == At::kRoot) {
    at_ = At::kStart;
    return saw_prompts_ ? true : Fail("", "the key \"prompts\" is missing");
  }
  if (!saw_text_) return Fail(Prompt(), "the key \"text\" is missing");
  if (!saw_tokens_) return Fail(Prompt(), "the key \"tokens\" is missing");
  if (!token_count_) return Fail(Prompt(), "the key \"token_count\" is missing");
  const size_t tokens = prompts_.back().size();
  if (*token_count_ < 0 || static_cast<uint64_t>(*token_count_) != tokens) {
    return Fail(Prompt() + ".token_count",
                fmt::format("says {}, but there are {} tokens", *token_count_, tokens));
  }
  at_ = At::kPrompts;
  return true;
}

bool TokensParser::start_array(size_t) {
  if (ignored_depth_ == 0 && at_ == At::kRoot && key_ == Key::kPrompts) {
    at_ = At::kPrompts;
    return true;
  }
  if (ignored_depth_ == 0 && at_ == At::kPrompt && key_ == Key::kTokens) {
    at_ = At::kTokens;
    return true;
  }
  return Open("a list");
}

bool TokensParser::end_array() {
  if (ignored_depth_ > 0) {
    --ignored_depth_;
    return true;
  }
  if (at_ == At::kTokens) {
    if (prompts_.back().empty()) return Fail(Prompt() + ".tokens", "the list is empty");
    at_ = At::kPrompt;
    return true;
  }
  if (prompts_.empty()) return Fail("prompts", "the list is empty");
  at_ = At::kRoot;
  return true;
}

bool TokensParser::parse_error(size_t position, const std::string&,
                               const nlohmann::detail::exception& error) {
  error_ = DescribeJsonError(json_, position, error.what());
  return false;
}

std::string DescribeJsonError(std::string_view json, size_t position, const std::string& what) {
  // "[json.exception.parse_error.101] parse error at line 3, column 5: syntax error …": the part
  // behind the name is for people. Errors of range lack the place.
  std::string text = what;
  if (const size_t at = text.find("line "); at != std::string::npos) {
    text = text.substr(at);
  } else {
    if (const size_t end = text.find("] "); end != std::string::npos) text = text.substr(end + 2);
    const std::string_view before = json.substr(0, std::min(position, json.size()));
    const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    text = fmt::format("line {}, column {}: {}", std::ranges::count(before, '\n') + 1,
                       before.size() - line_start, text);
  }
  if (text.size() > 240) text = text.substr(0, 240) + "...";
  // It may quote the file's own bytes, which may be anything.
  for (char& c : text) c = c >= ' ' && c <= '~' ? c : '?';
  return text;
}

}  // namespace kvstore::playground
