// agent/access/https_connection.cc: TLS settings, deadlines, and who goes when it is crowded.
#include "agent/access/https_connection.h"

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <netinet/in.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace partywall::access {
namespace {

constexpr size_t kMostAddresses = 4096;
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";  // of TLS 1.2

std::string address_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  char text[INET6_ADDRSTRLEN] = {};

  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size)) return "";
  if (storage.ss_family == AF_INET)
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&storage)->sin_addr, text, sizeof(text));
  else
    inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr, text,
              sizeof(text));
  return text;
}

}  // namespace

HttpsRoom::HttpsRoom(event_base* base, std::unique_ptr<TlsIdentity> identity,
                     observe::SelfMetrics& metrics, HttpsServer::Limits limits)
    : base_(base),
      identity_(std::move(identity)),
      metrics_(metrics),
      limits_(limits),
      handshakes_(limits.handshakes, kMostAddresses),
      context_(SSL_CTX_new(TLS_server_method())),
      crowd_(std::make_unique<kubernetes::Timer>(base, [this] { make_room(); })) {}

Result<std::shared_ptr<HttpsRoom>> HttpsRoom::make(event_base* base,
                                                   std::unique_ptr<TlsIdentity> identity,
                                                   observe::SelfMetrics& metrics,
                                                   HttpsServer::Limits limits) {
  std::shared_ptr<HttpsRoom> room(new HttpsRoom(base, std::move(identity), metrics, limits));
  SSL_CTX* context = room->context_.get();

  if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, kCiphers) != 1)
    return fail("set TLS up: OpenSSL refuses");
  // No session outlives its connection, so a certificate that was replaced is gone at once.
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                   SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_client_hello_cb(context, &HttpsConnection::on_hello, nullptr);
  return room;
}

bufferevent* HttpsRoom::enter() {
  SSL* ssl = SSL_new(context_.get());
  auto* connection = ssl ? new HttpsConnection(shared_from_this(), ssl) : nullptr;
  bufferevent* stream =
      ssl ? bufferevent_openssl_socket_new(base_, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                           BEV_OPT_CLOSE_ON_FREE)
          : nullptr;

  if (!stream) {
    // Without one, evhttp would speak HTTP in the clear.
    spdlog::critical("https: no memory for a connection");
    std::abort();
  }
  bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
  connection->stream_ = stream;
  // Later: this one has no socket yet.
  if (open_.size() > limits_.connections) crowd_->after(std::chrono::milliseconds(0));
  return stream;
}

// The oldest that have not asked yet go. When all have, it is the newest, which then are the
// only ones that have not.
void HttpsRoom::make_room() {
  auto stays = [](const HttpsConnection* one) { return !one->is_dropped_; };
  auto many = static_cast<size_t>(std::ranges::count_if(open_, stays));

  for (HttpsConnection* one : open_) {
    if (many <= limits_.connections) return;
    if (one->has_asked_ || one->is_dropped_) continue;
    one->drop("crowd");
    many--;
  }
}

void HttpsRoom::retire() {
  crowd_.reset();
  for (HttpsConnection* one : open_) one->limit_.reset();
}

void HttpsRoom::count(const char* reason) {
  metrics_.add(observe::Metric::kHttpsDropped, 1, {{"reason", reason}});
}

HttpsConnection::HttpsConnection(std::shared_ptr<HttpsRoom> room, SSL* ssl)
    : room_(std::move(room)), ssl_(ssl) {
  SSL_set_ex_data(ssl, index(), this);
  place_ = room_->open_.insert(room_->open_.end(), this);
  limit_ = std::make_unique<kubernetes::Timer>(room_->base_, [this] { drop("late"); });
  limit_->after(room_->limits_.request);
}

HttpsConnection::~HttpsConnection() { room_->open_.erase(place_); }

int HttpsConnection::index() {
  static const int kIndex =
      SSL_get_ex_new_index(0, nullptr, nullptr, nullptr,
                           [](void*, void* connection, CRYPTO_EX_DATA*, int, long, void*) {
                             delete static_cast<HttpsConnection*>(connection);
                           });

  return kIndex;
}

HttpsConnection* HttpsConnection::of(bufferevent* stream) {
  SSL* ssl = stream ? bufferevent_openssl_get_ssl(stream) : nullptr;

  return ssl ? static_cast<HttpsConnection*>(SSL_get_ex_data(ssl, index())) : nullptr;
}

// Before anything is computed for the other side.
int HttpsConnection::on_hello(SSL* ssl, int* alert, void* /*context*/) {
  auto* connection = static_cast<HttpsConnection*>(SSL_get_ex_data(ssl, index()));

  if (connection && connection->meet()) return SSL_CLIENT_HELLO_SUCCESS;
  *alert = SSL_AD_INTERNAL_ERROR;
  return SSL_CLIENT_HELLO_ERROR;
}

bool HttpsConnection::meet() {
  if (is_met_) return !is_refused_;  // a second hello of the same handshake
  is_met_ = true;
  remote_ = address_of(SSL_get_fd(ssl_));

  auto may =
      room_->handshakes_.take(caller_of_address(remote_), std::chrono::steady_clock::now());

  is_refused_ = is_dropped_ || !may.may;
  if (!may.may) room_->count("rate");
  if (is_refused_) return false;
  if (auto shown = room_->identity_->show(ssl_); !shown) {
    spdlog::warn("https: {}", shown.error().message());
    is_refused_ = true;
  }
  return !is_refused_;
}

void HttpsConnection::has_asked() {
  has_asked_ = true;
  if (limit_) limit_->after(room_->limits_.answer);
}

void HttpsConnection::drop(const char* reason) {
  if (is_dropped_) return;
  is_dropped_ = true;
  room_->count(reason);
  if (int fd = bufferevent_getfd(stream_); fd >= 0) shutdown(fd, SHUT_RDWR);
}

}  // namespace partywall::access
