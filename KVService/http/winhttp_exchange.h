// One attempt at a request on WinHTTP's handles: what follows each thing that WinHTTP tells of it.
#ifndef KVSERVICE_HTTP_WINHTTP_EXCHANGE_H_
#define KVSERVICE_HTTP_WINHTTP_EXCHANGE_H_

#include <windows.h>

#include <winhttp.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "KVService/http/http_client.h"
#include "KVService/http/response_builder.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvstore::http {

class WinHttpExchange;

// What WinHTTP told, on one of its threads, on the way to the loop's.
struct WinHttpEvent {
  WinHttpExchange* exchange = nullptr;
  DWORD status = 0;  // WINHTTP_CALLBACK_STATUS_*
  DWORD value = 0;   // bytes read, an error, or flags
};

// A session with the settings that all exchanges share. Null where WinHTTP refuses; see
// GetLastError.
HINTERNET OpenWinHttpSession(const std::string& proxy, size_t max_connections);

// All on the loop's thread. Lives until WinHTTP is done with it, which OnEvent tells by closed():
// till then WinHTTP may read the request's body and write into the response's.
class WinHttpExchange {
 public:
  using Sink = std::function<void(WinHttpEvent)>;  // for any thread

  // The sink and the session outlive it.
  WinHttpExchange(uint64_t call, std::shared_ptr<const HttpRequest> request, const Sink* sink);
  ~WinHttpExchange();
  WinHttpExchange(const WinHttpExchange&) = delete;
  WinHttpExchange& operator=(const WinHttpExchange&) = delete;

  // `connect`, `rest`: bounds of connecting and of each step after. An error: no event will come.
  absl::Status Start(HINTERNET session, absl::Duration connect, absl::Duration rest);

  // The exchange's end, where the event is it.
  std::optional<absl::StatusOr<HttpResponse>> OnEvent(const WinHttpEvent& event);

  // Ends it: closed() follows soon. Idempotent.
  void Close();
  bool closed() const { return closed_; }

  // Whether it failed on a connection that had served before, and before anything of an answer
  // came: as where the server closed it meanwhile. A fresh one may do.
  bool StaleConnection() const { return failed_ && !connected_here_ && !answered_; }

  uint64_t call() const { return call_; }
  int sends() const { return sends_; }

 private:
  static void CALLBACK OnStatus(HINTERNET handle, DWORD_PTR context, DWORD status, void* data,
                                DWORD length);

  absl::Status Open(HINTERNET session, absl::Duration connect, absl::Duration rest);
  absl::Status AddHeaders();
  std::optional<absl::StatusOr<HttpResponse>> WriteNext();
  std::optional<absl::StatusOr<HttpResponse>> TakeHead();
  std::optional<absl::StatusOr<HttpResponse>> AskForMore();
  std::optional<absl::StatusOr<HttpResponse>> Read(size_t available);
  absl::StatusOr<HttpResponse> Finish();
  absl::Status Failure(DWORD error);

  const uint64_t call_;
  const std::shared_ptr<const HttpRequest> request_;
  const Sink* const sink_;
  HINTERNET connection_ = nullptr;
  HINTERNET handle_ = nullptr;  // null once closed
  bool context_set_ = false;    // its end will be told
  bool closed_ = false;

  size_t part_ = 0;         // the next byte to send: of which slice,
  size_t part_offset_ = 0;  // and where in it

  bool connected_here_ = false;  // a connection was made for it
  bool answered_ = false;
  bool failed_ = false;
  DWORD tls_flags_ = 0;  // what was wrong with the certificate
  int sends_ = 0;
  int status_ = 0;
  size_t announced_ = 0;  // length of the body; 0 where it is not known
  bool length_known_ = false;
  std::byte spare_ = {};
  ResponseBuilder response_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_WINHTTP_EXCHANGE_H_
