#include "KVService/http/curl_share.h"

#include "KVCommon/status_macros.h"

namespace kvstore::http {

CurlShare::CurlShare() {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  KV_CHECK(initialised == CURLE_OK);
  share_ = curl_share_init();
  KV_CHECK(share_ != nullptr);
  curl_share_setopt(share_, CURLSHOPT_LOCKFUNC, &CurlShare::Lock);
  curl_share_setopt(share_, CURLSHOPT_UNLOCKFUNC, &CurlShare::Unlock);
  curl_share_setopt(share_, CURLSHOPT_USERDATA, this);
  curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
  curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

CurlShare::~CurlShare() { curl_share_cleanup(share_); }

// curl pairs the calls; the analysis cannot see that.
void CurlShare::Lock(CURL* /*handle*/, curl_lock_data data, curl_lock_access /*access*/,
                     void* self) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  static_cast<CurlShare*>(self)->mutexes_[data].Lock();
}

void CurlShare::Unlock(CURL* /*handle*/, curl_lock_data data,
                       void* self) ABSL_NO_THREAD_SAFETY_ANALYSIS {
  static_cast<CurlShare*>(self)->mutexes_[data].Unlock();
}

}  // namespace kvstore::http
