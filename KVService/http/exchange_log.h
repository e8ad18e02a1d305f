// What may be said about an exchange in a log: never a signature, token or key.
#ifndef KVSERVICE_HTTP_EXCHANGE_LOG_H_
#define KVSERVICE_HTTP_EXCHANGE_LOG_H_

#include <string>
#include <string_view>

#include "KVService/http/http_client.h"

namespace kvstore::http {

// The URL up to its query and without user:password@, for messages.
std::string WithoutQuery(std::string_view url);

// The URL with its query, where only the values of parameters known to be harmless are shown and
// all others are "REDACTED".
std::string RedactUrl(std::string_view url);

// One line: method, redacted URL, the allow-listed headers of both sides (others by name), sizes,
// outcome, time.
std::string DescribeExchange(const HttpRequest& request, const absl::StatusOr<HttpResponse>& result,
                             absl::Duration time);

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_EXCHANGE_LOG_H_
