// What the client itself has to know of a URL.
#ifndef KVSERVICE_HTTP_URL_PARTS_H_
#define KVSERVICE_HTTP_URL_PARTS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace kvstore::http {

// Scheme, host and port: what connections are counted by.
std::string EndpointOf(std::string_view url);

// The host in a URL (or of a proxy's "host:port"), without brackets; what comes of text that is no
// URL is no host.
std::string HostOf(std::string_view url);

// The port, be it the scheme's own; 0 for what is none.
uint16_t PortOf(std::string_view url);

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_URL_PARTS_H_
