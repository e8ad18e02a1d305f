#include "KVService/http/response_builder.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace kvstore::http {

namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

}  // namespace

bool ResponseBuilder::TakeHeaderLine(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxResponseHeaderBytes) {
    refused_ = absl::ResourceExhaustedError(
        fmt::format("the response's headers exceed {} bytes", kMaxResponseHeaderBytes));
    return false;
  }
  if (line.substr(0, 5) == "HTTP/") {
    response_.headers.clear();
    return true;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  response_.headers.push_back(
      {std::string(Trim(line.substr(0, colon))), std::string(Trim(line.substr(colon + 1)))});
  return true;
}

std::byte* ResponseBuilder::MakeRoom(size_t more, size_t announced) {
  const size_t needed = received_ + more;
  if (needed > buffer_.size()) {
    const size_t limit = request_->max_response_bytes;
    if (std::max(needed, announced) > limit) {
      refused_ =
          absl::ResourceExhaustedError(fmt::format("the response has more than {} bytes", limit));
      return nullptr;
    }
    // Exact where the length is known; else the hint, then twice as much each time.
    size_t wanted = announced;
    if (wanted < needed) {
      wanted = std::max({needed, request_->expected_response_bytes, 2 * buffer_.size()});
    }
    Buffer larger = Buffer::Allocate(std::min(wanted, limit));
    if (received_ > 0) std::memcpy(larger.data(), buffer_.data(), received_);
    buffer_ = std::move(larger);
  }
  return buffer_.data() + received_;
}

HttpResponse ResponseBuilder::Finish(int status, int sends) && {
  response_.status = status;
  response_.sends = sends;
  if (received_ > 0) response_.body = std::move(buffer_).Freeze(0, received_);
  return std::move(response_);
}

}  // namespace kvstore::http
