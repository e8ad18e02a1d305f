// A response as it comes in, kept within the bounds that its request sets.
#ifndef KVSERVICE_HTTP_RESPONSE_BUILDER_H_
#define KVSERVICE_HTTP_RESPONSE_BUILDER_H_

#include <cstddef>
#include <string_view>

#include "KVCommon/slice.h"
#include "KVService/http/http_client.h"
#include "absl/status/status.h"

namespace kvstore::http {

inline constexpr size_t kMaxResponseHeaderBytes = 256 << 10;

// Not thread-safe. What it refuses it says by refused().
class ResponseBuilder {
 public:
  // The request stays the caller's, and outlives this.
  explicit ResponseBuilder(const HttpRequest* request) : request_(request) {}

  // A status line begins anew: another response follows an interim one, and only the last counts.
  bool TakeHeaderLine(std::string_view line);

  // Where so many bytes more of the body may be written, behind those received; null where they are
  // more than the request allows. `announced`: the length of the body, 0 where it is not known. Not
  // to be called again while somebody writes there.
  std::byte* MakeRoom(size_t more, size_t announced);
  void Received(size_t bytes) { received_ += bytes; }
  size_t received() const { return received_; }
  // How much fits without another allocation.
  size_t room() const { return buffer_.size() - received_; }

  const HttpHeaders& headers() const { return response_.headers; }
  const absl::Status& refused() const { return refused_; }

  HttpResponse Finish(int status, int sends) &&;

 private:
  const HttpRequest* const request_;
  HttpResponse response_;
  Buffer buffer_;
  size_t received_ = 0;
  size_t header_bytes_ = 0;
  absl::Status refused_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_RESPONSE_BUILDER_H_
