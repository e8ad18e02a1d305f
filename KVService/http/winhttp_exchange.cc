#include "KVService/http/winhttp_exchange.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "KVService/http/exchange_log.h"
#include "KVService/http/url_parts.h"
#include "KVService/platform/windows_error.h"

namespace kvstore::http {

namespace {

// Of a single write: what one that is cancelled may still send.
constexpr size_t kMaxWriteBytes = 1 << 20;

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 1, std::numeric_limits<int>::max()));
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0 && c < 127; });
}

void SetNumber(HINTERNET handle, DWORD option, DWORD value) {
  WinHttpSetOption(handle, option, &value, sizeof(value));
}

// WinHTTP's own errors are texts of its library, not of the system.
std::string ReasonOf(DWORD error) {
  switch (error) {
    case ERROR_WINHTTP_CANNOT_CONNECT:
      return "could not connect";
    case ERROR_WINHTTP_NAME_NOT_RESOLVED:
      return "the host's name was not resolved";
    case ERROR_WINHTTP_CONNECTION_ERROR:
      return "the connection broke";
    case ERROR_WINHTTP_TIMEOUT:
    case WSAETIMEDOUT:
      return "connecting or a step of the exchange took too long";
    case ERROR_WINHTTP_INVALID_SERVER_RESPONSE:
      return "the server's answer is no HTTP";
    case ERROR_WINHTTP_HEADER_COUNT_EXCEEDED:
    case ERROR_WINHTTP_HEADER_SIZE_OVERFLOW:
      return fmt::format("the response's headers exceed {} bytes", kMaxResponseHeaderBytes);
    case ERROR_WINHTTP_SECURE_FAILURE:
      return "TLS: the server's certificate is not trusted";
    default:
      return fmt::format("WinHTTP's error {}", error);
  }
}

// Where a URL leads.
struct UrlParts {
  bool secure = false;
  std::string host;  // without brackets
  INTERNET_PORT port = 0;
  std::string target;  // path and query, as they are
};

absl::StatusOr<UrlParts> ParseUrl(std::string_view url) {
  UrlParts parts;
  parts.secure = url.starts_with("https://");
  if (!parts.secure && !url.starts_with("http://")) {
    return absl::InvalidArgumentError("the URL's scheme is neither http nor https");
  }
  const std::string endpoint = EndpointOf(url);
  parts.host = HostOf(url);
  parts.port = PortOf(url);
  parts.target = std::string(url.substr(endpoint.size()));
  if (!parts.target.starts_with('/')) parts.target.insert(parts.target.begin(), '/');
  if (parts.host.empty() || parts.port == 0 || endpoint.find('@') != std::string::npos ||
      parts.host.find_first_of("[] ") != std::string::npos || !IsAscii(parts.host) ||
      !IsAscii(parts.target)) {
    return absl::InvalidArgumentError("the URL is malformed");
  }
  return parts;
}

}  // namespace

HINTERNET OpenWinHttpSession(const std::string& proxy, size_t max_connections) {
  std::wstring through;
  if (!proxy.empty()) {
    // It takes "host:port".
    const size_t scheme = proxy.find("://");
    std::string host = scheme == std::string::npos ? proxy : proxy.substr(scheme + 3);
    through = windows::Wide(host.substr(0, host.find('/')));
  }
  const HINTERNET session = WinHttpOpen(
      nullptr, proxy.empty() ? WINHTTP_ACCESS_TYPE_NO_PROXY : WINHTTP_ACCESS_TYPE_NAMED_PROXY,
      proxy.empty() ? WINHTTP_NO_PROXY_NAME : through.c_str(), WINHTTP_NO_PROXY_BYPASS,
      WINHTTP_FLAG_ASYNC);
  if (session == nullptr) return nullptr;
  SetNumber(session, WINHTTP_OPTION_MAX_CONNS_PER_SERVER, static_cast<DWORD>(max_connections));
  SetNumber(session, WINHTTP_OPTION_SECURE_PROTOCOLS,
            WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_2 | WINHTTP_FLAG_SECURE_PROTOCOL_TLS1_3);
  return session;
}

WinHttpExchange::WinHttpExchange(uint64_t call, std::shared_ptr<const HttpRequest> request,
                                 const Sink* sink)
    : call_(call), request_(std::move(request)), sink_(sink), response_(request_.get()) {}

WinHttpExchange::~WinHttpExchange() { Close(); }

absl::Status WinHttpExchange::Start(HINTERNET session, absl::Duration connect,
                                    absl::Duration rest) {
  absl::Status status = Open(session, connect, rest);
  if (status.ok()) return status;
  Close();
  // Without a context nothing of it is told.
  if (!context_set_) closed_ = true;
  return absl::Status(status.code(),
                      fmt::format("{} {}: {}", HttpMethodName(request_->method),
                                  WithoutQuery(request_->url), std::string(status.message())));
}

absl::Status WinHttpExchange::Open(HINTERNET session, absl::Duration connect, absl::Duration rest) {
  const absl::StatusOr<UrlParts> url = ParseUrl(request_->url);
  if (!url.ok()) return url.status();
  connection_ = WinHttpConnect(session, windows::Wide(url->host).c_str(), url->port, 0);
  if (connection_ == nullptr) return absl::UnavailableError(ReasonOf(GetLastError()));
  // The URL goes out as it is: its maker has escaped it.
  handle_ = WinHttpOpenRequest(connection_, windows::Wide(HttpMethodName(request_->method)).c_str(),
                               windows::Wide(url->target).c_str(), nullptr, WINHTTP_NO_REFERER,
                               WINHTTP_DEFAULT_ACCEPT_TYPES,
                               WINHTTP_FLAG_ESCAPE_DISABLE | WINHTTP_FLAG_ESCAPE_DISABLE_QUERY |
                                   (url->secure ? WINHTTP_FLAG_SECURE : 0));
  if (handle_ == nullptr) return absl::UnavailableError(ReasonOf(GetLastError()));
  DWORD_PTR context = reinterpret_cast<DWORD_PTR>(this);
  if (!WinHttpSetOption(handle_, WINHTTP_OPTION_CONTEXT_VALUE, &context, sizeof(context)) ||
      WinHttpSetStatusCallback(handle_, &WinHttpExchange::OnStatus,
                               WINHTTP_CALLBACK_FLAG_ALL_NOTIFICATIONS,
                               0) == WINHTTP_INVALID_STATUS_CALLBACK) {
    return absl::UnavailableError(ReasonOf(GetLastError()));
  }
  context_set_ = true;
  SetNumber(handle_, WINHTTP_OPTION_DISABLE_FEATURE,
            WINHTTP_DISABLE_AUTHENTICATION | WINHTTP_DISABLE_COOKIES | WINHTTP_DISABLE_REDIRECTS);
  SetNumber(handle_, WINHTTP_OPTION_MAX_RESPONSE_HEADER_SIZE, kMaxResponseHeaderBytes);
  SetNumber(handle_, WINHTTP_OPTION_CONNECT_RETRIES, 1);
  // The loop's timers end what takes too long; these must only not be shorter.
  const int step = Milliseconds(rest + absl::Seconds(1));
  WinHttpSetTimeouts(handle_, Milliseconds(connect), Milliseconds(connect), step, step);
  SetNumber(handle_, WINHTTP_OPTION_RECEIVE_RESPONSE_TIMEOUT, static_cast<DWORD>(step));
  if (request_->direct) {
    WINHTTP_PROXY_INFO none = {WINHTTP_ACCESS_TYPE_NO_PROXY, nullptr, nullptr};
    WinHttpSetOption(handle_, WINHTTP_OPTION_PROXY, &none, sizeof(none));
  }
  absl::Status headers = AddHeaders();
  if (!headers.ok()) return headers;
  size_t bytes = 0;
  for (const Slice& part : request_->body) bytes += part.size();
  if (bytes > std::numeric_limits<DWORD>::max()) {
    return absl::InvalidArgumentError("a body of 4 GiB or more");
  }
  if (!WinHttpSendRequest(handle_, WINHTTP_NO_ADDITIONAL_HEADERS, 0, WINHTTP_NO_REQUEST_DATA, 0,
                          static_cast<DWORD>(bytes), context)) {
    return absl::UnavailableError(ReasonOf(GetLastError()));
  }
  return absl::OkStatus();
}

absl::Status WinHttpExchange::AddHeaders() {
  for (const HttpHeader& header : request_->headers) {
    if (!IsAscii(header.value)) {
      return absl::InvalidArgumentError("the header '" + header.name + "' is not ASCII");
    }
    const std::wstring line = windows::Wide(header.name + ": " + header.value);
    if (!WinHttpAddRequestHeaders(handle_, line.c_str(), static_cast<DWORD>(line.size()),
                                  WINHTTP_ADDREQ_FLAG_ADD)) {
      return absl::InvalidArgumentError(
          fmt::format("the header '{}': {}", header.name, ReasonOf(GetLastError())));
    }
  }
  return absl::OkStatus();
}

void CALLBACK WinHttpExchange::OnStatus(HINTERNET, DWORD_PTR context, DWORD status, void* data,
                                        DWORD length) {
  if (context == 0) return;
  WinHttpEvent event;
  event.exchange = reinterpret_cast<WinHttpExchange*>(context);
  event.status = status;
  switch (status) {
    case WINHTTP_CALLBACK_STATUS_CONNECTED_TO_SERVER:
    case WINHTTP_CALLBACK_STATUS_SENDING_REQUEST:
    case WINHTTP_CALLBACK_STATUS_SENDREQUEST_COMPLETE:
    case WINHTTP_CALLBACK_STATUS_WRITE_COMPLETE:
    case WINHTTP_CALLBACK_STATUS_HEADERS_AVAILABLE:
    case WINHTTP_CALLBACK_STATUS_HANDLE_CLOSING:
      break;
    case WINHTTP_CALLBACK_STATUS_READ_COMPLETE:
      event.value = length;
      break;
    case WINHTTP_CALLBACK_STATUS_DATA_AVAILABLE:
    case WINHTTP_CALLBACK_STATUS_SECURE_FAILURE:
      event.value = *static_cast<const DWORD*>(data);
      break;
    case WINHTTP_CALLBACK_STATUS_REQUEST_ERROR:
      event.value = static_cast<const WINHTTP_ASYNC_RESULT*>(data)->dwError;
      break;
    default:
      return;
  }
  // The exchange lives until the loop has taken the last of these, HANDLE_CLOSING.
  (*event.exchange->sink_)(event);
}

std::optional<absl::StatusOr<HttpResponse>> WinHttpExchange::OnEvent(const WinHttpEvent& event) {
  if (event.status == WINHTTP_CALLBACK_STATUS_HANDLE_CLOSING) {
    closed_ = true;
    return std::nullopt;
  }
  if (handle_ == nullptr) return std::nullopt;  // told before it was closed
  switch (event.status) {
    case WINHTTP_CALLBACK_STATUS_CONNECTED_TO_SERVER:
      connected_here_ = true;
      if (sends_ > 0) ++sends_;  // WinHTTP begins again by itself
      return std::nullopt;
    case WINHTTP_CALLBACK_STATUS_SENDING_REQUEST:
      sends_ = std::max(sends_, 1);
      return std::nullopt;
    case WINHTTP_CALLBACK_STATUS_SECURE_FAILURE:
      tls_flags_ = event.value;
      return std::nullopt;
    case WINHTTP_CALLBACK_STATUS_SENDREQUEST_COMPLETE:
    case WINHTTP_CALLBACK_STATUS_WRITE_COMPLETE:
      return WriteNext();
    case WINHTTP_CALLBACK_STATUS_HEADERS_AVAILABLE:
      return TakeHead();
    case WINHTTP_CALLBACK_STATUS_DATA_AVAILABLE:
      return Read(event.value);
    case WINHTTP_CALLBACK_STATUS_READ_COMPLETE:
      if (event.value == 0) return Finish();
      response_.Received(event.value);
      return AskForMore();
    default:
      return Failure(event.value);
  }
}

// What WinHTTP sends has no copy there: one piece at a time, which stays until it is told.
std::optional<absl::StatusOr<HttpResponse>> WinHttpExchange::WriteNext() {
  const std::vector<Slice>& body = request_->body;
  while (part_ < body.size() && part_offset_ == body[part_].size()) {
    ++part_;
    part_offset_ = 0;
  }
  if (part_ == body.size()) {
    if (!WinHttpReceiveResponse(handle_, nullptr)) return Failure(GetLastError());
    return std::nullopt;
  }
  const Slice& part = body[part_];
  const std::byte* const from = part.data() + part_offset_;
  const size_t step = std::min(kMaxWriteBytes, part.size() - part_offset_);
  part_offset_ += step;
  if (!WinHttpWriteData(handle_, from, static_cast<DWORD>(step), nullptr)) {
    return Failure(GetLastError());
  }
  return std::nullopt;
}

std::optional<absl::StatusOr<HttpResponse>> WinHttpExchange::TakeHead() {
  answered_ = true;
  DWORD status = 0, size = sizeof(status);
  if (!WinHttpQueryHeaders(handle_, WINHTTP_QUERY_STATUS_CODE | WINHTTP_QUERY_FLAG_NUMBER,
                           WINHTTP_HEADER_NAME_BY_INDEX, &status, &size, WINHTTP_NO_HEADER_INDEX)) {
    return Failure(GetLastError());
  }
  status_ = static_cast<int>(status);
  DWORD bytes = 0;
  WinHttpQueryHeaders(handle_, WINHTTP_QUERY_RAW_HEADERS_CRLF, WINHTTP_HEADER_NAME_BY_INDEX,
                      nullptr, &bytes, WINHTTP_NO_HEADER_INDEX);
  std::wstring raw(bytes / sizeof(wchar_t) + 1, L'\0');
  bytes = static_cast<DWORD>(raw.size() * sizeof(wchar_t));
  if (!WinHttpQueryHeaders(handle_, WINHTTP_QUERY_RAW_HEADERS_CRLF, WINHTTP_HEADER_NAME_BY_INDEX,
                           raw.data(), &bytes, WINHTTP_NO_HEADER_INDEX)) {
    return Failure(GetLastError());
  }
  raw.resize(bytes / sizeof(wchar_t));
  const std::string head = windows::Narrow(raw);
  for (size_t at = 0; at < head.size();) {
    const size_t end = std::min(head.find("\r\n", at), head.size());
    if (!response_.TakeHeaderLine(std::string_view(head).substr(at, end - at))) return Failure(0);
    at = end + 2;
  }
  const std::string* const length = FindHeader(response_.headers(), "Content-Length");
  if (length != nullptr && request_->method != HttpMethod::kHead &&
      status != HTTP_STATUS_NO_CONTENT && status != HTTP_STATUS_NOT_MODIFIED &&
      FindHeader(response_.headers(), "Transfer-Encoding") == nullptr) {
    const auto [rest, error] =
        std::from_chars(length->data(), length->data() + length->size(), announced_);
    length_known_ = error == std::errc() && rest == length->data() + length->size();
    if (!length_known_) announced_ = 0;
  }
  return AskForMore();
}

// Before each read: one that has to wait blocks its caller in Wine.
std::optional<absl::StatusOr<HttpResponse>> WinHttpExchange::AskForMore() {
  if (!WinHttpQueryDataAvailable(handle_, nullptr)) return Failure(GetLastError());
  return std::nullopt;
}

std::optional<absl::StatusOr<HttpResponse>> WinHttpExchange::Read(size_t available) {
  // At the end one more, which finds nothing: by it WinHTTP knows that the connection is free.
  std::byte* const into = available == 0 ? &spare_ : response_.MakeRoom(available, announced_);
  if (into == nullptr) return Failure(0);
  available = std::max<size_t>(available, 1);
  if (!WinHttpReadData(handle_, into, static_cast<DWORD>(available), nullptr)) {
    return Failure(GetLastError());
  }
  return std::nullopt;
}

absl::StatusOr<HttpResponse> WinHttpExchange::Finish() {
  if (length_known_ && response_.received() < announced_) {
    return Failure(ERROR_WINHTTP_CONNECTION_ERROR);
  }
  return std::move(response_).Finish(status_, std::max(sends_, 1));
}

absl::Status WinHttpExchange::Failure(DWORD error) {
  failed_ = true;
  const absl::Status& refused = response_.refused();
  const std::string message =
      fmt::format("{} {}: {}{}", HttpMethodName(request_->method), WithoutQuery(request_->url),
                  refused.ok() ? ReasonOf(error) : std::string(refused.message()),
                  tls_flags_ == 0 ? "" : fmt::format(" (flags {:#x})", tls_flags_));
  if (!refused.ok()) return absl::Status(refused.code(), message);
  switch (error) {
    case ERROR_WINHTTP_INVALID_URL:
    case ERROR_WINHTTP_UNRECOGNIZED_SCHEME:
      return absl::InvalidArgumentError(message);
    case ERROR_WINHTTP_HEADER_COUNT_EXCEEDED:
    case ERROR_WINHTTP_HEADER_SIZE_OVERFLOW:
    case ERROR_NOT_ENOUGH_MEMORY:
      return absl::ResourceExhaustedError(message);
    case ERROR_WINHTTP_SECURE_FAILURE:
      return absl::FailedPreconditionError(message);
    default:
      return absl::UnavailableError(message);
  }
}

void WinHttpExchange::Close() {
  if (handle_ != nullptr) WinHttpCloseHandle(std::exchange(handle_, nullptr));
  if (connection_ != nullptr) WinHttpCloseHandle(std::exchange(connection_, nullptr));
}

}  // namespace kvstore::http
