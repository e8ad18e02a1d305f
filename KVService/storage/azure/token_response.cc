#include "KVService/storage/azure/token_response.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "KVCommon/status_macros.h"
#include "KVService/storage/azure/retry_policy.h"
#include "KVService/storage/azure/url.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"

namespace kvstore::azure {

namespace {

using nlohmann::json;

constexpr size_t kMaxErrorBytes = 300;
// Longer lives and later dates are nonsense, and would overflow what we compute with them.
constexpr int64_t kMaxLifeSeconds = int64_t{10} * 365 * 24 * 3600;
constexpr int64_t kMaxUnixSeconds = int64_t{1} << 40;

// The object, or a discarded value.
json ParseObject(std::string_view text) {
  json value = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  return value.is_object() ? value : json(json::value_t::discarded);
}

std::string TextOf(const json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// None where it is absent; an error where it is no whole number in [0, max].
absl::StatusOr<std::optional<int64_t>> SecondsOf(const json& object, const char* name,
                                                 int64_t max) {
  const auto it = object.find(name);
  if (it == object.end() || it->is_null()) return std::nullopt;
  int64_t seconds = -1;
  if (it->is_number_unsigned()) {
    seconds = static_cast<int64_t>(std::min<uint64_t>(it->get<uint64_t>(), max + uint64_t{1}));
  } else if (it->is_number_float()) {
    const double number = it->get<double>();
    if (number >= 0 && number <= static_cast<double>(max)) seconds = static_cast<int64_t>(number);
  } else if (it->is_string()) {
    if (!absl::SimpleAtoi(it->get_ref<const std::string&>(), &seconds)) seconds = -1;
  }
  if (seconds < 0 || seconds > max) {
    return absl::InternalError(fmt::format("its answer's {} is no sensible number", name));
  }
  return seconds;
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

absl::StatusOr<AccessToken> ParseTokenResponse(std::string_view text, absl::Time now) {
  const json object = ParseObject(text);
  if (object.is_discarded()) return absl::InternalError("its answer is no JSON object");
  AccessToken token;
  token.value = TextOf(object, "access_token");
  if (token.value.empty()) return absl::InternalError("its answer has no access_token");
  if (token.value.size() > kMaxTokenBytes || !IsPrintable(token.value)) {
    return absl::InternalError("its answer's access_token cannot be sent in a header");
  }
  const std::string type = TextOf(object, "token_type");
  if (!type.empty() && !absl::EqualsIgnoreCase(type, "Bearer")) {
    return absl::InternalError("its answer's token_type is not Bearer");
  }
  KV_ASSIGN_OR_RETURN(const auto in, SecondsOf(object, "expires_in", kMaxLifeSeconds));
  KV_ASSIGN_OR_RETURN(const auto on, SecondsOf(object, "expires_on", kMaxUnixSeconds));
  if (!in && !on) return absl::InternalError("its answer has neither expires_in nor expires_on");
  token.expires = now + absl::Seconds(kMaxLifeSeconds);
  if (in) token.expires = std::min(token.expires, now + absl::Seconds(*in));
  if (on) token.expires = std::min(token.expires, absl::FromUnixSeconds(*on));
  if (token.expires <= now) {
    return absl::InternalError(
        "its token has expired already: check this machine's clock against the time");
  }
  return token;
}

std::string DescribeTokenError(std::string_view text, const std::vector<std::string>& secrets) {
  const json object = ParseObject(text);
  if (object.is_discarded()) return "";
  std::string error = TextOf(object, "error");
  std::string description = TextOf(object, "error_description");
  // App Service: {"statusCode":…,"message":…}.
  if (error.empty() && description.empty()) description = TextOf(object, "message");
  // Trace ids and the time follow on lines of their own.
  description = description.substr(0, description.find_first_of("\r\n"));
  std::string line = error;
  if (!description.empty()) line += (line.empty() ? "" : ": ") + description;
  for (const std::string& secret : secrets) {
    if (secret.empty()) continue;
    line =
        absl::StrReplaceAll(line, {{secret, "REDACTED"}, {EncodeQueryValue(secret), "REDACTED"}});
  }
  // Only now, or half a secret could be left.
  if (line.size() > kMaxErrorBytes) line.resize(kMaxErrorBytes);
  for (char& c : line) {
    if (c < 0x20 || c == 0x7f) c = '?';
  }
  return line;
}

TokenResult TokenResultOf(const absl::StatusOr<HttpResponse>& response, const TokenAdvice& advice,
                          absl::Time now) {
  TokenResult result;
  if (!response.ok()) {
    const absl::Status& status = response.status();
    if (absl::IsCancelled(status)) {
      result.token = absl::CancelledError(fmt::format("{}: shut down", advice.name));
      return result;
    }
    result.again = !absl::IsInvalidArgument(status) && !absl::IsFailedPrecondition(status);
    result.token = absl::Status(
        result.again ? absl::StatusCode::kUnavailable : absl::StatusCode::kFailedPrecondition,
        fmt::format("{}: {}; {}", advice.name, std::string(status.message()), advice.unreachable));
    return result;
  }
  result.answered = true;
  const std::string_view body = AsText(response->body.bytes());
  const int status = response->status;
  if (status == 200) {
    result.token = ParseTokenResponse(body, now);
    if (!result.token.ok()) {
      result.token = absl::InternalError(fmt::format("{}: {}: {}", advice.name, advice.endpoint,
                                                     std::string(result.token.status().message())));
    }
    return result;
  }
  result.again = status == 404 || status == 408 || status == 410 || status == 429 || status >= 500;
  if (const auto asked = RetryAfter(*response, now)) result.retry_after = *asked;
  const std::string said = DescribeTokenError(body, advice.secrets);
  std::string message = fmt::format("{}: {} answers {}{}{}", advice.name, advice.endpoint, status,
                                    said.empty() ? "" : ", ", said);
  const bool unavailable = result.again && status != 404;
  if (!unavailable) message += "; " + advice.refused;
  result.token =
      unavailable ? absl::UnavailableError(message) : absl::PermissionDeniedError(message);
  return result;
}

}  // namespace kvstore::azure
