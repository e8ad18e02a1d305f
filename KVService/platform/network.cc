#include "KVService/platform/network.h"

#if defined(_WIN32)
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#endif

namespace kvstore {

AddressFamily FamilyOf(const std::string& address) {
  in6_addr ip;
  if (inet_pton(AF_INET, address.c_str(), &ip) == 1) return AddressFamily::kIpv4;
  if (inet_pton(AF_INET6, address.c_str(), &ip) == 1) return AddressFamily::kIpv6;
  return AddressFamily::kNone;
}

bool IsLoopback(const std::string& host) {
  constexpr uint32_t kLoopbackNet = 127;
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == kLoopbackNet;
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost";
}

}  // namespace kvstore
