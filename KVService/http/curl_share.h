// What all easy handles of a client share, whatever their thread: DNS results and TLS sessions.
#ifndef KVSERVICE_HTTP_CURL_SHARE_H_
#define KVSERVICE_HTTP_CURL_SHARE_H_

#include <curl/curl.h>

#include <array>

#include "absl/synchronization/mutex.h"

namespace kvstore::http {

// Initialises libcurl for the process when the first of them is made. Outlives the handles.
class CurlShare {
 public:
  CurlShare();
  ~CurlShare();
  CurlShare(const CurlShare&) = delete;
  CurlShare& operator=(const CurlShare&) = delete;

  CURLSH* get() const { return share_; }

 private:
  static void Lock(CURL* handle, curl_lock_data data, curl_lock_access access, void* self);
  static void Unlock(CURL* handle, curl_lock_data data, void* self);

  CURLSH* share_ = nullptr;
  std::array<absl::Mutex, CURL_LOCK_DATA_LAST> mutexes_;  // one for each kind of data, for curl
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_CURL_SHARE_H_
