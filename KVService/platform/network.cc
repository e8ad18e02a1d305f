#include "KVService/platform/network.h"

#if defined(_WIN32)
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#endif

namespace kvstore {
namespace {

constexpr uint32_t kLoopbackNet = 127;

}  // namespace

AddressFamily FamilyOf(const std::string& address) {
  in6_addr ip;
  if (inet_pton(AF_INET, address.c_str(), &ip) == 1) return AddressFamily::kIpv4;
  if (inet_pton(AF_INET6, address.c_str(), &ip) == 1) return AddressFamily::kIpv6;
  return AddressFamily::kNone;
}

std::string ReachableAddress(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    const in_addr ip = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    const uint32_t host = ntohl(ip.s_addr);
    const bool link_local = host >> 16 == (169u << 8 | 254u);
    if (link_local || host >> 24 == kLoopbackNet || host == INADDR_ANY) return "";
    inet_ntop(AF_INET, &ip, text, sizeof(text));
  } else if (address->sa_family == AF_INET6) {
    const in6_addr& ip = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (IN6_IS_ADDR_LINKLOCAL(&ip) || IN6_IS_ADDR_LOOPBACK(&ip) || IN6_IS_ADDR_UNSPECIFIED(&ip)) {
      return "";
    }
    inet_ntop(AF_INET6, &ip, text, sizeof(text));
  }
  return text;
}

bool IsLoopback(std::string host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == kLoopbackNet;
  in6_addr v6;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return host == "localhost";
}

}  // namespace kvstore
