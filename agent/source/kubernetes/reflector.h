// agent/source/kubernetes/reflector.h: follows the objects of one resource: a list, then a
// watch, for ever. Keeps which versions it has told of, and no object.
#ifndef PARTYWALL_AGENT_SOURCE_KUBERNETES_REFLECTOR_H
#define PARTYWALL_AGENT_SOURCE_KUBERNETES_REFLECTOR_H

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/source/kubernetes/api_client.h"
#include "agent/source/kubernetes/backoff.h"
#include "agent/source/kubernetes/timer.h"

namespace partywall::kubernetes {

// What is followed: "/api/v1/pods" with "spec.nodeName=n1".
struct Selection {
  std::string path;
  std::string labels = {};
  std::string fields = {};
  bool metadata_only = false;  // objects come with apiVersion, kind and metadata alone
};

struct ReflectorLimits {
  int page_objects = 500;
  size_t page_bytes = 64 << 20;
  size_t list_bytes = 512 << 20;  // of all pages
  size_t event_bytes = 8 << 20;
  std::chrono::milliseconds page_deadline = std::chrono::seconds(60);
  std::chrono::seconds watch_time{290};  // and up to a tenth more; then the server ends it
  // A watch that brings nothing for so long beyond its time is cut.
  std::chrono::milliseconds idle_grace = std::chrono::seconds(30);
  // So is one whose begun event does not come to its end.
  std::chrono::milliseconds event_deadline = std::chrono::seconds(30);
  std::chrono::milliseconds backoff_least{200};
  std::chrono::milliseconds backoff_most{30'000};
  std::chrono::milliseconds steady{5'000};  // a watch that lived so long was a good one
  // Since the last word, once something has gone wrong.
  std::chrono::milliseconds stale_after = std::chrono::seconds(90);
};

// One thread, which is the client's loop's. Handlers must not destroy the Reflector; they may
// call change_selector().
//
// What is put and not gone is a state that the server had. Nothing is gone because something
// could not be read: an object that no list has any more is gone only when a whole list has
// arrived without it.
class Reflector {
 public:
  struct Handlers {
    // New or changed. Under a key that has been put, it takes the place of what was there.
    std::function<void(const nlohmann::json& object)> put;
    std::function<void(const std::string& key)> gone;  // "namespace/name" or "name"
    std::function<void()> synced;                      // a whole list has arrived
  };
  struct Facts {
    uint64_t lists = 0;    // whole ones
    uint64_t watches = 0;  // that the server took
    uint64_t events = 0;
    uint64_t repeated = 0;  // events of what was known, or older than that
    uint64_t bytes = 0;     // of lists and watches
    // By kind: connection, timeout, tls, credentials, forbidden, throttled, status, expired,
    // garbage, too_large.
    std::map<std::string_view, uint64_t> errors;
    std::string last_error;  // and when the server next answers well: empty
  };

  // Starts at once. `client` must outlive it.
  Reflector(ApiClient& client, Selection selection, Handlers handlers,
            ReflectorLimits limits = {});
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  // Lists anew. What the new selection does not have is gone when its list is there.
  void change_selector(std::string labels, std::string fields);
  // The selection grows: by what `added` selects beside what it selected before. Only that is
  // listed, and the watch goes on where it was; synced() stays.
  void widen(std::string labels, std::string added);

  // A whole list of the selection, as it is now, has arrived.
  bool synced() const { return synced_; }
  // Since the server last said something about these objects; since the start if never.
  std::chrono::milliseconds since_last_word() const;
  // Not synced, or for ReflectorLimits::stale_after nothing has been heard and the last call
  // has failed. An open watch that is silent is not stale: not every server sends bookmarks of
  // what never changes. One that nobody is behind any more is cut in time, and then the next
  // fails.
  bool stale() const {
    return !synced_ || (!facts_.last_error.empty() && since_last_word() > limits_.stale_after);
  }
  size_t objects() const { return known_.size(); }
  const Facts& facts() const { return facts_; }
  const Selection& selection() const { return selection_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Known {
    std::string uid;
    std::string version;
    uint64_t list = 0;  // the last one that had it
  };

  std::string address(std::string_view more) const;
  void list_from_start();
  void list_added();
  void list_page();
  void take_page(ApiReply reply);
  void take_item(const nlohmann::json& item);
  void finish_list();
  void finish_added();
  void watch();
  void take_chunk(std::string_view chunk);
  bool take_line(std::string_view line);
  enum class Line { kTaken, kGarbage, kEnded };
  Line take_event(const std::string& type, const nlohmann::json& object);
  void take_change(const nlohmann::json& object, std::string key, const Known& told);
  void take_delete(const std::string& key, const Known& told);
  void take_error(const nlohmann::json& status);
  void take_end(const ApiReply& reply);
  void note_error(std::string_view kind, std::string words);
  void cut_watch(std::string_view kind, std::string words);
  void fail(const ApiReply& reply);
  void try_again(void (Reflector::*what)(), std::optional<std::chrono::seconds> asked_for);
  void hear() { last_word_ = Clock::now(); }

  ApiClient& client_;
  Selection selection_;
  Handlers handlers_;
  ReflectorLimits limits_;
  Backoff backoff_;
  ApiCall call_;
  Timer retry_;
  Timer unfinished_;  // set while a part of an event is there
  void (Reflector::*next_)() = nullptr;
  std::unordered_map<std::string, Known> known_;
  std::deque<Known> deleted_;      // the last ones
  std::deque<std::string> added_;  // labels of what is to be listed beside what is known
  bool whole_ = false;   // but for that, all has been listed: the watch is what is left
  std::string version_;  // of the collection
  std::string continue_;
  std::string line_;  // the begun one
  uint64_t round_ = 0;
  uint64_t list_ = 0;
  size_t list_bytes_ = 0;
  bool in_pages_ = false;      // a selection, too, because it is too large for one reply
  bool from_storage_ = false;  // and not from the server's cache, because that has failed
  int watch_failures_ = 0;     // in a row, with an answer from the server
  bool expired_before_ = false;
  bool said_something_ = false;  // this watch
  bool synced_ = false;
  Clock::time_point opened_;
  Clock::time_point last_word_ = Clock::now();
  Facts facts_;
};

}  // namespace partywall::kubernetes

#endif
