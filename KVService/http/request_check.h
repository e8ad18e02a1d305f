// What is asked of a request before any library sees it.
#ifndef KVSERVICE_HTTP_REQUEST_CHECK_H_
#define KVSERVICE_HTTP_REQUEST_CHECK_H_

#include "KVService/http/http_client.h"
#include "absl/status/status.h"

namespace kvstore::http {

// INVALID_ARGUMENT for what must not reach the wire: a header that would end the line.
absl::Status CheckRequest(const HttpRequest& request);

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_REQUEST_CHECK_H_
