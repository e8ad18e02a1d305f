// The events of a JSON parser turned into prompts: tokens go straight into their vector, so a file
// of many megabytes never becomes a tree of objects.
#ifndef KVPLAYGROUND_TOKENS_PARSER_H_
#define KVPLAYGROUND_TOKENS_PARSER_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "KVPlayground/tokens_file.h"

namespace kvstore::playground {

// The words of nlohmann's parser about `json`, beginning with line and column.
std::string DescribeJsonError(std::string_view json, size_t position, const std::string& what);

class TokensParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  // `json` is what will be parsed; it must outlive the parser.
  explicit TokensParser(std::string_view json) : json_(json) {}

  // Behind a parse that failed: why.
  const std::string& error() const { return error_; }
  // Behind one that succeeded.
  TokenizedPrompts TakePrompts() && { return std::move(prompts_); }

  bool null() override { return Scalar("null"); }
  bool boolean(bool value) override { return Scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Integer(value); }
  bool number_unsigned(number_unsigned_t value) override;
  bool number_float(number_float_t value, const string_t& text) override;
  bool string(string_t& value) override;
  bool binary(binary_t& value) override;
  bool start_object(size_t elements) override;
  bool key(string_t& value) override;
  bool end_object() override;
  bool start_array(size_t elements) override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string& last_token,
                   const nlohmann::detail::exception& error) override;

 private:
  enum class At {
    kStart,    // before the document
    kRoot,     // in its object
    kPrompts,  // in the list
    kPrompt,   // in an object of the list
    kTokens,   // in a prompt's tokens
  };
  enum class Key { kOther, kPrompts, kText, kTokens, kTokenCount };

  bool Integer(int64_t value);
  // A value that is no integer, string, list or object, by its text.
  bool Scalar(const std::string& text);
  // Opens a list or object that is not the format's; false with an error where one must not be.
  bool Open(const char* kind);
  bool Fail(const std::string& path, const std::string& what);
  bool Unexpected(const std::string& got);
  std::string Path() const;    // of the value at hand
  std::string Prompt() const;  // prompts[3]

  const std::string_view json_;
  At at_ = At::kStart;
  Key key_ = Key::kOther;
  size_t ignored_depth_ = 0;  // open lists and objects under a key that is not known
  bool saw_prompts_ = false;
  bool saw_text_ = false;  // this and the following of the prompt at hand
  bool saw_tokens_ = false;
  std::optional<int64_t> token_count_;
  TokenizedPrompts prompts_;
  std::string error_;
};

}  // namespace kvstore::playground

#endif  // KVPLAYGROUND_TOKENS_PARSER_H_
