#include "KVService/http/transfer.h"

#include <spdlog/fmt/fmt.h>
#ifndef _WIN32
#include <unistd.h>
#endif

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "KVService/http/exchange_log.h"

namespace kvstore::http {

namespace {

// 1.2 MB in few turns of the loop; curl keeps one of each a handle.
constexpr long kReceiveBufferBytes = 256 << 10;
constexpr long kSendBufferBytes = 256 << 10;

}  // namespace

Transfer::Transfer(CURL* handle, const HttpRequest* request)
    : handle_(handle), request_(request), response_(request) {
  for (const Slice& part : request->body) body_bytes_ += part.size();
}

Transfer::~Transfer() {
  curl_easy_reset(handle_);
  curl_slist_free_all(headers_);
}

absl::Status Transfer::Prepare(const HttpClientOptions& options, const Route& route,
                               ConnectionCount* connections) {
  curl_easy_setopt(handle_, CURLOPT_ERRORBUFFER, error_);
  curl_easy_setopt(handle_, CURLOPT_NOSIGNAL, 1L);
  // A request that ends while its name is being resolved leaves curl's resolver thread to end by
  // itself. Else the loop would wait for it, and a resolver that stalls would hold up all requests.
  curl_easy_setopt(handle_, CURLOPT_QUICK_EXIT, 1L);
  curl_easy_setopt(handle_, CURLOPT_URL, request_->url.c_str());
  curl_easy_setopt(handle_, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle_, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(handle_, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(handle_, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(handle_, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(handle_, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  curl_easy_setopt(handle_, CURLOPT_UPLOAD_BUFFERSIZE, kSendBufferBytes);
  curl_easy_setopt(handle_, CURLOPT_DNS_CACHE_TIMEOUT,
                   static_cast<long>(absl::ToInt64Seconds(options.dns_cache)));
  curl_easy_setopt(handle_, CURLOPT_MAXAGE_CONN,
                   static_cast<long>(absl::ToInt64Seconds(options.max_idle)));
  // Set even if it is empty, or curl would ask the environment.
  curl_easy_setopt(handle_, CURLOPT_PROXY, request_->direct ? "" : options.proxy.c_str());
  if (!options.ca_file.empty()) {
    curl_easy_setopt(handle_, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(handle_, CURLOPT_CAPATH, nullptr);
  }
  curl_easy_setopt(handle_, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  curl_easy_setopt(handle_, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(handle_, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  curl_easy_setopt(handle_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(handle_, CURLOPT_PREREQFUNCTION, &Transfer::OnSend);
  curl_easy_setopt(handle_, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(handle_, CURLOPT_SOCKOPTFUNCTION, &Transfer::OnOpen);
  curl_easy_setopt(handle_, CURLOPT_SOCKOPTDATA, connections);
  curl_easy_setopt(handle_, CURLOPT_CLOSESOCKETFUNCTION, &Transfer::OnClose);
  curl_easy_setopt(handle_, CURLOPT_CLOSESOCKETDATA, connections);
  SetRoute(options, route);
  SetMethod();
  return SetHeaders();
}

void Transfer::SetRoute(const HttpClientOptions& options, const Route& route) {
  absl::Duration timeout = std::min(options.connect_timeout, request_->connect_timeout);
  if (!route.source.empty()) {
    // curl reuses a connection for requests with the same setting only.
    curl_easy_setopt(handle_, CURLOPT_INTERFACE, ("host!" + route.source).c_str());
    timeout = std::min(timeout, kBoundConnectTimeout);
  }
  if (route.fresh) curl_easy_setopt(handle_, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(handle_, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(timeout)));
}

void Transfer::SetMethod() {
  const HttpMethod method = request_->method;
  if (method == HttpMethod::kHead) {
    curl_easy_setopt(handle_, CURLOPT_NOBODY, 1L);
    return;
  }
  if (body_bytes_ == 0 && method == HttpMethod::kGet) return;
  // Its own name for each: what curl calls an upload is how it reads a body, empty ones included.
  if (body_bytes_ > 0 || method != HttpMethod::kDelete) {
    curl_easy_setopt(handle_, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body_bytes_));
    curl_easy_setopt(handle_, CURLOPT_READFUNCTION, &Transfer::OnRead);
    curl_easy_setopt(handle_, CURLOPT_READDATA, this);
    curl_easy_setopt(handle_, CURLOPT_SEEKFUNCTION, &Transfer::OnSeek);
    curl_easy_setopt(handle_, CURLOPT_SEEKDATA, this);
  }
  curl_easy_setopt(handle_, CURLOPT_CUSTOMREQUEST, HttpMethodName(method).data());
}

absl::Status Transfer::SetHeaders() {
  // Waiting for "100 Continue" costs a round trip, and curl gives it a second.
  std::vector<std::string> lines = {"Expect:", "Accept-Encoding:"};
  for (const HttpHeader& header : request_->headers) {
    // An empty value is sent only if the line ends in a semicolon.
    lines.push_back(header.value.empty() ? header.name + ";" : header.name + ": " + header.value);
  }
  for (const std::string& line : lines) {
    curl_slist* longer = curl_slist_append(headers_, line.c_str());
    if (longer == nullptr) return absl::ResourceExhaustedError("HTTP headers: no memory");
    headers_ = longer;
  }
  curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, headers_);
  return absl::OkStatus();
}

int Transfer::OnOpen(void* connections, curl_socket_t, curlsocktype) {
  auto* const count = static_cast<ConnectionCount*>(connections);
  count->open.fetch_add(1, std::memory_order_relaxed);
  count->opened.fetch_add(1, std::memory_order_relaxed);
  return CURL_SOCKOPT_OK;
}

// Who wants to know when curl closes a socket has to close it.
int Transfer::OnClose(void* connections, curl_socket_t socket) {
  static_cast<ConnectionCount*>(connections)->open.fetch_sub(1, std::memory_order_relaxed);
#ifdef _WIN32
  return ::closesocket(socket);
#else
  return ::close(socket);
#endif
}

int Transfer::OnSend(void* self, char*, char*, int, int) {
  ++static_cast<Transfer*>(self)->sends_;
  return CURL_PREREQFUNC_OK;
}

size_t Transfer::OnRead(char* into, size_t size, size_t count, void* self) {
  auto* t = static_cast<Transfer*>(self);
  const std::vector<Slice>& body = t->request_->body;
  size_t room = size * count;
  size_t copied = 0;
  while (room > 0 && t->part_ < body.size()) {
    const ByteView part = body[t->part_].bytes();
    const size_t step = std::min(room, part.size() - t->part_offset_);
    if (step > 0) std::memcpy(into + copied, part.data() + t->part_offset_, step);
    copied += step;
    room -= step;
    t->part_offset_ += step;
    if (t->part_offset_ == part.size()) {
      ++t->part_;
      t->part_offset_ = 0;
    }
  }
  return copied;
}

int Transfer::OnSeek(void* self, curl_off_t offset, int origin) {
  auto* t = static_cast<Transfer*>(self);
  // It only ever begins again, when a reused connection was dead.
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  t->part_ = t->part_offset_ = 0;
  return CURL_SEEKFUNC_OK;
}

size_t Transfer::OnHeader(char* data, size_t size, size_t count, void* self) {
  const size_t bytes = size * count;
  return static_cast<Transfer*>(self)->response_.TakeHeaderLine({data, bytes}) ? bytes : 0;
}

size_t Transfer::OnBody(char* data, size_t size, size_t count, void* self) {
  auto* t = static_cast<Transfer*>(self);
  const size_t bytes = size * count;
  if (bytes == 0) return 0;
  curl_off_t length = 0;  // negative where the server does not say
  if (t->response_.room() < bytes) {
    curl_easy_getinfo(t->handle_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  }
  std::byte* const into =
      t->response_.MakeRoom(bytes, static_cast<size_t>(std::max<curl_off_t>(length, 0)));
  if (into == nullptr) return 0;
  std::memcpy(into, data, bytes);
  t->response_.Received(bytes);
  return bytes;
}

bool Transfer::FailedToConnect(CURLcode code) const {
  // A timeout here is that of connecting: our deadlines do not come from curl.
  return !sent() && (code == CURLE_INTERFACE_FAILED || code == CURLE_COULDNT_CONNECT ||
                     code == CURLE_OPERATION_TIMEDOUT || code == CURLE_SSL_CONNECT_ERROR);
}

absl::StatusOr<HttpResponse> Transfer::Finish(CURLcode code) {
  if (code != CURLE_OK) return StatusOf(code);
  long status = 0;
  curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &status);
  return std::move(response_).Finish(static_cast<int>(status), sends_);
}

absl::Status Transfer::StatusOf(CURLcode code) const {
  const absl::Status& refused = response_.refused();
  const std::string reason = !refused.ok()       ? std::string(refused.message())
                             : error_[0] != '\0' ? std::string(error_)
                                                 : std::string(curl_easy_strerror(code));
  const std::string message = fmt::format("{} {}: {}", HttpMethodName(request_->method),
                                          WithoutQuery(request_->url), reason);
  if (!refused.ok()) return absl::Status(refused.code(), message);
  // Once the request is out, what curl cannot make sense of is the server's.
  if (sends_ > 0 && code != CURLE_OUT_OF_MEMORY) return absl::UnavailableError(message);
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::InvalidArgumentError(message);
    case CURLE_OUT_OF_MEMORY:
      return absl::ResourceExhaustedError(message);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
      return absl::FailedPreconditionError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace kvstore::http
