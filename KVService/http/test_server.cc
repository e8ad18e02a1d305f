#include "KVService/http/test_server.h"

#include <gtest/gtest.h>

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace kvstore::testing {

namespace {

#ifdef _WIN32
constexpr int kNoSignal = 0;
void CloseSocket(int socket) { ::closesocket(socket); }
// Whoever waits in it does so no longer. Only closing does that here.
void EndSocket(int socket) { CloseSocket(socket); }
void CloseEnded(int) {}
int OpenSocket() {
  static const int started = [] {
    WSADATA data;
    return ::WSAStartup(MAKEWORD(2, 2), &data);
  }();
  EXPECT_EQ(started, 0);
  return static_cast<int>(::socket(AF_INET, SOCK_STREAM, 0));
}
int AcceptOn(int listener) { return static_cast<int>(::accept(listener, nullptr, nullptr)); }
#else
constexpr int kNoSignal = MSG_NOSIGNAL;
void CloseSocket(int socket) { ::close(socket); }
// Whoever waits in it does so no longer.
void EndSocket(int socket) { ::shutdown(socket, SHUT_RDWR); }
void CloseEnded(int socket) { CloseSocket(socket); }
int OpenSocket() { return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }
int AcceptOn(int listener) { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); }
#endif

// Reads until `pending` has `bytes` bytes; false at the end of the connection.
bool Fill(int socket, std::string& pending, size_t bytes) {
  char buffer[64 << 10];
  while (pending.size() < bytes) {
    const auto got = ::recv(socket, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    pending.append(buffer, got);
  }
  return true;
}

bool ReadHead(int socket, std::string& pending, TestRequest& request) {
  size_t end;
  while ((end = pending.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill(socket, pending, pending.size() + 1)) return false;
  }
  const std::string head = pending.substr(0, end + 2);
  pending.erase(0, end + 4);
  const size_t space = head.find(' ');
  request.method = head.substr(0, space);
  request.target = head.substr(space + 1, head.find(' ', space + 1) - space - 1);
  for (size_t line = head.find("\r\n") + 2; line < head.size();) {
    const size_t line_end = head.find("\r\n", line);
    const size_t colon = head.find(':', line);
    std::string name = head.substr(line, colon - line);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    const size_t value = std::min(head.find_first_not_of(' ', colon + 1), line_end);
    request.headers[name] = head.substr(value, line_end - value);
    line = line_end + 2;
  }
  return true;
}

}  // namespace

void TestConnection::ReadBody(TestRequest& request, double share) {
  const auto length = request.headers.find("content-length");
  const size_t whole = length == request.headers.end() ? 0 : std::atol(length->second.c_str());
  const size_t bytes = static_cast<size_t>(static_cast<double>(whole) * share);
  if (!Fill(socket_, pending_, bytes)) open_ = false;
  request.body = pending_.substr(0, bytes);
  pending_.erase(0, bytes);
}

void TestConnection::Send(const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const auto n = ::send(socket_, bytes.data() + sent, bytes.size() - sent, kNoSignal);
    if (n <= 0) {
      open_ = false;
      return;
    }
    sent += n;
  }
}

void TestConnection::Reply(int status, const std::string& body, const std::string& more_headers) {
  Send("HTTP/1.1 " + std::to_string(status) + " Test\r\nContent-Length: " +
       std::to_string(body.size()) + "\r\n" + more_headers + "\r\n" + body);
}

void TestConnection::Reset() {
  const linger now{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&now), sizeof(now));
  open_ = false;
}

void TestConnection::WaitForPeerToClose() {
  char buffer[64 << 10];
  while (::recv(socket_, buffer, sizeof(buffer), 0) > 0) {
  }
  open_ = false;
}

std::string TestConnection::peer() const {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  EXPECT_EQ(::getpeername(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  char text[INET_ADDRSTRLEN] = "";
  ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
  return text;
}

TestServer::TestServer(Handler handler, Give give) : handler_(std::move(handler)), give_(give) {
  listener_ = OpenSocket();
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(listener_, 1024), 0);
  socklen_t size = sizeof(address);
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

TestServer::~TestServer() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    for (const int socket : sockets_) EndSocket(socket);
    threads.swap(threads_);
  }
  EndSocket(listener_);
  acceptor_.join();
  for (std::thread& thread : threads) thread.join();
  CloseEnded(listener_);
}

std::string TestServer::Url(const std::string& target) const {
  return "http://127.0.0.1:" + std::to_string(port_) + target;
}

void TestServer::Accept() {
  while (true) {
    const int socket = AcceptOn(listener_);
    if (socket < 0) return;
    absl::MutexLock lock(&mutex_);
    if (stopped_) {
      CloseSocket(socket);
      return;
    }
    const int number = connections_++;
    most_open_ = std::max<int>(most_open_, ++open_);
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket, number] { Serve(socket, number); });
  }
}

void TestServer::Serve(int socket, int number) {
  TestConnection connection(socket, number);
  TestRequest request;
  while (connection.open() && ReadHead(socket, connection.pending_, request)) {
    if (give_ == Give::kWhole && request.headers.count("x-test-leave-body") == 0) {
      connection.ReadBody(request);
      if (!connection.open()) break;
    }
    ++requests_;
    handler_(request, connection);
    request = TestRequest();
  }
  --open_;
  absl::MutexLock lock(&mutex_);
  sockets_.erase(std::find(sockets_.begin(), sockets_.end(), socket));
  stopped_ ? CloseEnded(socket) : CloseSocket(socket);
}

}  // namespace kvstore::testing
