// A small HTTP/1.1 server for tests, on plain sockets, that misbehaves as it is told.
#ifndef KVSERVICE_HTTP_TEST_SERVER_H_
#define KVSERVICE_HTTP_TEST_SERVER_H_

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace kvstore::testing {

struct TestRequest {
  std::string method;
  std::string target;                          // path and query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// One accepted connection, for the handler.
class TestConnection {
 public:
  TestConnection(int socket, int number) : socket_(socket), number_(number) {}

  // Of a server whose handler gets heads: reads that share of the request's body into it. Less than
  // all of it must be the last thing read.
  void ReadBody(TestRequest& request, double share = 1);

  void Send(const std::string& bytes);
  void Reply(int status, const std::string& body, const std::string& more_headers = "");
  void Close() { open_ = false; }  // in order, after the handler
  void Reset();                    // at once, with RST
  void WaitForPeerToClose();       // or for the server's end

  std::string peer() const;  // its address

  int number() const { return number_; }  // 0 for the first connection of the server
  bool open() const { return open_; }

 private:
  friend class TestServer;

  const int socket_;
  const int number_;
  bool open_ = true;
  std::string pending_;  // received, and not read yet
};

// Thread-safe; a thread a connection. The handler runs once a request; a connection is kept until
// it or the peer closes it. A request with the header x-test-leave-body gets its answer while its
// body is still unread. The destructor ends them all.
class TestServer {
 public:
  using Handler = std::function<void(const TestRequest&, TestConnection&)>;
  // What the handler is called with: whole requests, or their heads, whose bodies it has to read.
  enum class Give { kWhole, kHead };

  explicit TestServer(Handler handler, Give give = Give::kWhole);
  ~TestServer();

  std::string Url(const std::string& target = "/") const;
  int port() const { return port_; }
  int connections() const { return connections_; }  // accepted so far
  int most_open() const { return most_open_; }      // at any one time
  int requests() const { return requests_; }

 private:
  void Accept();
  void Serve(int socket, int number);

  const Handler handler_;
  const Give give_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  std::atomic<int> open_ = 0;
  std::atomic<int> most_open_ = 0;
  std::atomic<int> requests_ = 0;
  std::thread acceptor_;

  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<int> sockets_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

// Answers every request with 200 once it is open.
class Gate {
 public:
  void Open() { go_.set_value(); }
  // For one server; outlives it.
  TestServer::Handler handler() {
    return [this](const TestRequest&, TestConnection& connection) {
      gone_.wait();
      connection.Reply(200, "");
    };
  }

 private:
  std::promise<void> go_;
  const std::shared_future<void> gone_ = go_.get_future().share();
};

}  // namespace kvstore::testing

#endif  // KVSERVICE_HTTP_TEST_SERVER_H_
