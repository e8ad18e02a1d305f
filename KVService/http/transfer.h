// One request on one easy handle: its options, and curl's callbacks for the bytes of both sides.
#ifndef KVSERVICE_HTTP_TRANSFER_H_
#define KVSERVICE_HTTP_TRANSFER_H_

#include <curl/curl.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "KVService/http/http_client.h"
#include "KVService/http/http_client_options.h"
#include "KVService/http/response_builder.h"
#include "KVService/http/route_picker.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvstore::http {

// The sockets of a loop's connections.
struct ConnectionCount {
  std::atomic<size_t> open = 0;
  std::atomic<uint64_t> opened = 0;  // so far
};

// Not thread-safe. The handle is set up by Prepare and may be used for another Transfer once this
// one was destroyed, which REQUIRES that no multi has it any more.
class Transfer {
 public:
  // All but the handle's ownership stays the caller's, and outlives this.
  Transfer(CURL* handle, const HttpRequest* request);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // `connections` outlives the connection that is made for it, which may outlive this.
  absl::Status Prepare(const HttpClientOptions& options, const Route& route,
                       ConnectionCount* connections);

  // What came of it, given curl's verdict. Once.
  absl::StatusOr<HttpResponse> Finish(CURLcode code);

  CURL* handle() const { return handle_; }

  // Whether it was begun on a connection.
  bool sent() const { return sends_ > 0; }
  // Whether curl's verdict is that no connection could be made, for which the route may be to
  // blame.
  bool FailedToConnect(CURLcode code) const;

 private:
  static size_t OnRead(char* into, size_t size, size_t count, void* self);
  static int OnSeek(void* self, curl_off_t offset, int origin);
  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static size_t OnBody(char* data, size_t size, size_t count, void* self);
  static int OnOpen(void* connections, curl_socket_t socket, curlsocktype purpose);
  static int OnClose(void* connections, curl_socket_t socket);
  static int OnSend(void* self, char*, char*, int, int);

  absl::Status SetHeaders();
  void SetMethod();
  void SetRoute(const HttpClientOptions& options, const Route& route);
  absl::Status StatusOf(CURLcode code) const;

  CURL* const handle_;
  const HttpRequest* const request_;
  curl_slist* headers_ = nullptr;
  char error_[CURL_ERROR_SIZE] = {};

  size_t body_bytes_ = 0;   // of the request
  size_t part_ = 0;         // the next byte to send: of which slice,
  size_t part_offset_ = 0;  // and where in it

  int sends_ = 0;
  ResponseBuilder response_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_TRANSFER_H_
