// Which library an HttpClient stands on, chosen at run time.
#ifndef KVSERVICE_HTTP_HTTP_TRANSPORT_H_
#define KVSERVICE_HTTP_HTTP_TRANSPORT_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "KVService/http/http_client.h"
#include "KVService/http/http_client_options.h"

namespace kvstore {

// Those that this system has: "libcurl", and "winhttp" on Windows.
std::vector<std::string> HttpTransports();

// REQUIRES: the transport is one of them; with winhttp, no ca_file.
std::unique_ptr<HttpClient> MakeHttpClient(std::string_view transport, HttpClientOptions options);

}  // namespace kvstore

#endif  // KVSERVICE_HTTP_HTTP_TRANSPORT_H_
