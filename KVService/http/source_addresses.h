// Which local addresses connections may leave from, so that a machine with several network
// interfaces uses them all. Binding a socket to an interface's address is what chooses it; that
// packets then leave through it is the machine's routing (docs/ARCHITECTURE.md).
#ifndef KVSERVICE_HTTP_SOURCE_ADDRESSES_H_
#define KVSERVICE_HTTP_SOURCE_ADDRESSES_H_

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "KVService/platform/network.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace kvstore::http {

// How often the interfaces are listed anew.
inline constexpr absl::Duration kInterfaceRefresh = absl::Seconds(2);
// A bound connection must be made within this time, since there is another way to try.
inline constexpr absl::Duration kBoundConnectTimeout = absl::Seconds(3);
// How long an address from which nothing could be reached is left out: at first, and doubled each
// time that it fails again, up to the second.
inline constexpr absl::Duration kFirstRest = absl::Seconds(5);
inline constexpr absl::Duration kLongestRest = absl::Minutes(5);
// How long a host that none of the addresses reaches, but the system's own choice does, is left to
// that; and of how many hosts this is remembered.
inline constexpr absl::Duration kUnboundTime = absl::Minutes(1);
inline constexpr size_t kMaxUnboundHosts = 1024;

// Thread-safe. Nothing but the constructor and a thread of its own ever lists interfaces.
// Destroying it ends that thread.
class SourceAddresses {
 public:
  using ListInterfaces = std::function<absl::StatusOr<std::vector<NetworkInterface>>()>;

  explicit SourceAddresses(ListInterfaces list);
  ~SourceAddresses();
  SourceAddresses(const SourceAddresses&) = delete;
  SourceAddresses& operator=(const SourceAddresses&) = delete;

  struct Source {
    std::string address;
    bool trial = false;  // it failed last time: an idle connection from there may be dead too
  };

  // Starts the thread. `on_removal` runs there, outside locks, after an address went away. Once.
  void Watch(std::function<void()> on_removal);

  // The addresses to spread connections to `host` (an address or a name) over, one an interface.
  // Empty: bind to none, since there is one interface only, or the host is on this machine. An
  // address whose rest is over is given out once, on trial, until it Worked or Failed.
  std::vector<Source> For(const std::string& host, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // Of a connection from there, once it is sure that the address and not the host is to blame.
  void Failed(const std::string& address, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
  void Worked(const std::string& address) ABSL_LOCKS_EXCLUDED(mutex_);
  // None of them reaches the host.
  void LeaveUnbound(const std::string& host, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  bool Exists(const std::string& address) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Lists the interfaces now; true if an address went away. For the thread, and for tests.
  bool Refresh() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Address {
    std::string text;
    AddressFamily family = AddressFamily::kNone;
    bool loopback = false;  // in tests; these serve hosts on the loopback
    int failures = 0;       // in a row
    bool on_trial = false;
    absl::Time rests_until = absl::InfinitePast();
  };

  void Run(const std::function<void()>& on_removal) ABSL_LOCKS_EXCLUDED(mutex_);
  static std::vector<Address> AddressesOf(const std::vector<NetworkInterface>& interfaces);
  Address* Find(const std::string& text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Address*> Fitting(const std::string& host) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ListInterfaces list_;

  mutable absl::Mutex mutex_;
  std::vector<Address> addresses_ ABSL_GUARDED_BY(mutex_);
  // From then on even one that is left alone is bound to: what is bound to none would reuse idle
  // connections of interfaces that are gone.
  bool had_several_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<std::string, absl::Time> unbound_ ABSL_GUARDED_BY(mutex_);  // until when
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace kvstore::http

#endif  // KVSERVICE_HTTP_SOURCE_ADDRESSES_H_
