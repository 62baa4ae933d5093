// tools/cli/screen.cc: ANSI sequences, termios and a signalfd. Knows nothing of tenants.
#include "tools/cli/screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace partywall::cli {
namespace {

constexpr const char* kEnter = "\033[?1049h\033[?25l";
constexpr const char* kLeave = "\033[?25h\033[?1049l";

sigset_t handled_signals() {
  sigset_t set;

  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) sigaddset(&set, signal);
  return set;
}

void write_all(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    ssize_t written = write(STDOUT_FILENO, text.data() + at, text.size() - at);

    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the terminal is gone; the next wait() says so
    at += static_cast<size_t>(written);
  }
}

winsize window() {
  winsize size{};

  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
    size = {.ws_row = 24, .ws_col = 80};
  return size;
}

}  // namespace

Result<Screen> Screen::open() {
  Screen screen;
  sigset_t set = handled_signals();

  if (tcgetattr(STDIN_FILENO, &screen.before_)) return fail_errno(errno, "ask the terminal");
  sigprocmask(SIG_BLOCK, &set, nullptr);
  screen.signals_ = Fd(signalfd(-1, &set, SFD_CLOEXEC));
  if (!screen.signals_) return fail_errno(errno, "receive signals");

  termios raw = screen.before_;

  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  if (tcsetattr(STDIN_FILENO, TCSANOW, &raw)) return fail_errno(errno, "set the terminal");
  write_all(kEnter);
  screen.active_ = true;
  return screen;
}

Screen::Screen(Screen&& other) noexcept
    : before_(other.before_),
      signals_(std::move(other.signals_)),
      active_(std::exchange(other.active_, false)) {}

Screen::~Screen() {
  if (!active_) return;
  write_all(kLeave);
  tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

size_t Screen::rows() const { return window().ws_row; }
size_t Screen::columns() const { return window().ws_col; }

void Screen::draw(const std::string& text) const {
  std::string out = "\033[H";

  // Each line erases what stood behind it; no clearing of the whole screen, so no flicker.
  for (char letter : text)
    if (letter == '\n')
      out += "\033[K\r\n";
    else
      out += letter;
  write_all(out + "\033[J");
}

Screen::Input Screen::wait(std::chrono::milliseconds patience, char& key) const {
  pollfd inputs[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                     {.fd = signals_.get(), .events = POLLIN}};

  if (poll(inputs, 2, static_cast<int>(patience.count())) <= 0) return Input::kNone;
  if (inputs[1].revents) {
    signalfd_siginfo info{};

    if (read(signals_.get(), &info, sizeof(info)) != sizeof(info)) return Input::kQuit;
    return info.ssi_signo == SIGWINCH ? Input::kRedraw : Input::kQuit;
  }
  if (read(STDIN_FILENO, &key, 1) != 1) return Input::kQuit;
  return key == 'q' || key == 'Q' || key == 3 ? Input::kQuit : Input::kKey;
}

}  // namespace partywall::cli
